//! No token by the back door: a client gets no token of the vendor's, whatever it asks for, and what it gets
//! instead is worth nothing elsewhere.

mod endpoints;
mod logins;
mod placeholders;
mod vendors;

use std::net::SocketAddr;

use crate::support::{Answer, SECRET, TestProxy, Upstream, token};

/// A vendor with its token endpoint (`/token`) and its API on one server, and somebody else's server.
struct Rig {
    vendor: Upstream,
    elsewhere: Upstream,
    proxy: TestProxy,
}

/// `main` at the vendor with callers `batch` and `web`; `other` is another credential, and `/open/` has none.
fn rig(emulate: &str) -> Rig {
    let vendor = vendor();
    let elsewhere = Upstream::ok();
    let proxy = TestProxy::start(&file(vendor.address(), elsewhere.address(), emulate));
    Rig {
        vendor,
        elsewhere,
        proxy,
    }
}

fn vendor() -> Upstream {
    Upstream::start(|exchange| {
        let body = match exchange.request.second() {
            "/token" => format!(r#"{{"access_token":"{}","expires_in":3600}}"#, token(1)),
            _ => "ok".to_owned(),
        };
        exchange.answer(200, "", &body);
    })
}

fn file(vendor: SocketAddr, elsewhere: SocketAddr, emulate: &str) -> String {
    format!(
        "callers:\n  batch: {{ api_key: {{ header: X-Caller, key: batch-key }} }}\n  \
         web: {{ api_key: {{ header: X-Caller, key: web-key }} }}\n\
         credentials:\n  main:\n    client_credentials:\n      token_url: http://{vendor}/token\n      client_id: tester\n      \
         client_secret: {{ env: SECRET }}\n  other: {{ static: {{ token: {{ env: SECRET }} }} }}\n\
         routes:\n\
         - {{ match: /v/, upstream: 'http://{vendor}/', credential: main, emulate: {emulate} }}\n\
         - {{ match: /api/, upstream: 'http://{elsewhere}/', credential: main, emulate: {emulate}, \
              inject: {{ query: access_token, value: '{{{{ access_token }}}}' }} }}\n\
         - {{ match: /plain/, upstream: 'http://{elsewhere}/', credential: main }}\n\
         - {{ match: /other/, upstream: 'http://{elsewhere}/', credential: other, emulate: true }}\n\
         - {{ match: /open/, upstream: 'http://{elsewhere}/' }}\n"
    )
}

impl Rig {
    /// A request of a caller with these lines in its head.
    fn ask(&self, caller: &str, line: &str, fields: &str, body: &str) -> Answer {
        let fields: String = fields.lines().map(|field| format!("{field}\r\n")).collect();
        self.proxy.send(format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nX-Caller: {caller}-key\r\nContent-Length: {}\r\n{fields}\r\n{body}",
            body.len()
        ))
    }

    fn get(&self, caller: &str, target: &str, fields: &str) -> Answer {
        self.ask(caller, &format!("GET {target}"), fields, "")
    }

    /// What a caller gets that logs in with made-up credentials.
    #[track_caller]
    fn log_in(&self, caller: &str) -> String {
        let body = "grant_type=client_credentials&client_id=made&client_secret=up";
        let answer = self.ask(caller, "POST /v/token", "", body);
        assert_eq!(answer.status(), 200, "{answer:?}");
        json(&answer)["access_token"].as_str().unwrap().to_owned()
    }

    /// Nobody but the proxy itself was at the token endpoint, and nobody saw a placeholder.
    #[track_caller]
    fn check(&self) {
        for request in self.vendor.requests() {
            let own = request.text().contains("client_id=tester")
                || request
                    .header("authorization")
                    .is_some_and(|it| it.starts_with("Basic "));
            assert!(request.second() != "/token" || own, "{request:?}");
        }
        for server in [&self.vendor, &self.elsewhere] {
            for bytes in server.bytes() {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert!(!text.contains("eyJ"), "a placeholder was sent on: {text}");
            }
        }
    }
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.message.body).unwrap()
}

/// What the proxy's own token looks like to the vendor.
fn bearer() -> String {
    format!("Bearer {}", token(1))
}

/// The secret of a client that logs in with one; it belongs into no log either.
fn secret_form() -> String {
    let secret: String = form(SECRET);
    format!("grant_type=client_credentials&client_id=x&client_secret={secret}&scope=a+b")
}

fn form(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
