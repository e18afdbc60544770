//! What a recipe knows is looked for wherever text comes out of it.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::credentials::{
    CacheSettings,
    tests::{canary::Listener, fake::cache},
};

/// Constants, a secret, captured values, a key and an answer's text: none has anything in common with the others.
const SECRETS: &[&str] = &[
    "osprey+secret/1",
    "heron secret 2",
    "kestrel\\\"3",
    "bittern-of-thirty-two-characters",
    "egret?captured=4",
    "ibis-cookie-5",
    "plover/user",
    "avocet-fixed",
    "s3cret",
];

fn look_in(place: &str, text: &str) {
    for secret in SECRETS {
        let json = serde_json::to_string(secret).unwrap();
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let mut percent = String::new();
        crate::percent::encode(secret, &mut percent);
        let hex = secret.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let base64 = STANDARD.encode(secret);
        for spelling in [
            secret,
            json.trim_matches('"'),
            &form,
            &percent,
            &hex,
            base64.trim_end_matches('='),
        ] {
            assert!(!text.contains(spelling), "{spelling} in {place}: {text}");
        }
        // A part of one, as in a text that was cut.
        for part in secret.as_bytes().windows(8) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(!text.contains(part), "{part} in {place}: {text}");
        }
    }
}

const RECIPE: &str = r#"
vars: { id: 'heron secret 2', secret: { env: KNOWN }, long: osprey+secret/1, quoted: 'kestrel\"3' }
steps:
  - { name: proof, jwt: { alg: HS256, key: bittern-of-thirty-two-characters, claims: { sub: '{{ id }}' } } }
  - name: first
    request:
      url: VENDOR/first/{{ subject }}?fixed=avocet-fixed
      headers: { X-Long: '{{ long }}', X-Env: '{{ secret }}' }
      json: { proof: '{{ proof }}', id: '{{ id }}', quoted: '{{ quoted }}', fixed: avocet-fixed }
    capture: { v: { json: /v }, c: { cookie: c } }
  - name: second
    request:
      url: VENDOR/second/{{ first.v }}
      query: { q: '{{ first.v }}' }
      bearer: '{{ first.v }}'
      form: { secret: '{{ long }}', basic: "{{ (id ~ ':' ~ long) | base64 }}", quoted: '{{ quoted }}', c: '{{ first.c }}' }
    success: { json: /ok }
    capture: { t: { json: /t } }
outputs: { token: '{{ second.t }}' }
"#;

/// Says back all that it was sent, from one end or the other: only a beginning is shown.
fn echo(request: &Seen, status: &str, backwards: bool) -> String {
    let mut parts = vec![request.target.clone()];
    parts.extend(
        request
            .headers
            .iter()
            .map(|(name, value)| format!("{name} {value}")),
    );
    parts.extend(request.body.split('&').map(str::to_owned));
    parts.push(
        crate::percent::decode(request.target.as_bytes())
            .map_or(String::new(), |it| String::from_utf8(it).unwrap()),
    );
    if backwards {
        parts.reverse();
    }
    let body = serde_json::json!({"error": "strange", "error_description": parts.join(" ; ")});
    answer(status, "", &body.to_string())
}

#[tokio::test]
async fn no_text_of_any_kind_holds_what_a_recipe_knows() {
    let listener = Listener::default();
    // With one dispatcher alone, an event that another test's thread meets first is never heard here.
    let _second = tracing::Dispatch::new(Listener::default());
    let guard = tracing::subscriber::set_default(listener.clone());
    let user = Subject::user("plover/user").unwrap();
    let first = || {
        let body = serde_json::json!({"v": "egret?captured=4"}).to_string();
        answer("200 OK", "Set-Cookie: c=ibis-cookie-5\r\n", &body)
    };
    let html = "<html>egret?captured=4 osprey+secret/1".to_owned();
    type Script = Box<dyn Fn(&Seen) -> String + Send + Sync>;
    let mut scripts: Vec<Script> = Vec::new();
    for backwards in [false, true] {
        for status in ["400 Bad", "401 No", "500 Oh", "200 OK", "302 Found"] {
            scripts.push(Box::new(move |request| echo(request, status, backwards)));
            scripts.push(Box::new(move |request| {
                match request.path().starts_with("/first") {
                    true => first(),
                    false => echo(request, status, backwards),
                }
            }));
        }
    }
    scripts.push(Box::new(move |_| answer("200 OK", "", &html)));
    scripts.push(Box::new(|request| format!("{}\r\n\r\n", request.body)));
    scripts.push(Box::new(|request| {
        answer(
            "302 Found",
            &format!("Location: {}\r\n", request.target),
            "",
        )
    }));
    let (mut said, mut named) = (0, 0);
    for script in scripts {
        let vendor = Vendor::start(move |request| script(request)).await;
        let source = vendor.recipe(RECIPE);
        look_in("source", &format!("{source:?} {:?}", source.fingerprint()));
        look_in("endpoints", &source.endpoints().join(" "));
        let error = source.fetch(as_user(&user)).await.unwrap_err();
        look_in("error", &format!("{error} {error:?}"));
        said += usize::from(error.detail.contains("it says: strange"));
        named += usize::from(error.detail.starts_with("step `"));
        let slot = cache().handle("name", source, CacheSettings::default());
        let own = slot.of(&user).unwrap();
        let error = own.lease(s(5)).await.unwrap_err();
        look_in("credential error", &format!("{error} {error:?}"));
        assert!(
            !error.detail.contains("strange"),
            "for operators alone: {error}"
        );
        look_in("slot", &format!("{slot:?}"));
    }
    drop(guard);
    let logged = listener.text();
    assert!(
        logged.contains("it says: strange"),
        "the listener hears: {logged}"
    );
    look_in("logs", &logged);
    assert!(
        said >= 12,
        "an echo is shown, without what was sent: {said}"
    );
    assert!(named >= 20, "the step is named: {named}");
}

#[tokio::test]
async fn a_credential_that_was_obtained_shows_nothing() {
    let vendor = Vendor::start(|_| {
        let body =
            serde_json::json!({"v": "egret?captured=4", "t": "egret?captured=4", "ok": true});
        answer(
            "200 OK",
            "Set-Cookie: c=ibis-cookie-5\r\n",
            &body.to_string(),
        )
    })
    .await;
    let user = Subject::user("plover/user").unwrap();
    let source = vendor.recipe(RECIPE);
    let credential = source.fetch(as_user(&user)).await.unwrap();
    assert_eq!(part(&credential, "token"), "egret?captured=4");
    look_in("credential", &format!("{credential:?}"));
    assert!(vendor.seen()[1].body.contains("osprey"), "it was sent");
}

#[tokio::test]
async fn an_operator_is_told_enough_to_mend_it() {
    for (status, headers, body, expected) in [
        (
            "400 Bad",
            "Content-Type: text/plain\r\n",
            "Invalid client_id\nat x",
            "answered 400; it says: Invalid client_id",
        ),
        (
            "401 No",
            "",
            r#"{"title":"Unauthorized","status":401}"#,
            "answered 401; it says: Unauthorized",
        ),
        (
            "403 No",
            "",
            r#"{"errors":[{"code":17,"message":"Locked"}]}"#,
            "answered 403; it says: 17: Locked",
        ),
        (
            "500 Oh",
            "",
            r#"{"errorCode":"E1","errorMessage":"Try later\u0007"}"#,
            "answered 500; it says: E1: Try later",
        ),
        (
            "500 Oh",
            "Content-Type: text/html\r\n",
            "<html>no",
            "answered 500",
        ),
        (
            "200 OK",
            "",
            r#"{"error":"no_luck"}"#,
            "`capture.t`: no /t in the answer; it says: no_luck",
        ),
        ("200 OK", "", "{}", "`capture.t`: no /t in the answer"),
    ] {
        let answer = answer(status, headers, body);
        let vendor = Vendor::start(move |_| answer.clone()).await;
        let recipe = "{ steps: [{ name: s, request: { url: VENDOR/x }, capture: { t: { json: /t } } }], outputs: { token: t } }";
        let error = vendor.obtain(recipe).await.expect_err(body);
        assert_eq!(
            error.detail,
            format!("step `s`: {}/x: {expected}", vendor.url)
        );
    }
}
