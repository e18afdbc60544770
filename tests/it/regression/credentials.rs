//! Where a secret goes is settled by the file alone, and it is seen nowhere else.

use std::thread;

use crate::support::{
    Authority, Gate, SECRET, TestProxy, TokenAnswer, TokenEndpoint, Upstream, credentials,
    logged_lines, token, until, with_credential,
};

/// 41: a redirect of the upstream is the client's to follow, or not.
#[test]
fn a_redirect_is_never_followed() {
    let (tokens, evil) = (TokenEndpoint::good(), Upstream::ok());
    let target = format!("http://{}/x", evil.address());
    for status in [301, 302, 303, 307, 308] {
        let upstream = Upstream::start({
            let field = format!("Location: {target}\r\n");
            move |exchange| exchange.answer(status, &field, "")
        });
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
        let answer = proxy.get("/");
        assert_eq!(answer.status(), status);
        assert_eq!(answer.header("location"), Some(&*target));
    }
    assert_eq!(evil.connections(), 0);
}

/// 43: what an upstream says of authorization servers is hearsay.
#[test]
fn a_challenge_does_not_choose_the_token_endpoint() {
    let (tokens, evil) = (TokenEndpoint::good(), Upstream::ok());
    let upstream = Upstream::start({
        let at = evil.address();
        move |exchange| {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{at}/token\", authorization_uri=\"http://{at}/\", \
                 resource_metadata=\"http://{at}/m\", error=\"invalid_token\"\r\nLink: <http://{at}/>; rel=\"token\"\r\n"
            );
            exchange.answer(401, &challenge, "");
        }
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let answer = proxy.get("/");
    assert_eq!(answer.code(), "credential_refused");
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(evil.connections(), 0);
    assert_eq!(tokens.calls(), 2);
}

/// 44: no error, and no line of the log at its most talkative, holds a secret in any spelling. Every test of this
/// binary searches for it; this one makes sure that there is something to search.
#[test]
fn the_log_is_searched_for_secrets() {
    let before = logged_lines();
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/?q=1").status(), 200);
    until("lines of this request are logged", || {
        logged_lines() > before + 3
    });
}

/// 44: the answers of a token endpoint, and of an upstream that repeats what it was sent, are in no error of ours.
#[test]
fn errors_quote_neither_tokens_nor_answers() {
    let quoting = [
        TokenAnswer::Status(
            400,
            String::new(),
            format!("{{\"error\":\"invalid_client\",\"error_description\":\"{SECRET}\"}}"),
        ),
        TokenAnswer::Status(500, String::new(), SECRET.into()),
        TokenAnswer::Status(
            200,
            String::new(),
            format!("{{\"access_token\":\"{}\\r\\n\"}}", token(0)),
        ),
        TokenAnswer::Status(200, String::new(), format!("not json {}", token(0))),
        TokenAnswer::Raw(format!("HTTP/1.1 200 {SECRET}\r\nX: {SECRET}\r\n\r").into()),
    ];
    for answer in quoting {
        let upstream = Upstream::ok();
        let tokens = TokenEndpoint::always(answer);
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "wait: 1s"));
        let answer = proxy.get("/");
        assert!(matches!(answer.status(), 502..=504), "{answer:?}");
        assert_eq!(upstream.count(), 0);
    }
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        let sent = exchange
            .request
            .header("authorization")
            .unwrap_or_default()
            .to_owned();
        exchange.answer(
            401,
            &format!("WWW-Authenticate: Bearer error_description=\"{sent}\"\r\n"),
            &sent,
        );
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/").code(), "credential_refused");
}

/// 49: a redirect of the token endpoint would carry the secret with it.
#[test]
fn a_redirect_of_the_token_endpoint_carries_nothing_along() {
    for status in [301, 302, 303, 307, 308] {
        let evil = Upstream::ok();
        let upstream = Upstream::ok();
        let location = format!("Location: http://{}/token\r\n", evil.address());
        let tokens = TokenEndpoint::always(TokenAnswer::Status(status, location, String::new()));
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
        let answer = proxy.get("/");
        assert_eq!((answer.status(), &*answer.code()), (502, "token_redirect"));
        assert_eq!((evil.connections(), upstream.count()), (0, 0));
    }
}

/// 50: a herd on a cold credential is one token call.
#[test]
fn many_cold_callers_are_one_token_call() {
    let (gate, upstream) = (Gate::default(), Upstream::ok());
    let tokens = TokenEndpoint::start({
        let gate = gate.clone();
        move |_| TokenAnswer::Held(gate.clone(), Box::new(TokenAnswer::Token(3600)))
    });
    let proxy = TestProxy::with_workers(2, &with_credential(&tokens, &upstream, ""));
    let mut clients: Vec<_> = (0..200).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    until("the token endpoint is asked", || tokens.calls() == 1);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(tokens.calls(), 1);
    assert_eq!(upstream.count(), 200);
}

/// 50: a caller that goes away takes nobody's fetch with it.
#[test]
fn a_caller_that_leaves_does_not_end_the_fetch() {
    let (gate, upstream) = (Gate::default(), Upstream::ok());
    let tokens = TokenEndpoint::start({
        let gate = gate.clone();
        move |_| TokenAnswer::Held(gate.clone(), Box::new(TokenAnswer::Token(3600)))
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut first = proxy.connect();
    first.send("GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("the token endpoint is asked", || tokens.calls() == 1);
    let mut second = proxy.connect();
    second.send("GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n");
    first.reset();
    gate.open();
    assert_eq!(second.answer().status(), 200);
    assert_eq!(tokens.calls(), 1);
}

/// 51: a certificate for another name, of an unknown authority, or out of date: nothing is sent, not even the head.
#[test]
fn an_upstream_that_can_not_be_trusted_gets_nothing() {
    let (authority, other) = (Authority::new("trusted"), Authority::new("other"));
    let tokens = TokenEndpoint::good();
    let cases = [
        (&authority, "localhost", 200),
        (&authority, "elsewhere.example", 502),
        (&authority, "expired.localhost", 502),
        (&other, "localhost", 502),
    ];
    for (issuer, name, status) in cases {
        let upstream = Upstream::over_tls(issuer, name, |exchange| exchange.answer(200, "", ""));
        let server_name = if name == "expired.localhost" {
            name
        } else {
            "localhost"
        };
        let proxy = TestProxy::start(&format!(
            "{}routes:\n- match: /\n  credential: main\n  upstream:\n    url: https://localhost:{}/\n    \
             tls: {{ ca: '{}', server_name: {server_name} }}\n",
            credentials(&tokens),
            upstream.address().port(),
            authority.file().display(),
        ));
        let answer = proxy.get("/");
        assert_eq!(answer.status(), status, "{name}: {answer:?}");
        if status == 502 {
            assert_eq!(answer.code(), "upstream_tls", "{name}");
            assert_eq!(
                answer.header("proxy-status"),
                Some("bearerd; error=tls_certificate_error; details=\"upstream\"")
            );
            assert!(upstream.bytes().concat().is_empty(), "{name}");
        }
    }
}

/// 51: the same at the token endpoint, before the client's secret.
#[test]
fn a_token_endpoint_that_can_not_be_trusted_gets_nothing() {
    let (authority, other) = (
        Authority::new("trusted-tokens"),
        Authority::new("other-tokens"),
    );
    let upstream = Upstream::ok();
    let cases = [
        (&authority, "localhost", true),
        (&authority, "elsewhere.example", false),
        (&authority, "expired.localhost", false),
        (&other, "localhost", false),
    ];
    for (issuer, name, trusted) in cases {
        let tokens = Upstream::over_tls(issuer, name, |exchange| {
            exchange.answer(
                200,
                "",
                &format!("{{\"access_token\":\"{}\",\"expires_in\":60}}", token(1)),
            );
        });
        let proxy = TestProxy::start(&format!(
            "credentials:\n  main:\n    client_credentials:\n      token_url: https://localhost:{}/\n      \
             client_id: a\n      client_secret: {{ env: SECRET }}\n      tls: {{ ca: '{}' }}\n\
             routes: [{{ match: /, upstream: 'http://{}/', credential: main, wait: 5s }}]\n",
            tokens.address().port(),
            authority.file().display(),
            upstream.address(),
        ));
        let answer = proxy.get("/");
        if trusted {
            assert_eq!(answer.status(), 200, "{answer:?}");
        } else {
            assert_eq!(
                (answer.status(), &*answer.code()),
                (503, "token_unavailable"),
                "{name}"
            );
            assert_eq!(
                answer.header("proxy-status"),
                Some("bearerd; error=tls_certificate_error; details=\"token-endpoint\"")
            );
            assert!(tokens.bytes().concat().is_empty(), "{name}");
        }
    }
    assert_eq!(upstream.count(), 1);
}

/// A connection that broke may have told the secret to somebody: each call shows it once, to the file's address.
#[test]
fn the_token_call_is_what_the_file_says() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut clients: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                assert_eq!(client.answer().status(), 200);
            });
        }
    });
    let calls = tokens.requests();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].start, "POST /token HTTP/1.1");
    assert_eq!(calls[0].text(), "grant_type=client_credentials");
    assert!(
        calls[0]
            .header("authorization")
            .unwrap()
            .starts_with("Basic ")
    );
}
