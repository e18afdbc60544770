//! Values in requests: encoded for their place, so that none can change what stands around it.

use super::*;
use crate::credentials::FailureKind;

/// What an enemy would have a vendor answer.
const HOSTILE: &[&str] = &[
    "plain",
    "a\r\nX-Evil: 1",
    "a\nb",
    "\"},\"admin\":{\"x\":\"",
    "\\",
    "/",
    "..",
    "../../admin",
    "%2f",
    "%2e%2e%2fadmin",
    "{{ secret }}",
    "{% if true %}x{% endif %}",
    "a\0b",
    "é€😀",
    "a b",
    "a&admin=1&b=c",
    "a=b",
    "a+b",
    "?admin=1",
    "#fragment",
    ";jsessionid=1",
    "@evil.example/",
    "https://evil.example/",
    "a\u{2028}b",
    "\u{202e}evil",
    "\u{7f}",
    "  ",
    "%",
    "%zz",
    "'",
    "<b>",
    "a\tb",
];

/// A recipe whose second step sends what the first captured; `second` is its request.
fn recipe(second: &str) -> String {
    format!(
        "
vars: {{ secret: hush-hush }}
steps:
  - {{ name: a, request: {{ url: VENDOR/a }}, capture: {{ v: {{ json: /v }} }} }}
  - {{ name: b, request: {{ {second} }} }}
outputs: {{ token: t }}"
    )
}

/// The second request with each hostile value in it; none where it was not sent.
async fn sent(second: &str) -> Vec<(&'static str, Option<Seen>)> {
    let mut all = Vec::new();
    for value in HOSTILE {
        let body = serde_json::json!({ "v": value }).to_string();
        let vendor = Vendor::saying(body).await;
        let outcome = vendor.obtain(&recipe(second)).await;
        let seen = vendor.seen();
        assert!(seen.len() <= 2);
        if let Err(error) = &outcome {
            assert_eq!(error.kind, FailureKind::Malformed, "{value:?}: {error}");
            assert!(
                error.detail.starts_with("step `b`: `"),
                "{value:?}: {error}"
            );
        }
        assert_eq!(outcome.is_ok(), seen.len() == 2, "{value:?}");
        all.push((*value, seen.get(1).cloned()));
    }
    all
}

fn headers_of(seen: &Seen) -> Vec<&str> {
    let names = seen.headers.keys().map(String::as_str);
    names.filter(|name| *name != "host").collect()
}

fn decoded(text: &str) -> String {
    let bytes = crate::percent::decode(text.as_bytes());
    String::from_utf8(bytes.unwrap_or_else(|| text.as_bytes().to_vec())).unwrap()
}

#[tokio::test]
async fn in_a_path_a_value_is_within_one_segment() {
    for (value, seen) in sent("url: 'VENDOR/x/{{ a.v }}/y', method: GET").await {
        let Some(seen) = seen else {
            assert_eq!(value, "..", "only what can't be a segment is not sent");
            continue;
        };
        let segments: Vec<&str> = seen.target.split('/').collect();
        assert_eq!(segments.len(), 4, "{value:?}: {}", seen.target);
        assert_eq!((segments[1], segments[3]), ("x", "y"));
        assert_eq!(decoded(segments[2]), value);
        assert!(!seen.target.contains(['?', '#', ';']), "{}", seen.target);
    }
}

#[tokio::test]
async fn in_a_query_a_value_is_one_value() {
    for second in [
        "url: 'VENDOR/x?v={{ a.v }}&w=1', method: GET",
        "url: 'VENDOR/x?w=1', method: GET, query: { v: '{{ a.v }}' }",
    ] {
        for (value, seen) in sent(second).await {
            let seen = seen.expect(value);
            let (path, query) = seen.target.split_once('?').expect("a query");
            assert_eq!(path, "/x");
            let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect();
            pairs.sort();
            let expected = [("v", value), ("w", "1")];
            assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        }
    }
}

#[tokio::test]
async fn in_a_form_a_value_is_one_field() {
    for (value, seen) in sent("url: 'VENDOR/x', form: { v: '{{ a.v }}', w: '1' }").await {
        let seen = seen.expect(value);
        let pairs: Vec<(String, String)> = form_urlencoded::parse(seen.body.as_bytes())
            .into_owned()
            .collect();
        let expected = [("v", value), ("w", "1")];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(
            seen.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
    }
}

#[tokio::test]
async fn in_json_a_value_is_one_text() {
    for (value, seen) in
        sent("url: 'VENDOR/x', json: { l: ['{{ a.v }}', 1, true, '1'], m: { v: 'is {{ a.v }}' } }")
            .await
    {
        let seen = seen.expect(value);
        let body: serde_json::Value = serde_json::from_str(&seen.body).expect(value);
        let expected =
            serde_json::json!({ "l": [value, 1, true, "1"], "m": { "v": format!("is {value}") } });
        assert_eq!(body, expected);
        assert_eq!(seen.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn in_a_header_a_value_is_visible_ascii_or_nothing_is_sent() {
    for second in [
        "url: 'VENDOR/x', method: GET, headers: { X-V: '{{ a.v }}' }",
        "url: 'VENDOR/x', method: GET, bearer: '{{ a.v }}'",
    ] {
        for (value, seen) in sent(second).await {
            let fit = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
            assert_eq!(seen.is_some(), fit, "{value:?} {second}");
            let Some(seen) = seen else { continue };
            let name = if second.contains("bearer") {
                "authorization"
            } else {
                "x-v"
            };
            let mut expected = vec!["accept", "user-agent", name];
            expected.sort_unstable();
            assert_eq!(headers_of(&seen), expected, "{value:?}");
            assert_eq!(seen.header("x-evil"), None);
        }
    }
}

#[tokio::test]
async fn a_text_body_holds_values_as_they_are_and_no_template_is_read_twice() {
    for (value, seen) in sent("url: 'VENDOR/x', text: '<{{ a.v }}>'").await {
        let seen = seen.expect(value);
        assert_eq!(seen.body, format!("<{value}>"));
    }
}

#[tokio::test]
async fn filters_work_before_the_encoding() {
    let vendor = Vendor::saying(r#"{"v":" Ab/é "}"#).await;
    let second = "url: 'VENDOR/{{ a.v | trim | upper }}/{{ a.v | trim | lower }}?x={{ a.v | base64 }}', method: GET, \
        headers: { Authorization: \"Basic {{ ('me:' ~ secret) | base64 }}\" }";
    vendor.obtain(&recipe(second)).await.unwrap();
    let seen = &vendor.seen()[1];
    assert_eq!(seen.target, "/AB%2F%C3%89/ab%2F%C3%A9?x=IEFiL8OpIA%3D%3D");
    assert_eq!(seen.header("authorization"), Some("Basic bWU6aHVzaC1odXNo"));
}

#[tokio::test]
async fn an_absent_value_is_never_an_empty_one() {
    for (second, field) in [
        ("url: 'VENDOR/{{ a.o }}'", "url"),
        ("url: 'VENDOR/x?o={{ a.o }}'", "url"),
        ("url: VENDOR/, query: { o: '{{ a.o }}' }", "query.o"),
        ("url: VENDOR/, headers: { X-O: '{{ a.o }}' }", "headers.x-o"),
        ("url: VENDOR/, bearer: '{{ a.o }}'", "bearer"),
        ("url: VENDOR/, form: { o: '{{ a.o }}' }", "form.o"),
        ("url: VENDOR/, json: { l: [{ o: 'x{{ a.o }}' }] }", "json"),
        ("url: VENDOR/, text: '{{ a.o }}'", "text"),
        ("url: VENDOR/, text: '{{ a.o | lower }}'", "text"),
        ("url: VENDOR/, text: \"{{ a.o ~ 'x' }}\"", "text"),
    ] {
        let vendor = Vendor::saying(r#"{"v":"x"}"#).await;
        let recipe =
            recipe(second).replace("json: /v }", "json: /v }, o: { json: /o, optional: true }");
        let error = vendor.obtain(&recipe).await.expect_err(second);
        let expected = format!(
            "step `b`: `{field}` can't be filled in: a value is absent, or can't stand there"
        );
        assert_eq!(error.detail, expected, "{second}");
        assert_eq!(vendor.seen().len(), 1, "{second}");
    }
    // Nor is an empty one the end of a path, or a token.
    for second in [
        "url: 'VENDOR/{{ a.v }}'",
        "url: VENDOR/, bearer: '{{ a.v }}'",
    ] {
        let vendor = Vendor::saying(r#"{"v":""}"#).await;
        vendor.obtain(&recipe(second)).await.unwrap_err();
        assert_eq!(vendor.seen().len(), 1, "{second}");
    }
}

#[tokio::test]
async fn a_jwt_says_what_the_file_says_and_nothing_a_value_adds() {
    let vendor = Vendor::saying(r#"{"v":"x\",\"admin\":\"1"}"#).await;
    let recipe = "
steps:
  - { name: a, request: { url: VENDOR/a }, capture: { v: { json: /v } } }
  - name: proof
    jwt:
      alg: HS256
      key: a-secret-of-thirty-two-characters
      header: { kid: '{{ a.v }}' }
      claims: { sub: '{{ a.v }}', aud: [one, two], n: 5, iat: { ago: 1m }, exp: { in: 4m }, nested: { in: { in: 1s } }, now: '{{ now }}', jti: '{{ random }}' }
outputs: { token: '{{ proof }}' }";
    let before = crate::clock::unix_time().as_secs();
    let credential = vendor.obtain(recipe).await.unwrap();
    let token = part(&credential, "token");
    let member = |at: usize| -> serde_json::Value {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let part = token.split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(
        member(0),
        serde_json::json!({"alg": "HS256", "typ": "JWT", "kid": "x\",\"admin\":\"1"})
    );
    let claims = member(1);
    let names: Vec<&str> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
        ["aud", "exp", "iat", "jti", "n", "nested", "now", "sub"]
    );
    assert_eq!(claims["sub"], "x\",\"admin\":\"1");
    assert_eq!(
        (&claims["aud"], &claims["n"]),
        (&serde_json::json!(["one", "two"]), &5.into())
    );
    let iat = claims["iat"].as_u64().unwrap();
    assert!((before - 60..=before - 50).contains(&iat), "{iat} {before}");
    assert_eq!(claims["exp"].as_u64().unwrap() - iat, 300);
    assert!(claims["nested"]["in"].is_number());
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
}
