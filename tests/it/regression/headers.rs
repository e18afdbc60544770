//! What the client may not send is taken out in every spelling; what is put in can't be taken out by the client.

use crate::support::{
    SECRET, TestProxy, TokenAnswer, TokenEndpoint, Upstream, closed_port, credentials, plain,
    token, with_credential,
};

/// 38: `Connection` names fields that go; ours come after that.
#[test]
fn connection_cannot_take_out_what_is_put_in() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let proxy = TestProxy::start(&with_credential(
        &tokens,
        &upstream,
        "forwarded: x-forwarded",
    ));
    let lines = [
        "Connection: authorization",
        "Connection: Authorization, X-Forwarded-For, x-forwarded-proto, via, host",
        "connection: close, AUTHORIZATION",
        "Connection: keep-alive\r\nConnection: authorization\r\nAuthorization: Bearer mine",
        "Connection: ,,authorization,,\r\nProxy-Connection: authorization",
        "Connection: content-length, transfer-encoding, trailer",
    ];
    for (number, line) in lines.into_iter().enumerate() {
        let answer = proxy.send(format!(
            "POST /x HTTP/1.1\r\nHost: localhost\r\n{line}\r\nContent-Length: 3\r\n\r\nabc"
        ));
        assert_eq!(answer.status(), 200, "{line}");
        let request = upstream.requests().remove(number);
        assert_eq!(
            request.headers("authorization"),
            [format!("Bearer {}", token(1))],
            "{line}"
        );
        assert_eq!(request.headers("x-forwarded-for"), ["127.0.0.1"], "{line}");
        assert_eq!(request.headers("x-forwarded-proto"), ["http"], "{line}");
        assert_eq!(
            request.headers("host"),
            [upstream.address().to_string()],
            "{line}"
        );
        assert!(request.header("via").is_some(), "{line}");
        assert_eq!(request.text(), "abc", "{line}");
    }
}

/// 39: one name in many spellings is one name.
#[test]
fn every_spelling_of_a_guarded_name_is_taken_out() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "credentials: {{ key: {{ static: {{ header: X-Api-Key, value: {{ env: SECRET }} }} }} }}\n\
         routes:\n\
         - match: /\n  upstream: http://{}/\n  credential: key\n  strip: {{ headers: [x-tenant], query: [api_key] }}\n",
        upstream.address()
    ));
    let answer = proxy.send(
        "GET /x?a=1&api_key=2&API_KEY=3&api-key=4&%61pi_key=5&b=6 HTTP/1.1\r\nHost: localhost\r\n\
         X-Api-Key: a\r\nx-api-key: b\r\nX_Api_Key: c\r\nX-API_KEY: d\r\nXApiKey: e\r\n\
         X-Tenant: f\r\nx_tenant: g\r\nAuthorization: Bearer mine\r\nauthorization: Basic mine\r\n\
         Proxy-Authorization: Basic mine\r\nX-Other: h\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.request();
    assert_eq!(request.headers("x-api-key"), [SECRET]);
    assert_eq!(request.header("x-other"), Some("h"));
    assert_eq!(request.second(), "/x?a=1&b=6");
    let names: Vec<_> = request
        .fields
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

/// 40: what the caller holds, and what let it in, is never the upstream's.
#[test]
fn what_the_client_authenticated_with_is_not_sent_on() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let proxy = TestProxy::start(&format!(
        "callers: {{ batch: {{ api_key: {{ key: {{ env: SECRET }} }} }} }}\n{}",
        with_credential(&tokens, &upstream, "")
    ));
    for fields in [
        "",
        "X-Api-Key: wrong\r\n",
        "Authorization: Bearer x\r\n",
        "X-Api-Key:\r\n",
    ] {
        let answer = proxy.send(format!(
            "GET /x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
        ));
        assert_eq!(
            (answer.status(), &*answer.code()),
            (401, "caller_unknown"),
            "{fields}"
        );
    }
    assert_eq!(upstream.count(), 0);
    let answer = proxy.send(format!(
        "GET /x HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {SECRET}\r\nAuthorization: Bearer mine\r\n\
         Cookie: session=mine\r\nProxy-Authorization: Basic mine\r\n\r\n"
    ));
    assert_eq!(answer.status(), 200);
    let request = upstream.request();
    assert_eq!(
        request.headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
    for name in ["x-api-key", "cookie", "proxy-authorization"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

/// 42: a request that goes on without a credential goes on without the client's, too.
#[test]
fn a_request_that_passes_without_a_credential_carries_none() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "credentials:\n  main:\n    client_credentials: {{ token_url: 'http://{}/', client_id: a, client_secret: {{ env: SECRET }} }}\n\
         routes:\n- {{ match: /, upstream: 'http://{}/', credential: main, on_failure: pass, wait: 1s }}\n",
        closed_port(),
        upstream.address()
    ));
    let answer = proxy.send(
        "GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mine\r\nCookie: a=b\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.request();
    assert_eq!(
        (request.header("authorization"), request.header("cookie")),
        (None, None)
    );
}

/// Fields of one connection stay on it, in both directions.
#[test]
fn hop_by_hop_fields_are_not_passed_on() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=9\r\nX-Mine: 1\r\nUpgrade: foo\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\nTE: gzip\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, X-Mine, x-other\r\nKeep-Alive: 5\r\nX-Mine: 1\r\n\
         X-Other: 1\r\nProxy-Connection: keep-alive\r\nUpgrade: foo\r\nTE: gzip, trailers\r\nHTTP2-Settings: a\r\n\
         Proxy-Authorization: Basic x\r\nX-Kept: 2\r\n\r\n",
    );
    let answer = client.answer();
    for name in [
        "connection",
        "keep-alive",
        "x-mine",
        "upgrade",
        "proxy-connection",
        "proxy-authenticate",
        "te",
    ] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-kept"), Some("2"));
    let request = upstream.request();
    for name in [
        "connection",
        "keep-alive",
        "x-mine",
        "x-other",
        "proxy-connection",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("x-kept"), Some("2"));
    assert!(request.header("te").is_none_or(|te| te == "trailers"));
}

/// What is said of the client is ours or nothing, unless the file says otherwise.
#[test]
fn what_is_said_of_the_client_follows_the_file() {
    let upstream = Upstream::ok();
    let route = |policy: &str| {
        format!(
            "- {{ match: /{policy}/, upstream: 'http://{}/', forwarded: {policy} }}\n",
            upstream.address()
        )
    };
    let proxy = TestProxy::start(&format!(
        "routes:\n{}{}{}{}",
        route("drop"),
        route("x-forwarded"),
        route("forwarded"),
        route("pass")
    ));
    let said = |policy: &str| {
        proxy.send(format!(
            "GET /{policy}/ HTTP/1.1\r\nHost: LocalHost\r\nX-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 7.7.7.7\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n"
        ));
        let request = upstream.requests().pop().unwrap();
        let mut said: Vec<_> = request
            .fields
            .into_iter()
            .filter(|(name, _)| !["host", "via"].contains(&name.as_str()))
            .collect();
        said.sort();
        said
    };
    let fields = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
        fields
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    assert_eq!(said("drop"), []);
    assert_eq!(
        said("x-forwarded"),
        fields(&[
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "localhost"),
            ("x-forwarded-proto", "http"),
        ])
    );
    assert_eq!(
        said("forwarded"),
        fields(&[("forwarded", "for=127.0.0.1;host=\"localhost\";proto=http")])
    );
    assert_eq!(said("pass").len(), 6);
}

/// A cookie of the client passes where the file says so, save one that we put in.
#[test]
fn an_injected_cookie_replaces_the_clients() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "credentials: {{ key: {{ static: {{ token: {{ env: SECRET }} }}, inject: {{ cookie: session, value: '{{{{ access_token }}}}' }} }} }}\n\
         routes: [{{ match: /, upstream: 'http://{}/', credential: key, cookies: pass }}]\n",
        upstream.address()
    ));
    proxy.send("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a=b; session=mine; c=d\r\nCookie: session=x\r\n\r\n");
    let cookies = upstream.request().headers("cookie").join("; ");
    assert!(
        cookies.contains("a=b") && cookies.contains("c=d"),
        "{cookies}"
    );
    assert_eq!(cookies.matches("session").count(), 1, "{cookies}");
    assert!(cookies.contains("session=kanarienvogel"), "{cookies}");
}

/// A route to the proxy itself is walked once.
#[test]
fn a_request_that_comes_round_again_is_refused() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let own = proxy.address();
    let reloaded = proxy.reload(&format!(
        "routes: [{{ match: /, upstream: 'http://{own}/' }}]"
    ));
    assert!(reloaded.is_ok());
    let answer = proxy.get("/x");
    assert_eq!((answer.status(), &*answer.code()), (508, "loop_detected"));
    assert_eq!(
        answer.header("proxy-status"),
        Some("bearerd; error=proxy_loop_detected")
    );
    assert_eq!(upstream.count(), 0);
}

/// Another proxy of the same make is no loop.
#[test]
fn other_proxies_in_via_are_no_loop() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.send(
        "GET /x HTTP/1.1\r\nHost: localhost\r\nVia: 1.1 bearerd-0000000000000000, 1.0 fred\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let via = upstream.request().headers("via").join(", ");
    assert!(
        via.starts_with("1.1 bearerd-0000000000000000, 1.0 fred, 1.1 bearerd-"),
        "{via}"
    );
}

/// `overwrite: false` is the one exception, and the caller's own header then stands alone.
#[test]
fn a_callers_own_header_is_kept_where_the_file_says_so() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let yaml = with_credential(&tokens, &upstream, "overwrite: false");
    assert!(yaml.starts_with(&credentials(&tokens)));
    let proxy = TestProxy::start(&yaml);
    proxy.send("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mine\r\n\r\n");
    proxy.get("/");
    let requests = upstream.requests();
    assert_eq!(requests[0].headers("authorization"), ["Bearer mine"]);
    assert_eq!(
        requests[1].headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
}

/// Nor does it wait for ours; where `Connection` takes its own away, it gets ours after all.
#[test]
fn a_callers_own_header_goes_out_while_our_token_can_not_be_had() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::start(|_| TokenAnswer::Reset);
    let yaml = with_credential(&tokens, &upstream, "overwrite: false");
    let proxy = TestProxy::start(&yaml);
    let own = "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mine\r\n";
    assert_eq!(
        proxy
            .send(format!("{own}Connection: keep-alive\r\n\r\n"))
            .status(),
        200
    );
    assert_eq!(tokens.calls(), 0);
    let named = format!("{own}Connection: authorization\r\n\r\n");
    assert_eq!(proxy.send(named).code(), "token_unavailable");
    assert_eq!(proxy.get("/").code(), "token_unavailable");
    assert_eq!(upstream.request().headers("authorization"), ["Bearer mine"]);
}

/// Its refusal says nothing of ours: nothing is renewed, and the caller hears what the upstream said.
#[test]
fn a_callers_own_header_that_is_refused_is_the_callers_affair() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        let own = exchange.request.header("authorization") == Some("Bearer mine");
        exchange.answer(if own { 401 } else { 200 }, "", "");
    });
    let yaml = with_credential(&tokens, &upstream, "overwrite: false");
    let proxy = TestProxy::start(&yaml);
    for _ in 0..2 {
        let own = "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer mine\r\n\r\n";
        let answer = proxy.send(own);
        assert_eq!((answer.status(), answer.code()), (401, String::new()));
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!((tokens.calls(), upstream.count()), (1, 4));
}
