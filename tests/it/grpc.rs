//! gRPC calls: a refusal in the head of an answer, and answers of the proxy's own that a gRPC client understands.

use crate::support::{
    Answer, Exchange, TestProxy, TokenAnswer, TokenEndpoint, Upstream, closed_port, token,
    with_credential,
};

const TYPE: &str = "Content-Type: application/grpc\r\n";

/// The answer to a call with a message of a few bytes.
#[track_caller]
fn call(proxy: &TestProxy) -> Answer {
    proxy.send(format!(
        "POST /pkg.Service/Method HTTP/1.1\r\nHost: localhost\r\n{TYPE}TE: trailers\r\nContent-Length: 8\r\n\r\n\0\0\0\0\u{3}abc"
    ))
}

fn outcome(answer: &Answer) -> (u16, Option<&str>, Option<&str>) {
    (
        answer.status(),
        answer.header("content-type"),
        answer.header("grpc-status"),
    )
}

const fn grpc(status: &str) -> (u16, Option<&str>, Option<&str>) {
    (200, Some("application/grpc"), Some(status))
}

fn carries(exchange: &Exchange<'_>, number: usize) -> bool {
    exchange.request.header("authorization") == Some(&format!("Bearer {}", token(number)))
}

/// Answers the first token with this outcome, any other with success.
fn refusing(status: u8) -> Upstream {
    Upstream::start(move |exchange| {
        let status = if carries(exchange, 1) { status } else { 0 };
        exchange.answer(200, &format!("{TYPE}grpc-status: {status}\r\n"), "");
    })
}

#[test]
fn a_call_whose_credential_is_refused_is_made_again_with_its_message() {
    let (tokens, upstream) = (TokenEndpoint::good(), refusing(16));
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(outcome(&call(&proxy)), grpc("0"));
    let requests = upstream.requests();
    assert_eq!((requests.len(), tokens.calls()), (2, 2));
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(outcome(&call(&proxy)), grpc("0"));
    assert_eq!((upstream.count(), tokens.calls()), (3, 2));
}

#[test]
fn a_second_refusal_is_unavailable_and_tells_no_secret() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        exchange.answer(
            200,
            &format!("{TYPE}grpc-status: 16\r\ngrpc-message: their words\r\n"),
            "",
        );
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let answer = call(&proxy);
    assert_eq!(outcome(&answer), grpc("14"));
    let message = answer.header("grpc-message").unwrap();
    assert!(message.starts_with("credential_refused%3A%20"), "{message}");
    assert!(!message.contains("words"), "{message}");
    assert_eq!(answer.text(), "");
    assert_eq!((upstream.count(), tokens.calls()), (2, 2));
    // The token endpoint is not hammered.
    for _ in 0..50 {
        assert_eq!(outcome(&call(&proxy)), grpc("14"));
    }
    assert!(tokens.calls() <= 5, "{} token calls", tokens.calls());
}

#[test]
fn the_upstreams_own_outcome_is_handed_on_where_the_route_says_so() {
    for (setting, calls) in [("refused: { then: pass }", 2), ("refused: never", 1)] {
        let tokens = TokenEndpoint::good();
        let upstream = Upstream::start(|exchange| {
            let fields = format!("{TYPE}grpc-status: 16\r\ngrpc-message: their words\r\n");
            exchange.answer(200, &fields, "");
        });
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, setting));
        let answer = call(&proxy);
        assert_eq!(outcome(&answer), grpc("16"));
        assert_eq!(answer.header("grpc-message"), Some("their words"));
        assert_eq!((upstream.count(), tokens.calls()), (calls, calls));
    }
}

#[test]
fn other_outcomes_count_where_the_route_names_them_and_are_not_made_twice() {
    let (tokens, upstream) = (TokenEndpoint::good(), refusing(7));
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(outcome(&call(&proxy)), grpc("7"));
    assert_eq!(tokens.calls(), 1);

    let (tokens, upstream) = (TokenEndpoint::good(), refusing(7));
    let setting = "refused: { grpc_status: [7] }";
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, setting));
    // Unlike 16, it does not say that nothing was done.
    assert_eq!(outcome(&call(&proxy)), grpc("14"));
    assert_eq!(upstream.count(), 1);
    assert_eq!(outcome(&call(&proxy)), grpc("0"));
    assert_eq!(tokens.calls(), 2);
}

/// Whoever stands before the service answers so without having looked at the credential.
#[test]
fn an_outcome_that_says_nothing_of_the_credential_is_no_acceptance_of_a_new_one() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        let status = if exchange.number == 1 { 14 } else { 16 };
        exchange.answer(200, &format!("{TYPE}grpc-status: {status}\r\n"), "");
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    for _ in 0..2 {
        assert_eq!(outcome(&call(&proxy)), grpc("14"));
    }
    assert_eq!((upstream.count(), tokens.calls()), (3, 2));
}

#[test]
fn a_field_of_that_name_in_other_answers_means_nothing() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        exchange.answer(200, "Content-Type: text/plain\r\ngrpc-status: 16\r\n", "x");
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(call(&proxy).text(), "x");
    assert_eq!((upstream.count(), tokens.calls()), (1, 1));
}

#[test]
fn errors_of_the_proxy_are_outcomes_of_a_call() {
    let upstream = Upstream::ok();
    let failing = |status: u16, body: &str| {
        TokenEndpoint::always(TokenAnswer::Status(status, String::new(), body.into()))
    };
    for (tokens, code, status) in [
        (failing(503, ""), "token_unavailable", "14"),
        (
            failing(400, r#"{"error":"invalid_client"}"#),
            "token_rejected",
            "14",
        ),
        (
            TokenEndpoint::always(TokenAnswer::Silence),
            "token_timeout",
            "4",
        ),
    ] {
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "wait: 300ms"));
        let answer = call(&proxy);
        assert_eq!(outcome(&answer), grpc(status), "{code}");
        let message = answer.header("grpc-message").unwrap();
        assert!(message.starts_with(&format!("{code}%3A%20")), "{message}");
        assert!(answer.header("proxy-status").is_some());
    }
    let proxy = TestProxy::start(&format!(
        "routes: [{{ match: /other/, upstream: 'http://{}/' }}]\n",
        closed_port()
    ));
    assert_eq!(outcome(&call(&proxy)), grpc("12"));
    // And of nothing else: the same request without the type.
    assert_eq!(proxy.get("/").code(), "route_not_found");
}
