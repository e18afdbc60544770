//! Tokens of callers: which prove somebody, and what is when their issuer's keys can't be had.

use serde_json::json;

use super::{
    issuer::{JSON, at},
    *,
};

#[test]
fn who_shows_a_bad_token_is_nobody() {
    let (issuer, stranger, vendor, upstream) =
        (Issuer::new(), Issuer::new(), Vendor::new(), Upstream::ok());
    let keys = keys(&issuer);
    let proxy = TestProxy::start(
        &[
            callers(&keys),
            minting(&vendor),
            route(&upstream, "subject: caller"),
        ]
        .concat(),
    );
    let good = issuer.about(ADA);
    let (text, _) = good.rsplit_once('.').unwrap();
    for (what, jwt) in [
        ("signed by another", stranger.about(ADA)),
        ("not signed", format!("{text}.")),
        (
            "expired",
            issuer.with(&json!({ "sub": ADA, "exp": at(-3600) })),
        ),
        (
            "not valid yet",
            issuer.with(&json!({ "sub": ADA, "nbf": at(3600) })),
        ),
        (
            "for another",
            issuer.with(&json!({ "sub": ADA, "aud": "other" })),
        ),
        (
            "of another",
            issuer.with(&json!({ "sub": ADA, "iss": "https://else.example" })),
        ),
        (
            "without an end",
            issuer.with(&json!({ "sub": ADA, "exp": null })),
        ),
        ("about nobody", issuer.with(&json!({}))),
    ] {
        let answer = proxy.send(get(&bearer(&jwt)));
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (401, "caller_unknown"),
            "{what}"
        );
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{what}: {challenge}");
    }
    assert_eq!((vendor.server.count(), upstream.count()), (0, 0));
    assert_eq!(proxy.send(get(&bearer(&good))).status(), 200);
    // A proof is remembered, but not for another signature.
    assert_eq!(proxy.send(get(&bearer(&format!("{text}.")))).status(), 401);
}

#[test]
fn a_token_that_was_good_is_not_once_it_has_ended() {
    let (issuer, vendor, upstream) = (Issuer::new(), Vendor::new(), Upstream::ok());
    let keys = keys(&issuer);
    // No leeway: the end is the end.
    let callers = callers(&keys).replace("algorithms:", "leeway: 0s, algorithms:");
    let proxy = TestProxy::start(
        &[
            callers,
            minting(&vendor),
            route(&upstream, "subject: caller"),
        ]
        .concat(),
    );
    let request = get(&bearer(&issuer.with(&json!({ "sub": ADA, "exp": at(3) }))));
    assert_eq!(proxy.send(&request).status(), 200);
    until("it has ended", || {
        proxy.send(&request).code() == "caller_unknown"
    });
}

#[test]
fn while_there_were_never_keys_tokens_are_503_and_keys_of_callers_go_on() {
    let (issuer, vendor, upstream) = (Issuer::new(), Vendor::new(), Upstream::ok());
    let up = Arc::new(AtomicBool::new(false));
    let keys = Upstream::start({
        let (up, keys) = (Arc::clone(&up), issuer.keys());
        move |exchange| match up.load(Ordering::SeqCst) {
            true => exchange.answer(200, JSON, &keys),
            false => exchange.answer(500, "", token(70).as_str()),
        }
    });
    let proxy = TestProxy::start(
        &[
            callers(&keys),
            minting(&vendor),
            route(&upstream, "subject: caller"),
        ]
        .concat(),
    );
    let request = get(&bearer(&issuer.about(ADA)));
    for _ in 0..20 {
        let answer = proxy.send(&request);
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (503, "caller_unverified")
        );
        assert!(
            answer.header("www-authenticate").is_none(),
            "the token may be good"
        );
    }
    assert!(keys.count() <= 2, "{} calls", keys.count());
    assert_eq!((vendor.server.count(), upstream.count()), (0, 0));
    assert_eq!(proxy.send(get(&key(CLERK))).status(), 200);
    up.store(true, Ordering::SeqCst);
    until("the issuer is back", || {
        proxy.send(&request).status() == 200
    });
    assert_eq!(vendor.users(), ["clerk", ADA]);
}

#[test]
fn a_request_waits_for_keys_that_are_on_their_way() {
    let (issuer, vendor, upstream) = (Issuer::new(), Vendor::new(), Upstream::ok());
    let gate = Gate::default();
    let keys = Upstream::start({
        let (gate, keys) = (gate.clone(), issuer.keys());
        move |exchange| {
            gate.pass();
            exchange.answer(200, JSON, &keys);
        }
    });
    let proxy = TestProxy::start(
        &[
            callers(&keys),
            minting(&vendor),
            route(&upstream, "subject: caller"),
        ]
        .concat(),
    );
    let mut clients: Vec<_> = [ADA, BOB, ADA]
        .into_iter()
        .map(|user| {
            let mut client = proxy.connect();
            client.send(get(&bearer(&issuer.about(user))));
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!((keys.count(), vendor.server.count()), (1, 2));
}
