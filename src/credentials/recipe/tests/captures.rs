//! What is taken out of answers, from every place that one can name.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::credentials::FailureKind;

/// What `capture` finds in this answer; `Err` holds the sentence behind the URL.
async fn find(status: &str, headers: &str, body: &str, capture: &str) -> Result<String, String> {
    let answer = answer(status, headers, body);
    let vendor = Vendor::start(move |_| answer.clone()).await;
    vendor.capture(capture).await.map_err(|error| {
        let ours = error.own_words().rsplit_once("/: ");
        ours.map_or(error.detail.to_string(), |(_, why)| why.to_owned())
    })
}

#[tokio::test]
async fn a_json_pointer_finds_texts_numbers_booleans_and_lists_of_texts() {
    let body = r#"{"a":{"b":[{"c":"deep"}]},"n":12345678901234567,"f":1.5,"t":true,"l":["x","y"],"~/":"odd","":"nameless","x":null,"o":{},"m":[1]}"#;
    for (pointer, value) in [
        ("/a/b/0/c", Some("deep")),
        ("/n", Some("12345678901234567")),
        ("/f", Some("1.5")),
        ("/t", Some("true")),
        ("/l", Some("x y")),
        ("/l/1", Some("y")),
        ("/~0~1", Some("odd")),
        ("/", Some("nameless")),
        ("/x", None),
        ("/o", None),
        ("/m", None),
        ("/l/2", None),
        ("/l/01", None),
        ("/a/b/c", None),
        ("/absent", None),
        ("''", None),
    ] {
        let found = find("200 OK", "", body, &format!("token: {{ json: {pointer} }}")).await;
        assert_eq!(found.ok().as_deref(), value, "{pointer}");
    }
    let whole = find("200 OK", "", r#""just a text""#, "token: { json: '' }").await;
    assert_eq!(whole.as_deref(), Ok("just a text"));
}

#[tokio::test]
async fn json_is_read_whatever_the_answer_calls_it_and_one_comma_too_many_is_forgiven() {
    for body in [
        r#" {"token":"t",} "#,
        "{\"token\":\"t\",\"l\":[1,],\n}\n",
        r#"{"token":"t","x":",}"}"#,
        "\u{feff}{\"token\":\"t\"}",
    ] {
        let found = find(
            "200 OK",
            "Content-Type: text/html\r\n",
            body,
            "token: { json: /token }",
        )
        .await;
        assert_eq!(found.as_deref(), Ok("t"), "{body}");
    }
    for body in [
        "",
        "token=t",
        "<html>",
        r#"{"token":"t""#,
        r#"{"token":"t"} x"#,
    ] {
        let error = find("200 OK", "", body, "token: { json: /token }")
            .await
            .unwrap_err();
        assert_eq!(error, "`capture.token`: no /token in the answer", "{body}");
    }
}

#[tokio::test]
async fn a_header_a_cookie_and_the_query_of_a_redirect_are_found() {
    let headers = "X-Token: from-header\r\n\
        Set-Cookie: session=old; Path=/\r\n\
        Set-Cookie: session=\"from=cookie\"; HttpOnly; Secure\r\n\
        Location: https://app.example/cb?code=from%2Blocation+x&state=1&twice=1&twice=2#code=evil\r\n";
    for (capture, value) in [
        ("{ header: x-token }", Some("from-header")),
        ("{ header: X-TOKEN }", Some("from-header")),
        ("{ header: x-absent }", None),
        ("{ cookie: session }", Some("\"from=cookie\"")),
        ("{ cookie: SESSION }", None),
        ("{ location_query: code }", Some("from+location x")),
        (
            "{ location_query: code, location: 'https://app.example/cb' }",
            Some("from+location x"),
        ),
        (
            "{ location_query: code, location: 'https://app.example/' }",
            None,
        ),
        (
            "{ location_query: code, location: 'https://APP.example:443/cb' }",
            Some("from+location x"),
        ),
        (
            "{ location_query: code, location: 'https://app.example/CB' }",
            None,
        ),
        (
            "{ location_query: code, location: 'http://app.example/cb' }",
            None,
        ),
        (
            "{ location_query: code, location: 'https://app.example:8443/cb' }",
            None,
        ),
        ("{ location_query: state }", Some("1")),
        ("{ location_query: twice }", None),
        ("{ location_query: absent }", None),
    ] {
        let found = find("302 Found", headers, "", &format!("token: {capture}")).await;
        assert_eq!(found.ok().as_deref(), value, "{capture}");
    }
    for (location, what) in [
        ("/cb", "no query"),
        ("https://app.example/cb?code=%ff", "no UTF-8"),
        (
            "https://app.example/cb?%63ode=a&code=b",
            "twice in two spellings",
        ),
    ] {
        let headers = format!("Location: {location}\r\n");
        let found = find("302 Found", &headers, "", "token: { location_query: code }").await;
        assert!(found.is_err(), "{what}");
    }
}

#[tokio::test]
async fn a_cookie_that_is_taken_back_is_not_there() {
    for gone in [
        "Max-Age=0",
        "max-age=-1",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "expires=Thu, 01-Jan-1970 00:00:01 GMT",
    ] {
        let headers = format!("Set-Cookie: session=a\r\nSet-Cookie: session=; {gone}\r\n");
        let found = find("200 OK", &headers, "", "token: { cookie: session }").await;
        assert!(found.is_err(), "{gone}: {found:?}");
    }
    for kept in [
        "Max-Age=60",
        "Expires=Fri, 31 Dec 9999 23:59:59 GMT",
        "Expires=soon",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
    ] {
        let headers = format!("Set-Cookie: session=a; {kept}\r\n");
        let found = find("200 OK", &headers, "", "token: { cookie: session }").await;
        assert_eq!(found.as_deref(), Ok("a"), "{kept}");
    }
}

#[tokio::test]
async fn the_first_group_of_a_regular_expression_is_found_with_the_usual_classes() {
    let page = "<form>\n <input  type=hidden name='csrf' value='t-0_k'> Número 42 </form>";
    for (regex, value) in [
        (r"name='csrf'\s+value='([\w-]+)'", Some("t-0_k")),
        (r"N\S+ (\d+)\b", Some("42")),
        (r"NAME='CSRF' VALUE='([^']+)'", None),
        (r"(?i)NAME='CSRF' VALUE='([^']+)'", Some("t-0_k")),
        (r"(Número)", Some("Número")),
        (r"(absent)?form", None),
        (r"<form>(.)<", None),
        (r"(?s)<form>(.*?)<input", Some("\n ")),
    ] {
        let capture = format!("token: {{ regex: \"{}\" }}", regex.replace('\\', "\\\\"));
        let found = find("200 OK", "", page, &capture).await;
        // What is no visible ASCII is found, and refused as an output.
        let expected = value.filter(|value| value.is_ascii() && value.trim() == *value);
        assert_eq!(
            found.clone().ok().as_deref(),
            expected,
            "{regex}: {found:?}"
        );
        if value.is_some() && expected.is_none() {
            assert!(found.unwrap_err().contains("`outputs.token`"), "{regex}");
        }
    }
}

#[tokio::test]
async fn an_expression_reads_a_page_that_is_no_utf8() {
    let vendor = Vendor::start(|_| String::new()).await;
    drop(vendor);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let body = b"<p>S\xe4kerhet</p> value='t0k'";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
    });
    let recipe = built(&format!(
        "{{ steps: [{{ name: s, request: {{ url: {url}/ }}, capture: {{ t: {{ regex: \"value='(\\\\w+)'\" }} }} }}], outputs: {{ token: '{{{{ s.t }}}}' }} }}"
    ));
    let credential = recipe.fetch(Fetch::FIRST).await.unwrap();
    assert_eq!(part(&credential, "token"), "t0k");
}

#[tokio::test]
async fn a_claim_of_a_jwt_is_found_in_what_was_captured_before() {
    let jwt = |claims: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
    let of = |token: &str| format!(r#"{{"jwt":"{token}"}}"#);
    let capture = "jwt: { json: /jwt }, token: { jwt: '{{ jwt }}', json: /a/b }";
    let good = jwt(r#"{"a":{"b":"claim"}}"#);
    for (token, value) in [
        (good.clone(), Some("claim")),
        (good.replace(".s", "=.s"), Some("claim")),
        (good.replace(".s", ""), None),
        (jwt("{}"), None),
        ("h.%%%.s".into(), None),
        ("opaque".into(), None),
        (String::new(), None),
    ] {
        let found = find("200 OK", "", &of(&token), capture).await;
        assert_eq!(found.ok().as_deref(), value, "{token}");
    }
}

#[tokio::test]
async fn of_a_list_the_first_that_is_there_counts() {
    let body = r#"{"b":"second","c":"third"}"#;
    let list = "token: [{ json: /a }, { header: x-b }, { json: /b }, { json: /c }]";
    assert_eq!(
        find("200 OK", "", body, list).await.as_deref(),
        Ok("second")
    );
    let error = find("200 OK", "", "{}", list).await.unwrap_err();
    assert_eq!(
        error,
        "`capture.token`: no /a in the answer, no header x-b in the answer, no /b in the answer, no /c in the answer"
    );
}

#[tokio::test]
async fn what_is_absent_has_its_default_or_is_left_out() {
    for (capture, value) in [
        ("token: { json: /a, default: fallback }", Some("fallback")),
        (
            "b: { json: /b }, token: { json: /a, default: 'of {{ b }}' }",
            Some("of there"),
        ),
        (
            "token: [{ json: /a }, { json: /c, default: last }]",
            Some("last"),
        ),
        ("token: { json: /b, default: unused }", Some("there")),
        ("token: { json: /a, optional: true }", None),
    ] {
        let found = find("200 OK", "", r#"{"b":"there"}"#, capture).await;
        assert_eq!(found.clone().ok().as_deref(), value, "{capture}: {found:?}");
    }
    // The output wants it, and says so.
    let error = find("200 OK", "", "{}", "token: { json: /a, optional: true }")
        .await
        .unwrap_err();
    assert!(error.starts_with("`outputs.token`"), "{error}");
}

#[tokio::test]
async fn what_an_answer_must_hold_is_held_against_it() {
    let headers = "X-Status: fine\r\n";
    let body = r#"{"ok":true,"no":false,"empty":"","n":0,"list":["a","b"],"null":null}"#;
    let answer = answer("200 OK", headers, body);
    let vendor = Vendor::start(move |_| answer.clone()).await;
    for (success, holds) in [
        ("{ json: /ok }", true),
        ("{ json: /ok, equals: 'true' }", true),
        ("{ json: /ok, equals: 'True' }", false),
        ("{ json: /no }", false),
        ("{ json: /no, equals: 'false' }", true),
        ("{ json: /empty }", false),
        ("{ json: /empty, equals: '' }", true),
        ("{ json: /n }", true),
        ("{ json: /n, equals: '0' }", true),
        ("{ json: /list, equals: 'a b' }", true),
        ("{ json: /null }", false),
        ("{ json: /absent, equals: '' }", false),
        ("{ header: x-status, equals: '{{ wanted }}' }", true),
        ("{ regex: '\"n\":([0-9])' }", true),
        ("[{ json: /ok }, { json: /no }]", false),
        ("[{ json: /ok }, { header: x-status }]", true),
    ] {
        let recipe = format!(
            "{{ vars: {{ wanted: fine }}, steps: [{{ name: s, request: {{ url: VENDOR/ }}, success: {success} }}], outputs: {{ token: t }} }}"
        );
        let outcome = vendor.obtain(&recipe).await;
        assert_eq!(outcome.is_ok(), holds, "{success}");
        if let Err(error) = outcome {
            assert_eq!(error.kind, FailureKind::Rejected, "{success}");
            assert!(error.detail.contains("`success`"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_capture_may_be_called_as_another_step_is() {
    let vendor = Vendor::saying(r#"{"token":"a.b.c","subject":"jo"}"#).await;
    let recipe = "
steps:
  - name: login
    request: { url: VENDOR/login }
    capture: { token: { json: /token }, subject: { json: /subject }, claim: { jwt: '{{ token }}', json: /x, default: 'of {{ subject }}' } }
  - { name: token, request: { url: VENDOR/token, bearer: '{{ login.token }}' }, capture: { token: { json: /token } } }
outputs: { token: '{{ token.token }}', claim: '{{ login.claim }}' }";
    let source = vendor.recipe(recipe);
    assert!(!source.per_subject());
    let credential = source.fetch(Fetch::FIRST).await.unwrap();
    assert_eq!(part(&credential, "claim"), "of jo");
    assert_eq!(vendor.paths(), ["/login", "/token"]);
}
