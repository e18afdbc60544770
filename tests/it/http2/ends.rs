//! The proxy is told to end while clients speak HTTP/2.

use std::time::Duration;

use bearerd::clock::now;

use crate::support::{
    Gate, H2, TestProxy, Upstream,
    h2::{Frames, GOAWAY, HEADERS, get, request},
    plain, until,
};

#[test]
fn streams_in_flight_are_answered_whole_and_no_new_ones_begin() {
    let gate = Gate::default();
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
            gate.pass();
            exchange.write("def");
        }
    });
    let proxy = TestProxy::start(&format!("limits: {{ drain: 10s }}\n{}", plain(&upstream)));
    let mut client = H2::connect(proxy.address());
    let pending: Vec<_> = (0..3).map(|_| client.start(get("/"), true)).collect();
    until("they are under way", || upstream.count() == 3);
    proxy.shut_down();
    until("no new ones begin", || {
        client.try_start(get("/"), true).is_err()
    });
    assert!(!proxy.has_ended());
    gate.open();
    for pending in pending {
        assert_eq!(pending.answer().text(), "abcdef");
    }
    until("the proxy has ended", || proxy.has_ended());
}

#[test]
fn an_idle_connection_does_not_keep_the_proxy() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!("limits: {{ drain: 10s }}\n{}", plain(&upstream)));
    // It does not even answer our pings.
    let mut client = Frames::connect(proxy.address());
    client.write(request(1, &[]));
    assert!(client.next_of(HEADERS).is_some());
    let since = now();
    proxy.shut_down();
    assert!(client.next_of(GOAWAY).is_some());
    until("the proxy has ended", || proxy.has_ended());
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}
