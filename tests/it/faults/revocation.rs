//! `revoke_on_exit`: tokens that nobody needs any more are given back (RFC 7009), once, and nobody waits long for it.

use std::{path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bearerd::clock::now;

use crate::{
    grants::{form, json},
    store::with_store,
    support::{Gate, Message, TestProxy, Upstream, token, until},
};

/// Issues tokens at `/token`, each with a refresh token, and takes them back at `/revoke`; its document names both.
fn service() -> Upstream {
    issuing(3600)
}

/// Tokens that live for so many seconds.
fn issuing(life: u32) -> Upstream {
    Upstream::start(move |exchange| {
        let host = exchange
            .request
            .header("host")
            .unwrap_or_default()
            .to_owned();
        let n = exchange.number + 1;
        let body = match exchange.request.second() {
            "/revoke" => return exchange.answer(200, "", ""),
            "/token" => format!(
                r#"{{"access_token":"{}","refresh_token":"{}","expires_in":{life}}}"#,
                token(n),
                token(100 + n)
            ),
            "/.well-known/openid-configuration" => format!(
                r#"{{"issuer":"http://{host}","token_endpoint":"http://{host}/token","revocation_endpoint":"http://{host}/revoke"}}"#
            ),
            _ => return exchange.answer(404, "", ""),
        };
        json(exchange, 200, &body);
    })
}

fn revocations(server: &Upstream) -> Vec<Message> {
    let mut requests = server.requests();
    requests.retain(|it| it.second() == "/revoke");
    requests
}

/// Kinds and tokens of the revocations, in the order in which they came.
fn revoked(server: &Upstream) -> Vec<(String, String)> {
    let requests = revocations(server);
    let forms = requests.iter().map(form);
    forms
        .map(|form| (form["token_type_hint"].clone(), form["token"].clone()))
        .collect()
}

fn revokes(kind: &str, keys: &str, server: &Upstream, upstream: &Upstream) -> String {
    let address = server.address();
    let keys = format!(
        "token_url: 'http://{address}/token', revocation_url: 'http://{address}/revoke', {keys}"
    );
    with_keys(kind, &keys, upstream)
}

fn with_keys(kind: &str, keys: &str, upstream: &Upstream) -> String {
    let kind = format!(
        "{{ {kind}: {{ client_id: tester, client_secret: {{ env: SECRET }}, revoke_on_exit: true, {keys} }} }}"
    );
    crate::grants::yaml(&kind, upstream)
}

#[test]
fn the_end_of_the_process_revokes_each_token_once() {
    let (server, upstream) = (service(), Upstream::ok());
    let keys = "username: jo, password: { env: SECRET }";
    let proxy = TestProxy::start(&revokes("password", keys, &server, &upstream));
    assert_eq!(proxy.get("/").status(), 200);
    proxy.finish();
    let expected = [("refresh_token", token(101)), ("access_token", token(1))];
    let expected = expected.map(|(kind, token)| (kind.to_owned(), token));
    assert_eq!(revoked(&server), expected);
    let basic = format!(
        "Basic {}",
        STANDARD.encode("tester:kanarienvogel%2Fs%2Bcret%261")
    );
    for request in revocations(&server) {
        assert_eq!(request.header("authorization"), Some(&*basic));
        assert!(request.start.starts_with("POST "), "{}", request.start);
        assert_eq!(form(&request).len(), 2, "the token and its kind");
    }
    drop(proxy);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(revoked(&server).len(), 2, "not again with the slot");
}

#[test]
fn what_renews_a_token_that_has_ended_is_revoked_too() {
    let (server, upstream) = (issuing(1), Upstream::ok());
    let keys = "username: jo, password: { env: SECRET }";
    let proxy = TestProxy::start(&revokes("password", keys, &server, &upstream));
    assert_eq!(proxy.get("/").status(), 200);
    until("it has ended", || {
        let view = &proxy.app.credentials().views()[0];
        view.expires_in.is_none() && view.last_fetch.is_some()
    });
    proxy.finish();
    let revoked = revoked(&server);
    assert_eq!(revoked.len(), 1, "{revoked:?}");
    assert_eq!(revoked[0].0, "refresh_token");
}

#[test]
fn an_issuer_says_where() {
    let (server, upstream) = (service(), Upstream::ok());
    let keys = format!("issuer: 'http://{}'", server.address());
    let proxy = TestProxy::start(&with_keys("client_credentials", &keys, &upstream));
    assert_eq!(proxy.get("/").status(), 200);
    proxy.finish();
    let revoked = revoked(&server);
    assert!(
        revoked.contains(&("access_token".into(), token(2))),
        "{revoked:?}"
    );
}

#[test]
fn what_a_reload_removes_is_revoked_once_no_request_has_it() {
    let gate = Gate::default();
    let server = service();
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            if exchange.request.second() == "/slow" {
                gate.pass();
            }
            exchange.answer(200, "", "ok");
        }
    });
    let yaml = revokes(
        "client_credentials",
        "client_auth: basic",
        &server,
        &upstream,
    );
    let proxy = TestProxy::start(&yaml);
    let mut slow = proxy.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("it is under way", || upstream.count() == 1);
    proxy
        .reload(&yaml.replace("client_id: tester", "client_id: other"))
        .unwrap();
    assert_eq!(proxy.get("/").status(), 200);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(revoked(&server), [], "a request is under way with it");
    gate.open();
    assert_eq!(slow.answer().status(), 200);
    // Workers look at the newest configuration with their next request.
    until("it is revoked", || {
        assert_eq!(proxy.get("/").status(), 200);
        !revoked(&server).is_empty()
    });
    until("both are", || revoked(&server).len() == 2);
    assert_eq!(revoked(&server)[1], ("access_token".into(), token(1)));
    assert_eq!(proxy.app.credentials().views().len(), 1);
}

#[test]
fn an_endpoint_that_hangs_does_not_hold_up_the_end() {
    let gate = Gate::default();
    let upstream = Upstream::ok();
    let server = Upstream::start({
        let gate = gate.clone();
        move |exchange| match exchange.request.second() {
            "/token" => {
                let body = format!(r#"{{"access_token":"{}","expires_in":3600}}"#, token(1));
                json(exchange, 200, &body);
            }
            _ => gate.pass(),
        }
    });
    let yaml = revokes("client_credentials", "timeout: 60s", &server, &upstream);
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").status(), 200);
    let began = now();
    proxy.finish();
    let took = began.elapsed();
    gate.open();
    assert_eq!(revocations(&server).len(), 1);
    assert!(
        took > Duration::from_secs(2) && took < Duration::from_secs(6),
        "{took:?}"
    );
}

#[test]
fn what_a_store_or_a_person_keeps_is_not_revoked_and_check_says_so() {
    let (server, upstream) = (service(), Upstream::ok());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-stores/revoked");
    let _ = std::fs::remove_dir_all(&folder);
    let stored = revokes(
        "client_credentials",
        "client_auth: basic",
        &server,
        &upstream,
    );
    let stored = with_store(&folder, &stored);
    let by_hand = revokes(
        "refresh_token",
        "refresh_token: { env: SECRET }",
        &server,
        &upstream,
    );
    for (yaml, why) in [
        (stored, "the `store` keeps them for the next start"),
        (by_hand, "only a person could replace them"),
    ] {
        let proxy = TestProxy::start(&yaml);
        assert_eq!(proxy.get("/").status(), 200, "{why}");
        let report = proxy.reload(&yaml).unwrap().report.render(false);
        assert!(
            report.contains("`main` are not revoked") && report.contains(why),
            "{report}"
        );
        proxy.finish();
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(revoked(&server), []);
}

#[test]
fn a_file_that_does_not_say_where_is_refused() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&crate::support::plain(&upstream));
    let yaml = with_keys(
        "client_credentials",
        "token_url: 'https://login.example/token'",
        &upstream,
    );
    let refused = proxy.reload(&yaml).unwrap_err();
    let text = crate::support::text_of(&refused);
    assert!(
        text.contains("where tokens are revoked is not known"),
        "{text}"
    );
}
