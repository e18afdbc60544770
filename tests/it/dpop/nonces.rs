//! Nonces that an upstream wants to see: kept, never mistaken for a refusal, never asked for twice in a request.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    thread,
};

use super::*;
use crate::support::Answer;

/// What a refused request is told.
#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "credential_refused"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("dpop-nonce"), None);
}

/// Takes only proofs with this nonce.
fn asking(nonce: &'static str) -> Upstream {
    Upstream::start(move |exchange| {
        if nonce_of(exchange) == nonce {
            exchange.answer(200, "", "");
        } else {
            ask(exchange, nonce);
        }
    })
}

#[test]
fn an_upstream_that_asks_for_a_nonce_gets_it_and_the_token_stays() {
    let (tokens, upstream) = (binding(), asking("kanarienvogel-nonce"));
    let proxy = proxy(&tokens, &upstream);
    let body = [b'y'; 10_240];
    let answer = proxy.post("/x", &body);
    assert_eq!((answer.status(), answer.header("dpop-nonce")), (200, None));
    // It is kept for the requests after.
    assert_eq!(proxy.get("/x").status(), 200);
    let (requests, proofs) = (upstream.requests(), proofs(&upstream));
    let nonces: Vec<_> = proofs.iter().map(|it| it.text("nonce")).collect();
    let known = "kanarienvogel-nonce";
    assert_eq!(nonces, ["", known, known]);
    assert!(requests[1].body == body && proofs.iter().all(|it| it.text("ath") == hash(&token(1))));
    let ids: HashSet<_> = proofs.iter().map(|it| it.text("jti")).collect();
    assert_eq!((ids.len(), tokens.count()), (3, 1));
}

#[test]
fn a_nonce_that_comes_on_a_good_answer_is_in_the_next_proof_and_not_for_the_client() {
    let tokens = binding();
    let upstream = Upstream::start(|exchange| {
        let fields = format!("DPoP-Nonce: n-{}\r\n", exchange.number);
        exchange.answer(200, &fields, "");
    });
    let proxy = proxy(&tokens, &upstream);
    for _ in 0..3 {
        let answer = proxy.get("/x");
        assert_eq!((answer.status(), answer.header("dpop-nonce")), (200, None));
    }
    let proofs = proofs(&upstream);
    let nonces: Vec<_> = proofs.iter().map(|it| it.text("nonce")).collect();
    assert_eq!(nonces, ["", "n-0", "n-1"]);
}

#[test]
fn an_upstream_that_asks_for_ever_costs_one_replay_a_request_and_no_token() {
    let tokens = binding();
    let upstream = Upstream::start(|exchange| ask(exchange, &format!("n-{}", exchange.number)));
    let proxy = proxy(&tokens, &upstream);
    for round in 1..=5 {
        let answer = proxy.get("/x");
        assert_refused(&answer);
        assert!(answer.text().contains("asks for a DPoP nonce again"));
        assert_eq!((upstream.count(), tokens.count()), (2 * round, 1));
    }
}

#[test]
fn a_refusal_of_the_token_after_a_nonce_is_mended_too() {
    let tokens = binding();
    let upstream = Upstream::start(|exchange| {
        let proof = Proof::of(&exchange.request);
        if proof.text("nonce") != "n" {
            ask(exchange, "n");
        } else if proof.text("ath") == hash(&token(1)) {
            exchange.answer(
                401,
                "WWW-Authenticate: DPoP error=\"invalid_token\"\r\n",
                "",
            );
        } else {
            exchange.answer(200, "", "");
        }
    });
    let proxy = proxy(&tokens, &upstream);
    assert_eq!(proxy.post("/x", b"body").status(), 200);
    assert_eq!((upstream.count(), tokens.count()), (3, 2));
}

#[test]
fn a_challenge_without_a_usable_nonce_is_neither_answered_nor_a_reason_to_renew() {
    let long = "n".repeat(257);
    for nonce in ["", "two words", "caf\u{e9}", &long] {
        let tokens = binding();
        let given = nonce.to_owned();
        let upstream = Upstream::start(move |exchange| ask(exchange, &given));
        let proxy = proxy(&tokens, &upstream);
        let answer = proxy.get("/x");
        assert_refused(&answer);
        assert!(answer.text().contains("none that can be used"));
        assert_eq!((upstream.count(), tokens.count()), (1, 1), "{nonce:?}");
    }
}

#[test]
fn a_body_that_can_not_be_sent_again_costs_the_request_but_not_the_nonce() {
    let (tokens, upstream) = (binding(), asking("n"));
    let proxy = TestProxy::start(&yaml(&tokens, &upstream, ", replay_buffer: 4KiB"));
    let large = [b'x'; 5000];
    assert_refused(&proxy.post("/x", &large));
    assert_eq!(upstream.count(), 1);
    assert_eq!(proxy.post("/x", &large).status(), 200);
    assert_eq!((upstream.count(), tokens.count()), (2, 1));
}

#[test]
fn where_refusals_are_handed_on_so_is_a_challenge_that_no_nonce_ends() {
    let tokens = binding();
    let upstream = Upstream::start(|exchange| ask(exchange, "n"));
    let refused = ", refused: { then: pass }";
    for more in [refused, ", refused: never"] {
        let proxy = TestProxy::start(&yaml(&tokens, &upstream, more));
        let answer = proxy.get("/x");
        assert_eq!((answer.status(), answer.header("dpop-nonce")), (401, None));
    }
    assert_eq!(upstream.count(), 4);
}

#[test]
fn two_upstreams_of_one_credential_have_a_nonce_each() {
    let (tokens, one, other) = (binding(), asking("one"), asking("other"));
    let yaml = format!(
        "{}  - {{ name: other, match: /other/, upstream: 'http://{}/', credential: main }}\n",
        yaml(&tokens, &one, ""),
        other.address()
    );
    let proxy = TestProxy::start(&yaml);
    for _ in 0..2 {
        assert_eq!(proxy.get("/x").status(), 200);
        assert_eq!(proxy.get("/other/x").status(), 200);
    }
    assert_eq!((one.count(), other.count(), tokens.count()), (3, 3, 1));
}

#[test]
fn nonces_of_requests_at_the_same_time_race_harmlessly() {
    let tokens = binding();
    let known = Arc::new(Mutex::new(HashSet::<String>::new()));
    // Each answer brings another nonce, and whatever was given once is taken.
    let upstream = Upstream::start(move |exchange| {
        let fresh = format!("n-{}", exchange.number);
        known.lock().unwrap().insert(fresh.clone());
        if known.lock().unwrap().contains(&nonce_of(exchange)) {
            exchange.answer(200, &format!("DPoP-Nonce: {fresh}\r\n"), "");
        } else {
            ask(exchange, &fresh);
        }
    });
    let proxy = TestProxy::with_workers(2, &yaml(&tokens, &upstream, ""));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..8 {
                    assert_eq!(proxy.post("/x", b"body").status(), 200);
                }
            });
        }
    });
    assert_eq!(tokens.count(), 1);
    let most = 16 * 8 + 16;
    assert!(upstream.count() <= most, "{} requests", upstream.count());
    let ids: HashSet<_> = proofs(&upstream)
        .iter()
        .map(|it| it.text("jti").to_owned())
        .collect();
    assert_eq!(ids.len(), upstream.count());
}
