//! `symphony_extension_app`: two tokens in, the pod's token out, until a moment in milliseconds.

use serde_json::{Value, json};

use super::{Key, count, fields, from_now, json, only, part, proxy, yaml};
use crate::support::{TestProxy, Upstream, token};

const LOGIN: &str = "/login/v1/pubkey/app/authenticate/extensionApp";

/// A pod that answers with these changes to a good reply.
fn pod(change: fn(&mut Value)) -> Upstream {
    Upstream::start(move |exchange| {
        if exchange.request.second() != LOGIN {
            return exchange.answer(200, "", "ok");
        }
        let asked: Value = serde_json::from_slice(&exchange.request.body).unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let mut reply = json!({
            "appId": "app-1",
            "appToken": asked["appToken"],
            "symphonyToken": token(exchange.number + 1),
            "expireAt": now.as_millis() as u64 + 600_000,
        });
        change(&mut reply);
        json(exchange, 200, &reply.to_string());
    })
}

fn app(key: &Key, more: &str) -> String {
    let file = key.file.path();
    format!("pod_url: VENDOR, app_id: app-1, key: {{ file: {file} }}{more}")
}

#[test]
fn the_app_shows_a_new_token_and_a_signed_one() {
    let (key, vendor) = (Key::new(), pod(|_| ()));
    let proxy = proxy("symphony_extension_app", &app(&key, ""), &vendor);
    assert_eq!(proxy.get("/x").status(), 200);
    let login = only(&vendor, LOGIN);
    assert_eq!(login.start, format!("POST {LOGIN} HTTP/1.1"));
    let body: Value = serde_json::from_slice(&login.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert!(body["appToken"].as_str().unwrap().len() >= 22);
    let assertion = body["authToken"].as_str().unwrap();
    assert!(key.has_signed(assertion));
    assert_eq!(part(assertion, 0), json!({"alg": "RS512", "typ": "JWT"}));
    let claims = part(assertion, 1);
    assert_eq!(
        (claims.as_object().unwrap().len(), &claims["sub"]),
        (2, &json!("app-1"))
    );
    assert!((230..=240).contains(&from_now(&claims["exp"])));
    assert!(fields(&login).contains(&"content-type: application/json".to_owned()));
    assert_eq!(only(&vendor, "/x").headers("sessiontoken"), [token(1)]);
    let left = proxy.app.credentials().views()[0]
        .expires_in
        .unwrap()
        .as_secs();
    assert!((500..=600).contains(&left), "{left}");
}

#[test]
fn the_header_is_the_app_s_own() {
    let (key, vendor) = (Key::new(), pod(|_| ()));
    let with = app(&key, ", header: X-Symphony-Token");
    let proxy = proxy("symphony_extension_app", &with, &vendor);
    assert_eq!(proxy.get("/x").status(), 200);
    let carried = only(&vendor, "/x");
    assert_eq!(carried.headers("x-symphony-token"), [token(1)]);
    assert_eq!(carried.headers("sessiontoken").len(), 0);
}

#[test]
fn a_reply_to_another_app_or_another_call_is_none() {
    for change in [
        (|reply| reply["appId"] = json!("app-2")) as fn(&mut Value),
        |reply| reply["appToken"] = json!("another"),
    ] {
        let (key, vendor) = (Key::new(), pod(change));
        let proxy = proxy("symphony_extension_app", &app(&key, ""), &vendor);
        assert_eq!(proxy.get("/x").code(), "token_rejected");
        assert_eq!(count(&vendor, "/x"), 0);
    }
}

#[test]
fn a_client_that_logs_in_gets_its_own_token_back_with_a_placeholder() {
    let (key, vendor) = (Key::new(), pod(|_| ()));
    let file = yaml("symphony_extension_app", &app(&key, ""), &vendor);
    let proxy = TestProxy::start(&file);
    assert_eq!(proxy.post(LOGIN, b"{}").code(), "token_endpoint_denied");
    let emulates = file.replace(
        ", credential: main }",
        ", credential: main, emulate: true }",
    );
    proxy.reload(&emulates).unwrap();
    let reply = proxy.post(LOGIN, br#"{"appToken":"mine","authToken":"made up"}"#);
    let reply: Value = serde_json::from_str(&reply.text()).unwrap();
    assert_eq!(
        (&reply["appId"], &reply["appToken"]),
        (&json!("app-1"), &json!("mine"))
    );
    assert!(reply["symphonyToken"].as_str().unwrap().starts_with("eyJ"));
    assert!(reply["expireAt"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(vendor.count(), 0);
}
