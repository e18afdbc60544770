//! The token endpoint in trouble: a valid token goes on being used; without one, a typed answer and nothing sent.

use std::time::Duration;

use bearerd::clock::now;

use crate::support::{
    Answer, Gate, TestProxy, TokenAnswer, TokenEndpoint, Upstream, closed_port, token, until,
    with_credential,
};

fn status(status: u16, fields: &str, body: &str) -> TokenAnswer {
    TokenAnswer::Status(status, fields.into(), body.into())
}

/// Each answer of the endpoint, with none before it: what the client is told, and nothing goes upstream.
#[track_caller]
fn cold(answer: TokenAnswer, expected: (u16, &str)) -> Answer {
    let upstream = Upstream::ok();
    let shown = format!("{answer:?}");
    let shown = &shown[..shown.len().min(200)];
    let tokens = TokenEndpoint::always(answer);
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "wait: 5s"));
    let answer = proxy.get("/");
    assert_eq!((answer.status(), &*answer.code()), expected, "{shown}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{shown}"
    );
    let proxy_status = answer.header("proxy-status").unwrap();
    assert!(
        proxy_status.starts_with("bearerd; error="),
        "{shown}: {proxy_status}"
    );
    assert!(
        proxy_status.contains("details=\"token-endpoint\""),
        "{shown}: {proxy_status}"
    );
    assert_eq!(upstream.connections(), 0, "{shown}");
    answer
}

#[test]
fn a_refusing_endpoint_is_503_with_the_time_of_the_next_attempt() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::good();
    let yaml = with_credential(&tokens, &upstream, "")
        .replace(&tokens.address().to_string(), &closed_port().to_string());
    let proxy = TestProxy::start(&yaml);
    for _ in 0..20 {
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status(), &*answer.code()),
            (503, "token_unavailable")
        );
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_failed_endpoint_is_not_asked_by_every_request() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::always(status(500, "", "down"));
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let since = now();
    for _ in 0..100 {
        assert_eq!(proxy.get("/").code(), "token_unavailable");
    }
    let most = 1 + since.elapsed().as_secs() as usize;
    assert!(
        tokens.calls() <= most,
        "{} calls in {:?}",
        tokens.calls(),
        since.elapsed()
    );
}

#[test]
fn an_endpoint_that_comes_back_is_used_again() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::start(|call| match call {
        1 => status(503, "", ""),
        _ => TokenAnswer::Token(3600),
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/").code(), "token_unavailable");
    until("requests are served again", || {
        proxy.get("/").status() == 200
    });
    assert_eq!(tokens.calls(), 2);
}

#[test]
fn a_limiting_endpoint_is_left_alone_as_long_as_it_says() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::always(status(429, "Retry-After: 30\r\n", "slow down"));
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    for _ in 0..10 {
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status(), &*answer.code()),
            (503, "token_rate_limited")
        );
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((28..=30).contains(&after), "{after}");
    }
    assert_eq!(tokens.calls(), 1);
}

#[test]
fn a_silent_endpoint_is_504_and_delays_nobody_else() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::always(TokenAnswer::Silence);
    let yaml = with_credential(&tokens, &upstream, "wait: 1s");
    let proxy = TestProxy::start(&format!(
        "{yaml}  - {{ match: /open/, upstream: 'http://{}/' }}\n",
        upstream.address()
    ));
    let mut stuck = proxy.connect();
    stuck.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("the endpoint is asked", || tokens.calls() == 1);
    let since = now();
    for _ in 0..20 {
        assert_eq!(proxy.get("/open/").status(), 200);
    }
    assert!(since.elapsed() < Duration::from_secs(1));
    let answer = stuck.answer();
    assert_eq!((answer.status(), &*answer.code()), (504, "token_timeout"));
    assert_eq!(tokens.calls(), 1);
}

#[test]
fn a_dripping_endpoint_is_504() {
    cold(
        TokenAnswer::Drip(Duration::from_millis(50)),
        (504, "token_timeout"),
    );
}

#[test]
fn errors_of_the_endpoint_have_their_codes() {
    cold(
        status(400, "", r#"{"error":"invalid_client"}"#),
        (502, "token_rejected"),
    );
    cold(
        status(400, "", r#"{"error":"invalid_grant"}"#),
        (502, "token_rejected"),
    );
    cold(
        status(401, "", r#"{"error":"invalid_client"}"#),
        (502, "token_rejected"),
    );
    cold(status(403, "", "forbidden"), (502, "token_rejected"));
    cold(
        status(500, "", "<html>oops</html>"),
        (503, "token_unavailable"),
    );
    cold(status(503, "", ""), (503, "token_unavailable"));
    cold(TokenAnswer::Reset, (503, "token_unavailable"));
    cold(
        TokenAnswer::Raw(b"garbage\r\n\r\n".into()),
        (503, "token_unavailable"),
    );
    cold(TokenAnswer::Raw(Vec::new()), (503, "token_unavailable"));
    cold(
        TokenAnswer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access".into()),
        (503, "token_unavailable"),
    );
}

#[test]
fn unusable_answers_are_502_and_never_sent() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "\"token\"",
        "<html></html>",
        "{\"access_token\":\"\"}",
        "{\"access_token\":7}",
        "{\"access_token\":null,\"expires_in\":60}",
        "{\"access_token\":\"a\\r\\nX-Evil: 1\"}",
        "{\"access_token\":\"a\\u0000b\"}",
        "{\"access_token\":\"a b\u{e4}\"}",
        "{\"access_token\":\"a\"",
    ] {
        cold(status(200, "", body), (502, "token_malformed"));
    }
}

#[test]
fn a_huge_answer_is_not_read_to_its_end() {
    let mut huge = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec();
    huge.resize(3 << 20, b' ');
    cold(TokenAnswer::Raw(huge), (502, "token_malformed"));
    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n300000\r\n".to_vec();
    endless.resize(3 << 20, b' ');
    cold(TokenAnswer::Raw(endless), (502, "token_malformed"));
}

#[test]
fn a_rejected_client_does_not_disturb_other_credentials() {
    let (good, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let bad = TokenEndpoint::always(status(400, "", r#"{"error":"invalid_client"}"#));
    let one = |name: &str, tokens: &TokenEndpoint| {
        format!(
            "  {name}: {{ client_credentials: {{ token_url: 'http://{}/', client_id: a, client_secret: {{ env: SECRET }} }} }}\n",
            tokens.address()
        )
    };
    let proxy = TestProxy::start(&format!(
        "credentials:\n{}{}routes:\n- {{ match: /good/, upstream: 'http://{up}/', credential: good }}\n\
         - {{ match: /bad/, upstream: 'http://{up}/', credential: bad }}\n",
        one("good", &good),
        one("bad", &bad),
        up = upstream.address()
    ));
    for _ in 0..5 {
        assert_eq!(proxy.get("/bad/").code(), "token_rejected");
        assert_eq!(proxy.get("/good/").status(), 200);
    }
    assert_eq!(bad.calls(), 1);
}

#[test]
fn odd_lives_are_understood() {
    let (hour, year) = (Some(3600), Some(366 * 86_400));
    for (life, seconds) in [
        ("3600", hour),
        ("\"3600\"", hour),
        ("3600.5", hour),
        // Unless the file says otherwise.
        ("null", hour),
        ("\"1e3\"", Some(1000)),
        ("1000000000000000000", year),
        ("4294967296", year),
        ("\"soon\"", None),
    ] {
        let body = format!(
            "{{\"access_token\":\"{}\",\"expires_in\":{life},}}",
            token(1)
        );
        let tokens = TokenEndpoint::always(status(200, "", &body));
        let upstream = Upstream::ok();
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
        for _ in 0..3 {
            let code = proxy.get("/").code();
            assert_eq!(
                code == "token_malformed",
                seconds.is_none(),
                "{life}: {code}"
            );
        }
        let left = proxy.app.credentials().views()[0].expires_in;
        let left = left.map(|left| left.as_secs());
        let off = left.zip(seconds).map(|(left, seconds)| seconds - left);
        assert_eq!(left.is_some(), seconds.is_some(), "{life}");
        assert!(off.is_none_or(|off| off <= 60), "{life}: {left:?}");
        assert_eq!(tokens.calls(), 1, "{life}");
    }
}

#[test]
fn a_token_that_comes_expired_is_no_endless_loop() {
    for life in ["0", "-1", "\"0\""] {
        let body = format!(
            "{{\"access_token\":\"{}\",\"expires_in\":{life}}}",
            token(1)
        );
        let tokens = TokenEndpoint::always(status(200, "", &body));
        let upstream = Upstream::ok();
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "wait: 1s"));
        let since = now();
        for _ in 0..10 {
            proxy.get("/");
        }
        let most = 3 + since.elapsed().as_secs() as usize;
        assert!(
            tokens.calls() <= most,
            "{life}: {} calls in {:?}",
            tokens.calls(),
            since.elapsed()
        );
    }
}

#[test]
fn a_valid_token_is_used_while_the_endpoint_is_down_and_not_after_its_end() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::start(|call| match call {
        1 => TokenAnswer::Token(2),
        _ => status(503, "", ""),
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "wait: 1s"));
    let since = now();
    let mut served = 0;
    let mut client = proxy.connect();
    loop {
        let asked = since.elapsed();
        let answer = client
            .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .answer();
        if answer.status() == 200 {
            served += 1;
            assert!(asked < Duration::from_secs(2), "sent after {asked:?}");
            continue;
        }
        assert_eq!(
            (answer.status(), &*answer.code()),
            (503, "token_unavailable")
        );
        assert!(
            asked > Duration::from_millis(1500),
            "not usable after {asked:?}"
        );
        break;
    }
    assert!(served > 10);
    assert_eq!(upstream.count(), served, "a request went without, or twice");
    for request in upstream.requests() {
        assert_eq!(
            request.header("authorization"),
            Some(&*format!("Bearer {}", token(1)))
        );
    }
    assert!(tokens.calls() > 1, "it was asked ahead of the end");
}

#[test]
fn short_tokens_roll_over_without_a_failure_or_a_wait() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::start(|_| TokenAnswer::Token(2));
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = proxy.connect();
    let since = now();
    while tokens.calls() < 4 {
        let answer = client
            .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .answer();
        assert_eq!(answer.status(), 200);
        assert!(since.elapsed() < Duration::from_secs(10));
    }
    assert!(
        since.elapsed() > Duration::from_secs(3),
        "renewed too often"
    );
    let views = proxy.app.credentials().views();
    assert_eq!(views[0].counters.waits, 1, "the first one alone waited");
}

#[test]
fn a_renewal_under_way_delays_nobody() {
    let (gate, upstream) = (Gate::default(), Upstream::ok());
    let tokens = TokenEndpoint::start({
        let gate = gate.clone();
        move |call| match call {
            1 => TokenAnswer::Token(2),
            _ => TokenAnswer::Held(gate.clone(), Box::new(TokenAnswer::Token(3600))),
        }
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = proxy.connect();
    let mut get = || {
        client
            .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .answer()
            .status()
    };
    until("a renewal is under way", || {
        assert_eq!(get(), 200);
        tokens.calls() == 2
    });
    assert_eq!(get(), 200);
    gate.open();
    until("the new token is used", || {
        assert_eq!(get(), 200);
        upstream.requests().pop().unwrap().header("authorization")
            == Some(&format!("Bearer {}", token(2)))
    });
    assert_eq!(tokens.calls(), 2);
}
