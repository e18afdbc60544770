//! A credential that the upstream refuses: renewed once, sent again once, and no more.

use std::sync::{Arc, Mutex};

use bearerd::clock::now;

use crate::support::{
    Exchange, Gate, TestProxy, TokenAnswer, TokenEndpoint, Upstream, token, until, with_credential,
};

/// Whether the request carries the n-th token.
fn carries(exchange: &Exchange<'_>, number: usize) -> bool {
    exchange.request.header("authorization") == Some(&format!("Bearer {}", token(number)))
}

/// Refuses the first token, takes any other; repeats the body.
fn revoking() -> Upstream {
    Upstream::start(|exchange| {
        if carries(exchange, 1) {
            exchange.answer(
                401,
                "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",
                "revoked",
            );
        } else {
            let body = exchange.request.text();
            exchange.answer(200, "", &body);
        }
    })
}

#[test]
fn a_refused_get_is_sent_again_with_a_new_token() {
    let (tokens, upstream) = (TokenEndpoint::good(), revoking());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/x?y=z").status(), 200);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        (requests[0].second(), requests[1].second()),
        ("/x?y=z", "/x?y=z")
    );
    assert_eq!(
        (tokens.calls(), proxy.get("/").status(), upstream.count()),
        (2, 200, 3)
    );
}

#[test]
fn a_refused_post_is_sent_again_with_its_body() {
    let body = "0123456789".repeat(1024);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\nX-Sum: 1\r\n\r\n", body.len());
    let framed = [
        (format!("Content-Length: {}", body.len()), body.clone()),
        (
            "Trailer: X-Sum\r\nTransfer-Encoding: chunked".to_owned(),
            chunked,
        ),
    ];
    for (field, sent) in framed {
        let (tokens, upstream) = (TokenEndpoint::good(), revoking());
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
        let answer = proxy.send(format!(
            "POST /x HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n{sent}"
        ));
        assert_eq!((answer.status(), answer.text() == body), (200, true));
        let requests = upstream.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].body, requests[1].body);
        assert_eq!(requests[0].trailers, requests[1].trailers);
        assert_eq!(
            requests[0].header("content-length"),
            requests[1].header("content-length")
        );
    }
}

#[test]
fn a_post_that_is_refused_before_its_body_has_come_is_sent_again_whole() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::at_head(|exchange| {
        if carries(exchange, 1) {
            exchange.answer(401, "", "");
        } else {
            exchange.read_body();
            let body = exchange.request.text();
            exchange.answer(200, "", &body);
        }
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = proxy.connect();
    client.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc");
    until("the second attempt is under way", || upstream.count() == 2);
    assert_eq!(client.send("def").answer().text(), "abcdef");
}

#[test]
fn a_body_beyond_the_replay_buffer_is_not_sent_again() {
    let (tokens, upstream) = (TokenEndpoint::good(), revoking());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "replay_buffer: 4KiB"));
    let large = [b'x'; 5000];
    let answer = proxy.post("/x", &large);
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "credential_refused")
    );
    assert_eq!(
        answer
            .header("proxy-status")
            .unwrap()
            .matches("received-status=401")
            .count(),
        1
    );
    assert_eq!(upstream.count(), 1);
    assert_eq!(upstream.request().body.len(), large.len(), "held back");
    // The token was renewed all the same: the client's next attempt goes through.
    assert_eq!(proxy.post("/x", &large).status(), 200);
    assert_eq!(tokens.calls(), 2);
}

#[test]
fn a_hundred_refusals_at_once_are_one_token_call() {
    let seen = Arc::new(Mutex::new(0));
    let (all, tokens) = (Gate::default(), TokenEndpoint::good());
    let upstream = Upstream::start({
        let seen = Arc::clone(&seen);
        move |exchange| {
            if exchange.request.second() == "/first" || !carries(exchange, 1) {
                return exchange.answer(200, "", "");
            }
            *seen.lock().unwrap() += 1;
            if *seen.lock().unwrap() == 100 {
                all.open();
            }
            all.pass();
            exchange.answer(401, "", "");
        }
    });
    let proxy = TestProxy::with_workers(2, &with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/first").status(), 200);
    let mut clients: Vec<_> = (0..100).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
    }
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(
        (tokens.calls(), *seen.lock().unwrap(), upstream.count()),
        (2, 100, 201)
    );
}

/// What others say of the new token is no reason to try it a third time.
#[test]
fn a_request_is_sent_again_once_also_where_others_accept_the_new_token() {
    let (gate, tokens) = (Gate::default(), TokenEndpoint::good());
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            if exchange.request.path() == "/good" {
                return exchange.answer(200, "", "");
            }
            if carries(exchange, 2) {
                gate.pass();
            }
            exchange.answer(401, "", "");
        }
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/good").status(), 200);
    let mut client = proxy.connect();
    client.send("GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("it is under way again", || upstream.count() == 3);
    assert_eq!(proxy.get("/good").status(), 200);
    gate.open();
    assert_eq!(client.answer().code(), "credential_refused");
    let requests = upstream.requests();
    let bad = requests.iter().filter(|request| request.path() == "/bad");
    assert_eq!(bad.count(), 2);
}

#[test]
fn a_second_refusal_is_ours_to_explain() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        exchange.answer(
            401,
            "WWW-Authenticate: Bearer\r\nX-Theirs: 1\r\n",
            "their words",
        );
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "credential_refused")
    );
    let proxy_status = answer.header("proxy-status").unwrap();
    assert!(
        proxy_status.contains("received-status=401"),
        "{proxy_status}"
    );
    assert_eq!(
        (answer.header("www-authenticate"), answer.header("x-theirs")),
        (None, None)
    );
    assert!(!answer.text().contains("their words"));
    assert_eq!((upstream.count(), tokens.calls()), (2, 2));
}

/// Whoever stands before the service fails without having looked at the credential.
#[test]
fn a_failure_of_the_upstream_is_no_acceptance_of_a_new_token() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        let status = if exchange.number == 1 { 503 } else { 401 };
        exchange.answer(status, "", "");
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/").status(), 503);
    assert_eq!(proxy.get("/").code(), "credential_refused");
    assert_eq!((upstream.count(), tokens.calls()), (3, 2));
}

#[test]
fn a_second_refusal_is_handed_on_where_the_route_says_so() {
    let tokens = TokenEndpoint::good();
    let upstream =
        Upstream::start(|exchange| exchange.answer(401, "X-Theirs: 1\r\n", "their words"));
    let proxy = TestProxy::start(&with_credential(
        &tokens,
        &upstream,
        "refused: { then: pass }",
    ));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), answer.header("x-theirs"), answer.text()),
        (401, Some("1"), "their words".into())
    );
    assert_eq!((upstream.count(), tokens.calls()), (2, 2));
}

#[test]
fn a_route_that_never_minds_hands_everything_on() {
    let (tokens, upstream) = (TokenEndpoint::good(), revoking());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "refused: never"));
    assert_eq!(proxy.get("/").status(), 401);
    assert_eq!((upstream.count(), tokens.calls()), (1, 1));
}

#[test]
fn a_renewal_that_brings_the_same_token_is_not_sent_again() {
    let tokens = TokenEndpoint::always(TokenAnswer::Same(token(1), 3600));
    let upstream = revoking();
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "credential_refused")
    );
    assert_eq!((upstream.count(), tokens.calls()), (1, 2));
}

#[test]
fn an_upstream_that_refuses_everything_does_not_hammer_the_token_endpoint() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| exchange.answer(401, "", ""));
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let since = now();
    for _ in 0..100 {
        assert_eq!(proxy.get("/").code(), "credential_refused");
    }
    let most = 3 + since.elapsed().as_secs() as usize;
    assert!(tokens.calls() <= most, "{} token calls", tokens.calls());
    assert!(
        upstream.count() <= 100 + tokens.calls(),
        "{} requests",
        upstream.count()
    );
}

#[test]
fn a_static_credential_is_not_sent_again() {
    let upstream = Upstream::start(|exchange| exchange.answer(401, "", ""));
    let proxy = TestProxy::start(&format!(
        "credentials: {{ key: {{ static: {{ token: {{ env: SECRET }} }} }} }}\n\
         routes: [{{ match: /, upstream: 'http://{}/', credential: key }}]\n",
        upstream.address()
    ));
    assert_eq!(proxy.get("/").code(), "credential_refused");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn other_statuses_count_where_the_route_names_them() {
    let refusing = || {
        Upstream::start(|exchange| {
            let status = if carries(exchange, 1) { 419 } else { 200 };
            exchange.answer(status, "", "");
        })
    };
    let (tokens, upstream) = (TokenEndpoint::good(), refusing());
    let proxy = TestProxy::start(&with_credential(
        &tokens,
        &upstream,
        "refused: { status: [419] }",
    ));
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(tokens.calls(), 2);

    // A 401 says that nothing was done; a 419 does not, so what may not be done twice is not sent twice.
    let (tokens, upstream) = (TokenEndpoint::good(), refusing());
    let proxy = TestProxy::start(&with_credential(
        &tokens,
        &upstream,
        "refused: { status: [419] }",
    ));
    assert_eq!(proxy.post("/", b"abc").code(), "credential_refused");
    assert_eq!(upstream.count(), 1);

    let (tokens, upstream) = (TokenEndpoint::good(), refusing());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!((proxy.get("/").status(), tokens.calls()), (419, 1));
}

#[test]
fn a_403_is_the_upstreams_own_affair() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| exchange.answer(403, "", "no"));
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/").text(), "no");
    assert_eq!((upstream.count(), tokens.calls()), (1, 1));
}
