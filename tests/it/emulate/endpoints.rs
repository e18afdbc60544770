//! No spelling, method or Host reaches a token endpoint with our credential.

use crate::support::{TestProxy, TokenEndpoint, Upstream, token};

/// A vendor whose token endpoints lie on the same server as its API.
struct Rig {
    vendor: Upstream,
    proxy: TestProxy,
}

impl Rig {
    /// `token_path` at the vendor, and the vendor's whole server as a route.
    fn new(token_path: &str) -> Self {
        Self::with(token_path, "/", "")
    }

    fn with(token_path: &str, base: &str, more: &str) -> Self {
        let vendor = super::vendor();
        let address = vendor.address();
        let proxy = TestProxy::start(&format!(
            "credentials:\n  main:\n    client_credentials:\n      token_url: http://{address}{token_path}\n      \
             client_id: tester\n      client_secret: {{ env: SECRET }}\n\
             routes:\n  - {{ match: /v/, upstream: 'http://{address}{base}', credential: main{more} }}\n"
        ));
        Self { vendor, proxy }
    }

    /// None of these reaches the vendor.
    #[track_caller]
    fn denies(&self, targets: &[&str]) {
        for target in targets {
            let answer = self.proxy.get(target);
            assert_eq!(answer.status(), 403, "{target}: {answer:?}");
            assert_eq!(answer.code(), "token_endpoint_denied", "{target}");
            assert_eq!(self.vendor.requests(), [], "{target}");
        }
    }
}

#[test]
fn no_spelling_of_a_token_endpoint_reaches_the_vendor() {
    Rig::new("/login/idm/tokens").denies(&[
        "/v/login/idm/tokens",
        "/v/login/idm/tokens?scope=sym-files",
        "/v/login/idm/tokens/",
        "/v/login/idm/tokens//",
        "/v//login/idm/tokens",
        "/v/login//idm/tokens",
        "/v/Login/IDM/TOKENS",
        "/v/login/idm/%74okens",
        "/v/login%2fidm%2Ftokens",
        "/v/login/idm/%2574okens",
        "/v/login/idm/%54OKENS",
        "/v/login/./idm/tokens",
        "/v/login/%2e/idm/tokens",
        "/v/login/x/../idm/tokens",
        "/v/x/%2e%2e/login/idm/tokens",
        "/v/login/idm/tokens;x",
        "/v/login;a=b/idm;c/tokens;jsessionid=1",
        "/v/login/idm/tokens%3Bx",
        "/v/login%5cidm%5Ctokens",
        "/v/login/idm/tokens%3fx",
        "/v/login/idm/tokens%23x",
        "/v/login/idm/tokens.json",
        "/v/login/idm/tokens.",
        "/v/login/idm/tokens%20",
    ]);
    Rig::new("/oauth2/token:generate").denies(&[
        "/v/oauth2/token:generate",
        "/v/oauth2/token%3Agenerate",
        "/v/oauth2/token%3agenerate",
        "/v/OAuth2/Token:Generate",
    ]);
    Rig::new("/v1/oauth/tokens").denies(&["/v/v1/oauth/tokens", "/v/prod/v1/oauth/tokens"]);
    Rig::new("/configapi/v2/oauth/token").denies(&["/v/configapi/v2/oauth/token"]);
    Rig::new("/oidc/v1/token").denies(&["/v/oidc/v1/token"]);
}

#[test]
fn no_method_reaches_a_token_endpoint() {
    let rig = Rig::new("/token");
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get",
    ] {
        let answer = rig.proxy.send(format!(
            "{method} /v/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(answer.code(), "token_endpoint_denied", "{method}");
    }
    let mut head = rig.proxy.connect();
    head.send("HEAD /v/token HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(head.answer_to_head().status(), 403);
    assert_eq!(rig.vendor.requests(), []);
}

#[test]
fn a_base_path_counts_as_it_is_sent() {
    let rig = Rig::with("/a/login/idm/tokens", "/a/%4cogin", "");
    rig.denies(&["/v/idm/tokens", "/v/idm/TOKENS/"]);
    let kept = Rig::with("/a/v/token", "/a/", ", strip_prefix: false");
    kept.denies(&["/v/token", "/v/token/"]);
}

#[test]
fn what_is_pipelined_behind_a_login_is_judged_by_itself() {
    let rig = Rig::new("/token");
    let mut client = rig.proxy.connect();
    let one = "POST /v/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    client.send(
        [
            one,
            one,
            "GET /v/%74oken HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ]
        .concat(),
    );
    for _ in 0..3 {
        assert_eq!(client.answer().code(), "token_endpoint_denied");
    }
    assert_eq!(rig.vendor.requests(), []);
}

#[test]
fn other_paths_and_other_servers_are_free() {
    let tokens = TokenEndpoint::good();
    let api = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "credentials:\n  main:\n    client_credentials:\n      token_url: http://{}/token\n      client_id: tester\n      \
         client_secret: {{ env: SECRET }}\n\
         routes:\n  - {{ match: /api/, upstream: 'http://{api}/', credential: main }}\n  \
         - {{ match: /open/, upstream: 'http://{api}/' }}\n",
        tokens.address(),
        api = api.address()
    ));
    for target in ["/api/token", "/open/token", "/api/tokens/1"] {
        assert_eq!(proxy.get(target).status(), 200, "{target}");
    }
}

#[test]
fn the_host_that_the_vendor_sees_decides_too() {
    let vendor = Upstream::ok();
    for host_header in ["login.example.com", "client"] {
        let proxy = TestProxy::start(&format!(
            "credentials:\n  main:\n    client_credentials:\n      token_url: https://Login.example.com./token\n      \
             client_id: tester\n      client_secret: {{ env: SECRET }}\n\
             routes:\n  - match: /v/\n    upstream: {{ url: 'http://{}/', host_header: {host_header} }}\n    \
             credential: main\n",
            vendor.address()
        ));
        assert_eq!(proxy.get("/v/token").code(), "token_endpoint_denied");
        assert_eq!(vendor.requests(), []);
    }
}

#[test]
fn no_header_names_another_path() {
    let rig = Rig::with("/token", "/", ", forwarded: pass");
    for name in ["X-Original-URL", "X-Rewrite-URL", "x_original_url"] {
        rig.proxy.send(format!(
            "GET /v/data HTTP/1.1\r\nHost: localhost\r\n{name}: /token\r\n\r\n"
        ));
    }
    let sent = rig.vendor.requests();
    let data: Vec<_> = sent.iter().filter(|it| it.second() == "/data").collect();
    assert_eq!(data.len(), 3, "{sent:?}");
    assert!(!format!("{data:?}").contains("/token"), "{sent:?}");
}

#[test]
fn an_endpoint_that_its_issuer_names_is_known_by_its_last_word() {
    let vendor = super::vendor();
    let address = vendor.address();
    let proxy = TestProxy::start(&format!(
        "credentials:\n  main:\n    client_credentials:\n      issuer: http://{address}/realms/x\n      \
         client_id: tester\n      client_secret: {{ env: SECRET }}\n\
         routes:\n  - {{ match: /v/, upstream: 'http://{address}/', credential: main }}\n"
    ));
    let answer = proxy.post("/v/realms/x/protocol/openid-connect/Token/", b"");
    assert_eq!(answer.code(), "token_endpoint_denied");
    assert_eq!(vendor.requests(), []);
}

/// What one credential is bought with buys the other: neither's login is for clients, on the routes of both.
#[test]
fn the_logins_of_credentials_that_build_on_one_another_are_denied_on_the_routes_of_both() {
    let (first, second) = (super::vendor(), super::vendor());
    let proxy = TestProxy::start(&format!(
        "credentials:\n  login:\n    client_credentials:\n      token_url: http://{one}/token\n      \
         client_id: tester\n      client_secret: {{ env: SECRET }}\n  \
         main: {{ token_exchange: {{ token_url: 'http://{two}/token', subject: {{ credential: login }} }} }}\n\
         routes:\n  - {{ match: /one/, upstream: 'http://{one}/', credential: main }}\n  \
         - {{ match: /two/, upstream: 'http://{two}/', credential: login }}\n",
        one = first.address(),
        two = second.address(),
    ));
    for target in ["/one/token", "/two/token"] {
        assert_eq!(
            proxy.get(target).code(),
            "token_endpoint_denied",
            "{target}"
        );
    }
    assert_eq!((first.count(), second.count()), (0, 0));
}

#[test]
fn a_path_that_serves_everything_is_denied_with_the_endpoints_query_only() {
    let vendor = Upstream::start(|exchange| {
        let body = match exchange.request.second() {
            "/api?v=2&action=token" => format!(r#"{{"access_token":"{}"}}"#, token(1)),
            _ => "ok".to_owned(),
        };
        exchange.answer(200, "", &body);
    });
    let address = vendor.address();
    let proxy = |emulate: bool| {
        TestProxy::start(&format!(
            "credentials:\n  main:\n    client_credentials:\n      token_url: 'http://{address}/api?v=2&action=token'\n      \
             client_id: tester\n      client_secret: {{ env: SECRET }}\n\
             routes:\n  - {{ match: /v/, upstream: 'http://{address}/', credential: main, emulate: {emulate} }}\n"
        ))
    };
    let (plain, emulating) = (proxy(false), proxy(true));
    let rig = Rig {
        vendor,
        proxy: plain,
    };
    rig.denies(&[
        "/v/api?v=2&action=token",
        "/v/api?action=token",
        "/v/API/?Action=%74oken&v=1",
        "/v/api?action=list&%61ction=token",
        "/v/api?action%3dtoken",
        "/v/api%3faction=token",
        "/v/api;action=token",
    ]);
    // A form may say what the query does not.
    for kind in ["", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let answer = rig.proxy.send(format!(
            "POST /v/api?action=list HTTP/1.1\r\nHost: localhost\r\n{kind}Content-Length: 12\r\n\r\naction=token"
        ));
        assert_eq!(answer.code(), "token_endpoint_denied", "{kind}");
    }
    assert_eq!(rig.vendor.requests(), []);
    for target in ["/v/api?action=list", "/v/api?v=2", "/v/api"] {
        assert_eq!(rig.proxy.get(target).status(), 200, "{target}");
    }
    let json = "POST /v/api?action=list HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(rig.proxy.send(json).status(), 200);

    let answer = emulating.post("/v/api?action=token&v=2", b"grant_type=client_credentials");
    assert!(answer.text().contains("eyJ"), "a placeholder: {answer:?}");
    let answer = emulating.post("/v/api?action=list", b"grant_type=client_credentials");
    assert_eq!(answer.code(), "token_endpoint_denied");
}
