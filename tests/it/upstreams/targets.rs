//! An upstream at several places: what is shared out, what goes elsewhere, and what never does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{
    Gate, Http2Upstream, Relay, TestProxy, TokenEndpoint, Upstream, closed_port, credentials, until,
};

/// A route for everything to these; `more` are further keys of the upstream.
fn several(targets: &[SocketAddr], more: &str) -> String {
    let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
    format!(
        "routes:\n  - match: /\n    upstream: {{ url: 'http://app.test/', targets: ['{}']{more} }}\n",
        targets.join("', '")
    )
}

/// So many clients, each with so many requests one after the other; meanwhile `what` happens. The statuses that came.
pub(super) fn under_load(
    proxy: &TestProxy,
    clients: usize,
    each: usize,
    what: impl FnOnce(),
) -> Vec<u16> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = proxy.connect();
                    let ask = |_| {
                        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                        client.answer().status()
                    };
                    (0..each).map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        what();
        let joined = clients.into_iter().flat_map(|it| it.join().unwrap());
        joined.collect()
    })
}

fn failed(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status != 200).count()
}

#[test]
fn no_idempotent_request_fails_when_one_of_two_targets_is_killed_under_load() {
    let upstreams = [Upstream::ok(), Upstream::ok()];
    let [stays, goes] = upstreams.each_ref().map(|it| Relay::to(it.address()));
    let proxy = TestProxy::with_workers(2, &several(&[stays.address(), goes.address()], ""));
    let statuses = under_load(&proxy, 16, 100, || {
        until("both serve", || upstreams.iter().all(|it| it.count() > 50));
        drop(goes);
    });
    assert_eq!((statuses.len(), failed(&statuses)), (1600, 0));
}

#[test]
fn nor_by_http_2() {
    let upstreams = [Http2Upstream::ok(), Http2Upstream::ok()];
    let [stays, goes] = upstreams.each_ref().map(|it| Relay::to(it.address()));
    let targets = [stays.address(), goes.address()];
    let proxy = TestProxy::start(&several(&targets, ", http2: prior_knowledge"));
    let statuses = under_load(&proxy, 16, 60, || {
        until("both serve", || {
            upstreams.iter().all(|it| it.requests().len() > 50)
        });
        drop(goes);
    });
    assert_eq!((statuses.len(), failed(&statuses)), (960, 0));
}

#[test]
fn what_no_target_was_sent_goes_to_the_other_whatever_its_method() {
    let upstream = Upstream::start(|exchange| {
        let length = exchange.request.body.len().to_string();
        exchange.answer(200, "", &length);
    });
    let proxy = TestProxy::start(&several(&[closed_port(), upstream.address()], ""));
    // More than is kept for a replay.
    let body = vec![b'x'; 300_000];
    for _ in 0..6 {
        let answer = proxy.post("/", &body);
        assert_eq!((answer.status(), answer.text()), (200, "300000".into()));
    }
    assert_eq!(upstream.requests().len(), 6);
}

#[test]
fn what_a_target_may_have_done_is_not_done_again_by_another() {
    let upstreams = [(); 2].map(|()| Upstream::start(|exchange| exchange.close()));
    let [one, other] = upstreams.each_ref().map(Upstream::address);
    let proxy = TestProxy::start(&several(&[one, other], ""));
    assert_eq!(proxy.post("/", b"abc").code(), "upstream_reset");
    let asked = || upstreams.iter().map(Upstream::count).sum::<usize>();
    assert_eq!(asked(), 1);
    // Twice each at most, and then it is the upstream that is at fault.
    assert_eq!(proxy.get("/").code(), "upstream_reset");
    assert!((3..=5).contains(&asked()), "{}", asked());
}

#[test]
fn an_answer_is_passed_on_whatever_it_says() {
    let upstreams =
        [(); 2].map(|()| Upstream::answering("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"));
    let [one, other] = upstreams.each_ref().map(Upstream::address);
    let proxy = TestProxy::start(&several(&[one, other], ""));
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status(), 503);
    }
    assert!(upstreams.iter().all(|it| it.requests().len() == 5));
}

#[test]
fn a_target_that_fails_in_a_row_is_left_alone() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let bad = Upstream::at_head({
        let attempts = Arc::clone(&attempts);
        move |exchange| {
            attempts.fetch_add(1, Ordering::SeqCst);
            exchange.close();
        }
    });
    let good = Upstream::ok();
    let yaml = several(&[bad.address(), good.address()], "");
    let proxy = TestProxy::start(&yaml);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    // What is known of a target that stays outlives a reload, and so do its connections.
    let connections = good.connections();
    let another = Upstream::ok();
    let targets = [bad.address(), good.address(), another.address()];
    proxy.reload(&several(&targets, "")).unwrap();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    assert_eq!(good.connections(), connections);
    assert_eq!(another.requests().len(), 10);
}

#[test]
fn the_fewest_requests_under_way_draw_the_next() {
    let gate = Gate::default();
    let slow = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            gate.pass();
            exchange.answer(200, "", "slow");
        }
    });
    let quick = Upstream::ok();
    let targets = [slow.address(), quick.address()];
    let proxy = TestProxy::start(&several(&targets, ", balance: least_requests"));
    let mut held = proxy.connect();
    until("the slow one is asked", || {
        // Turns begin with either.
        held = proxy.connect();
        held.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        std::thread::sleep(Duration::from_millis(100));
        slow.count() == 1
    });
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    gate.open();
    assert_eq!(held.answer().text(), "slow");
    assert_eq!(slow.requests().len(), 1);
}

#[test]
fn all_targets_get_the_same_token_and_the_checks_of_their_health_get_none() {
    let tokens = TokenEndpoint::good();
    let upstreams = [Upstream::ok(), Upstream::ok()];
    let [one, other] = upstreams.each_ref().map(Upstream::address);
    let health = ", health: { path: '/healthz?x=1', every: 200ms }";
    let proxy = TestProxy::with_workers(
        2,
        &format!(
            "{}{}    credential: main\n",
            credentials(&tokens),
            several(&[one, other], health)
        ),
    );
    for _ in 0..10 {
        assert_eq!(proxy.get("/x").status(), 200);
    }
    std::thread::sleep(Duration::from_millis(1000));
    for upstream in &upstreams {
        let requests = upstream.requests();
        let (checks, others): (Vec<_>, Vec<_>) = requests
            .iter()
            .partition(|it| it.second() == "/healthz?x=1");
        assert!(!others.is_empty());
        for request in others {
            assert!(
                request
                    .header("authorization")
                    .is_some_and(|it| it.starts_with("Bearer "))
            );
            assert_eq!(request.header("host"), Some("app.test"));
        }
        // For all workers together.
        assert!((2..=9).contains(&checks.len()), "{}", checks.len());
        for check in checks {
            assert_eq!(check.header("authorization"), None);
            assert_eq!(check.header("host"), Some("app.test"));
        }
    }
    assert_eq!(tokens.calls(), 1);
}

#[test]
fn a_target_whose_checks_fail_gets_nothing_until_they_succeed_and_none_is_checked_that_is_gone() {
    let well = Arc::new(AtomicBool::new(false));
    let sick = Upstream::start({
        let well = Arc::clone(&well);
        move |exchange| {
            let status = if well.load(Ordering::SeqCst) {
                200
            } else {
                500
            };
            exchange.answer(status, "", "sick");
        }
    });
    let good = Upstream::ok();
    let health = ", health: { path: /healthz, every: 50ms, healthy: 1, unhealthy: 1 }";
    let yaml = several(&[sick.address(), good.address()], health);
    let proxy = TestProxy::with_workers(2, &yaml);
    until("it is found out", || {
        (0..6).all(|_| proxy.get("/").text() == "ok")
    });
    well.store(true, Ordering::SeqCst);
    until("it is back", || proxy.get("/").text() == "sick");
    proxy.reload(&several(&[good.address()], "")).unwrap();
    let ended = (0..20).any(|_| {
        let before = sick.count();
        std::thread::sleep(Duration::from_millis(500));
        sick.count() == before
    });
    assert!(ended, "it is checked still");
}

#[test]
fn a_token_endpoint_at_one_of_the_targets_is_no_clients_business() {
    let (tokens, other) = (TokenEndpoint::good(), Upstream::ok());
    let proxy = TestProxy::start(&format!(
        "{}{}    credential: main\n",
        credentials(&tokens),
        several(&[other.address(), tokens.address()], "")
    ));
    for _ in 0..2 {
        assert_eq!(proxy.post("/token", b"a=b").code(), "token_endpoint_denied");
    }
    assert_eq!((tokens.calls(), other.count()), (0, 0));
}
