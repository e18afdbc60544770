//! A placeholder stands for the credential on that credential's routes, for one caller, for its time.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{bearer, file, rig, vendor};
use crate::support::{TestProxy, Upstream};

#[test]
fn a_placeholder_is_replaced_by_the_credential_wherever_a_client_puts_it() {
    let rig = rig("true");
    let placeholder = rig.log_in("batch");
    for fields in [
        format!("Authorization: Bearer {placeholder}"),
        format!("authorization: {placeholder}"),
        format!("sessionToken: {placeholder}\nkeyManagerToken: {placeholder}"),
        format!("Session_Token: {placeholder}"),
        format!("x-api-key: {placeholder}"),
        format!("X-Something: \"{placeholder}\""),
        format!("Cookie: a=b; session={placeholder}"),
        String::new(),
    ] {
        let answer = rig.get("batch", "/v/data", &fields);
        assert_eq!(answer.status(), 200, "{fields}: {answer:?}");
        let sent = rig.vendor.requests().pop().unwrap();
        assert_eq!(sent.headers("authorization"), [bearer()], "{fields}");
    }
    for query in [
        format!("access_token={placeholder}&x=1"),
        format!("x=1&access%5Ftoken={placeholder}"),
        format!("x=1&Access-Token={}", super::form(&placeholder)),
    ] {
        let answer = rig.get("batch", &format!("/api/data?{query}"), "");
        assert_eq!(answer.status(), 200, "{query}: {answer:?}");
    }
    rig.check();
}

#[test]
fn a_placeholder_is_worth_nothing_on_other_routes() {
    let rig = rig("true");
    let placeholder = rig.log_in("batch");
    let count = rig.elsewhere.count();
    for target in ["/plain/x", "/other/x", "/open/x"] {
        for fields in [
            format!("Authorization: Bearer {placeholder}"),
            format!("X-Something: {placeholder}"),
        ] {
            let answer = rig.get("batch", target, &fields);
            assert_eq!(
                (answer.status(), answer.code()),
                (403, "caller_denied".into()),
                "{target}"
            );
        }
        let answer = rig.get("batch", &format!("{target}?t={placeholder}"), "");
        assert_eq!(answer.status(), 403, "{target}");
        let answer = rig.get(
            "batch",
            &format!("{target}?t={}", super::form(&placeholder)),
            "",
        );
        assert_eq!(answer.status(), 403, "{target}");
    }
    for target in [
        format!("/v/bot/{placeholder}/x"),
        format!("/v/x?other={placeholder}"),
        format!("/api/x?other={placeholder}"),
    ] {
        assert_eq!(rig.get("batch", &target, "").status(), 403, "{target}");
    }
    assert_eq!(rig.elsewhere.count(), count);
    rig.check();
}

#[test]
fn a_placeholder_is_worth_nothing_to_other_callers() {
    let rig = rig("true");
    let placeholder = rig.log_in("batch");
    let fields = format!("Authorization: Bearer {placeholder}");
    let answer = rig.get("web", "/v/data", &fields);
    assert_eq!(
        (answer.status(), answer.code()),
        (403, "caller_denied".into())
    );
    assert!(answer.text().contains("another caller"), "{answer:?}");
    let nobody = rig.proxy.send(format!(
        "GET /v/data HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n"
    ));
    assert_eq!(nobody.code(), "caller_unknown");
    // One that is not good spoils the request, whatever else it carries.
    let own = rig.log_in("web");
    let both = format!("sessionToken: {own}\nkeyManagerToken: {placeholder}");
    assert_eq!(rig.get("web", "/v/data", &both).status(), 403);
    assert_eq!(rig.vendor.requests(), []);
}

#[test]
fn forged_placeholders_go_nowhere() {
    let rig = rig("true");
    let placeholder = rig.log_in("batch");
    let mut parts: Vec<String> = placeholder.split('.').map(str::to_owned).collect();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[1]).unwrap()).unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let longer = URL_SAFE_NO_PAD.encode(claims.replace("\"exp\":1", "\"exp\":9"));
    let to_web = URL_SAFE_NO_PAD.encode(claims.replace("batch", "web"));
    let other_key = placeholder.replace(&parts[2], &"A".repeat(43));
    for forged in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{longer}.{}", parts[0], parts[2]),
        format!("{}.{to_web}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{placeholder}AAAA"),
        format!("{placeholder}.x"),
        other_key,
    ] {
        for caller in ["batch", "web"] {
            let fields = format!("Authorization: Bearer {forged}");
            let answer = rig.get(caller, "/v/data", &fields);
            assert_eq!(
                (answer.status(), answer.code()),
                (401, "caller_unknown".into()),
                "{forged}"
            );
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer error=\"invalid_token\"")
            );
        }
    }
    parts.pop();
    assert_eq!(rig.vendor.requests(), []);
}

#[test]
fn an_expired_placeholder_makes_a_client_log_in_again() {
    let rig = rig("{ lifetime: 1s }");
    let placeholder = rig.log_in("batch");
    let fields = format!("Authorization: Bearer {placeholder}");
    assert_eq!(rig.get("batch", "/v/data", &fields).status(), 200);
    std::thread::sleep(Duration::from_millis(1100));
    let answer = rig.get("batch", "/v/data", &fields);
    assert_eq!(
        (answer.status(), answer.code()),
        (401, "caller_unknown".into())
    );
    assert!(answer.header("www-authenticate").is_some());
    // Some clients show what has expired when they log in again.
    let again = rig.ask(
        "batch",
        "POST /v/token",
        &fields,
        "grant_type=client_credentials",
    );
    assert_eq!(again.status(), 200, "{again:?}");
    rig.check();
}

#[test]
fn a_placeholder_outlives_a_reload_and_a_restart_with_the_same_key() {
    let (vendor, elsewhere) = (vendor(), Upstream::ok());
    let key = "{ key: 0123456789abcdef0123456789abcdef }";
    for (emulate, status) in [(key, 200), ("true", 200)] {
        let yaml = file(vendor.address(), elsewhere.address(), emulate);
        let first = TestProxy::start(&yaml);
        let login = "POST /v/token HTTP/1.1\r\nHost: localhost\r\nX-Caller: batch-key\r\nContent-Length: 0\r\n\r\n";
        let placeholder = super::json(&first.send(login))["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        let request = format!(
            "GET /v/x HTTP/1.1\r\nHost: localhost\r\nX-Caller: batch-key\r\nAuthorization: Bearer {placeholder}\r\n\r\n"
        );
        first
            .reload(&format!(
                "{yaml}- {{ match: /more/, upstream: 'http://{}/' }}\n",
                elsewhere.address()
            ))
            .unwrap();
        assert_eq!(
            first.send(&request).status(),
            status,
            "after a reload: {emulate}"
        );
        let changed = file(
            vendor.address(),
            elsewhere.address(),
            "{ key: another-key-of-32-characters-abc }",
        );
        first.reload(&changed).unwrap();
        assert_eq!(first.send(&request).status(), 401, "with another key");
        drop(first);
        assert_eq!(
            TestProxy::start(&yaml).send(&request).status(),
            status,
            "{emulate}"
        );
    }
}
