//! The proxy is told to end: what is under way is brought to its end, and nothing new begins.

use std::{net::TcpStream, time::Duration};

use bearerd::clock::now;

use crate::support::{Gate, TestProxy, Upstream, plain, until};

fn held() -> (Gate, Upstream) {
    let gate = Gate::default();
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
            gate.pass();
            exchange.write("def");
        }
    });
    (gate, upstream)
}

#[test]
fn a_request_in_flight_is_answered_whole() {
    let (gate, upstream) = held();
    let proxy = TestProxy::with_workers(
        2,
        &format!("limits: {{ drain: 10s }}\n{}", plain(&upstream)),
    );
    let mut idle = proxy.connect();
    let mut uploading = proxy.connect();
    uploading.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    client.until_received("abc");
    until("both are under way", || upstream.count() == 2);
    proxy.shut_down();
    assert_eq!(idle.rest(), b"", "an idle connection ends");
    until("new connections are refused", || {
        TcpStream::connect(proxy.address()).is_err()
    });
    assert!(!proxy.has_ended());
    gate.open();
    assert_eq!(client.finish(head).text(), "abcdef");
    assert_eq!(client.rest(), b"", "the connection ends with its answer");
    let answer = uploading.send("bc").answer();
    assert_eq!((answer.status(), answer.text()), (200, "abcdef".into()));
    assert_eq!(answer.header("connection"), Some("close"));
    until("the proxy has ended", || proxy.has_ended());
}

#[test]
fn a_request_that_does_not_end_does_not_keep_the_proxy() {
    let (_gate, upstream) = held();
    let proxy = TestProxy::start(&format!("limits: {{ drain: 500ms }}\n{}", plain(&upstream)));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    let since = now();
    proxy.shut_down();
    until("the proxy has ended", || proxy.has_ended());
    let taken = since.elapsed();
    assert!(
        taken > Duration::from_millis(400) && taken < Duration::from_secs(3),
        "{taken:?}"
    );
    assert!(!client.finish(head).is_whole(), "a cut answer looks whole");
}

#[test]
fn a_request_that_is_half_read_is_still_served() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!("limits: {{ drain: 5s }}\n{}", plain(&upstream)));
    let mut first = proxy.connect();
    assert_eq!(
        first
            .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHo")
            .answer()
            .status(),
        200
    );
    proxy.shut_down();
    until("new connections are refused", || {
        TcpStream::connect(proxy.address()).is_err()
    });
    // Either is fair: it is answered, or the connection ends before anything was done.
    let answer = first.send("st: localhost\r\n\r\n").try_answer();
    let served = usize::from(answer.is_some_and(|answer| answer.status() == 200));
    assert_eq!(upstream.count(), 1 + served);
}
