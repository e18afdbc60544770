//! A client that insists on logging in gets an answer in its vendor's shape, and the vendor hears nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::{bearer, json, rig, secret_form};
use crate::support::{PATIENCE, SECRET, TestProxy, Upstream};

#[test]
fn any_credentials_log_in_and_the_vendor_hears_nothing() {
    let rig = rig("true");
    for (fields, body) in [
        ("", secret_form()),
        (
            "Authorization: Basic bWFkZTp1cA==",
            "grant_type=client_credentials".into(),
        ),
        (
            "Authorization: Bearer something",
            "grant_type=refresh_token&refresh_token=x".into(),
        ),
        (
            "Content-Type: application/json",
            r#"{"grant_type":"password","scope":"a b"}"#.into(),
        ),
        ("Content-Type: text/plain", "\u{0}\u{ff}{".into()),
        ("", String::new()),
    ] {
        let answer = rig.ask("batch", "POST /v/token?x=1", fields, &body);
        assert_eq!(answer.status(), 200, "{body}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let login = json(&answer);
        assert_eq!(login["token_type"], "Bearer");
        assert_eq!(login["expires_in"], 3600);
        let scope = body.contains("scope").then_some("a b");
        assert_eq!(login["scope"].as_str(), scope, "{body}");
    }
    let exchange = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=x";
    assert_eq!(
        json(&rig.ask("batch", "POST /v/token", "", exchange))["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(rig.vendor.requests(), []);
}

#[test]
fn only_the_method_of_the_login_is_answered() {
    let rig = rig("true");
    for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
        let answer = rig.ask("batch", &format!("{method} /v/token"), "", "");
        assert_eq!(answer.code(), "token_endpoint_denied", "{method}");
    }
    let mut client = rig.proxy.connect();
    client.send("HEAD /v/token HTTP/1.1\r\nHost: localhost\r\nX-Caller: batch-key\r\n\r\n");
    assert_eq!(client.answer_to_head().status(), 403);
    // Without `emulate`, and for callers that the proxy does not know.
    assert_eq!(rig.ask("batch", "POST /plain/token", "", "").status(), 200);
    assert_eq!(
        rig.ask("nobody", "POST /v/token", "", "").code(),
        "caller_unknown"
    );
    assert_eq!(rig.vendor.requests().len(), 1, "the token of /plain/");
}

#[test]
fn every_spelling_of_a_login_is_answered_or_refused() {
    let rig = rig("true");
    for target in [
        "/v/token/",
        "/v/TOKEN",
        "/v/%74oken",
        "/v//token",
        "/v/x/../token",
        "/v/token;x=1",
    ] {
        let answer = rig.ask("batch", &format!("POST {target}"), "", "");
        assert!(matches!(answer.status(), 200 | 403), "{target}: {answer:?}");
        assert!(!answer.text().contains("kanarienvogel"));
    }
    assert_eq!(rig.vendor.requests(), []);
}

#[test]
fn a_login_is_read_to_64_kib_and_no_further() {
    let rig = rig("true");
    let most = "x".repeat(64 * 1024);
    assert_eq!(rig.ask("batch", "POST /v/token", "", &most).status(), 200);
    for size in [64 * 1024 + 1, 1024 * 1024] {
        let mut client = rig.proxy.connect();
        client.send(format!(
            "POST /v/token HTTP/1.1\r\nHost: localhost\r\nX-Caller: batch-key\r\nContent-Length: {size}\r\n\r\n"
        ));
        client.send("x".repeat(size));
        let answer = client.answer();
        assert_eq!(
            (answer.status(), answer.code()),
            (400, "request_invalid".into()),
            "{size}"
        );
        assert!(client.ends());
    }
    let chunk = format!("{:x}\r\n{}\r\n", 32 * 1024, "x".repeat(32 * 1024));
    let mut client = rig.proxy.connect();
    client.send("POST /v/token HTTP/1.1\r\nHost: localhost\r\nX-Caller: batch-key\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        client.send(&chunk);
    }
    assert_eq!(client.answer().status(), 400);
    assert_eq!(rig.vendor.requests(), []);
}

#[test]
fn a_login_whose_body_does_not_come_is_given_up() {
    let rig = rig("true");
    let mut client = TcpStream::connect(rig.proxy.address()).unwrap();
    client.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    let head = "POST /v/token HTTP/1.1\r\nHost: localhost\r\nX-Caller: batch-key\r\nContent-Length: 9\r\n\r\nscope";
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    rig.check();
}

#[test]
fn a_login_and_what_follows_may_be_pipelined() {
    let rig = rig("true");
    let placeholder = rig.log_in("batch");
    let head = "Host: localhost\r\nX-Caller: batch-key\r\n";
    let mut client = rig.proxy.connect();
    client.send(format!(
        "POST /v/token HTTP/1.1\r\n{head}Content-Length: 30\r\n\r\nGET /v/smuggled HTTP/1.1\r\n\r\n\r\n\
         GET /v/data HTTP/1.1\r\n{head}Authorization: Bearer {placeholder}\r\n\r\n\
         POST /v/token HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ));
    assert!(json(&client.answer())["access_token"].is_string());
    assert_eq!(client.answer().text(), "ok");
    assert!(json(&client.answer())["access_token"].is_string());
    let paths: Vec<_> = rig
        .vendor
        .requests()
        .iter()
        .map(|it| it.second().to_owned())
        .collect();
    assert_eq!(paths, ["/token", "/data"]);
    assert_eq!(
        rig.vendor.requests()[1].header("authorization"),
        Some(&*bearer())
    );
    rig.check();
}

/// Symphony: several routes with one credential, each login in its own shape.
#[test]
fn a_vendor_of_several_routes_has_one_placeholder_for_all() {
    let pod = Upstream::ok();
    let address = pod.address();
    let proxy = TestProxy::start(&format!(
        r#"credentials:
  pod:
    static: {{ header: sessionToken, value: {{ env: SECRET }} }}
    inject:
      - {{ header: sessionToken, value: "{{{{ value }}}}" }}
      - {{ header: keyManagerToken, value: "km-{{{{ value }}}}" }}
    emulate:
      - path: /login/pubkey/authenticate
        body: '{{"name":"sessionToken","token":"{{{{ placeholder }}}}","authorizationToken":"Bearer {{{{ placeholder }}}}"}}'
      - path: /relay/pubkey/authenticate
        body: '{{"name":"keyManagerToken","token":"{{{{ placeholder }}}}"}}'
      - path: /login/v1/pubkey/app/authenticate/extensionApp
        echo: appToken
        body: '{{"appToken":"{{{{ appToken }}}}","symphonyToken":"{{{{ placeholder }}}}","expireAt":{{{{ expires_at_ms }}}}}}'
      - /login/pubkey/app/user/{{id}}/authenticate
routes:
  - {{ match: /login/, upstream: 'http://{address}/login/', credential: pod, emulate: true }}
  - {{ match: /relay/, upstream: 'http://{address}/context/relay/', credential: pod, emulate: true }}
  - {{ match: /agent/, upstream: 'http://{address}/agent/', credential: pod, emulate: true }}
"#
    ));
    let session = json(&proxy.post("/login/pubkey/authenticate", br#"{"token":"made up"}"#));
    let manager = json(&proxy.post("/relay/pubkey/authenticate", br#"{"token":"made up"}"#));
    assert_eq!(session["name"], "sessionToken");
    assert_eq!(manager["name"], "keyManagerToken");
    let app = proxy.post(
        "/login/v1/pubkey/app/authenticate/extensionApp",
        br#"{"appToken":"a-1","authToken":"b"}"#,
    );
    assert_eq!(json(&app)["appToken"], "a-1");
    let denied = proxy.post("/login/pubkey/app/user/77/authenticate", b"");
    assert_eq!(denied.code(), "token_endpoint_denied");
    assert_eq!(pod.requests(), []);

    let (session, manager) = (
        session["token"].as_str().unwrap(),
        manager["token"].as_str().unwrap(),
    );
    let answer = proxy.send(format!(
        "GET /agent/v1/info HTTP/1.1\r\nHost: localhost\r\nsessionToken: {session}\r\nkeyManagerToken: {manager}\r\n\r\n"
    ));
    assert_eq!(answer.status(), 200, "{answer:?}");
    let sent = pod.request();
    assert_eq!(sent.headers("sessiontoken"), [SECRET]);
    assert_eq!(sent.headers("keymanagertoken"), [format!("km-{SECRET}")]);
}

/// What a vendor's main credential lists counts for its families, which have routes of their own.
#[test]
fn families_share_logins_and_placeholders() {
    let vendor = Upstream::ok();
    let address = vendor.address();
    let proxy = TestProxy::start(&format!(
        r#"credentials:
  pod:
    static: {{ header: sessionToken, value: {{ env: SECRET }} }}
    families: [{{ path: /agent/, credential: agent }}, {{ path: /relay/, credential: relay }}]
    emulate:
      - {{ path: /relay/login, body: '{{"token":"{{{{ placeholder }}}}"}}' }}
      - /agent/login
  agent: {{ static: {{ header: agentToken, value: {{ env: SECRET }} }} }}
  relay: {{ static: {{ header: relayToken, value: {{ env: SECRET }} }} }}
routes:
  - {{ match: /, upstream: 'http://{address}/', credential: pod, emulate: true }}
"#
    ));
    assert_eq!(
        proxy.post("/agent/login", b"").code(),
        "token_endpoint_denied"
    );
    let login = json(&proxy.post("/relay/login", b""));
    let placeholder = login["token"].as_str().unwrap();
    assert_eq!(vendor.requests(), []);
    for (target, header) in [
        ("/agent/x", "agenttoken"),
        ("/relay/x", "relaytoken"),
        ("/x", "sessiontoken"),
    ] {
        let answer = proxy.send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nsessionToken: {placeholder}\r\n\r\n"
        ));
        assert_eq!(answer.status(), 200, "{answer:?}");
        let sent = vendor.requests().pop().unwrap();
        assert_eq!(sent.headers(header), [SECRET], "{target}");
        assert!(!format!("{sent:?}").contains("eyJ"), "{sent:?}");
    }
}
