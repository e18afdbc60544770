//! Clients in trouble, or up to something: bounded, answered where there is an answer, and nobody else notices.

use std::{thread, time::Duration};

use bearerd::clock::now;

use crate::support::{End, TestProxy, Upstream, plain, until};

fn with_limits(upstream: &Upstream, limits: &str) -> TestProxy {
    TestProxy::start(&format!("limits: {{ {limits} }}\n{}", plain(upstream)))
}

#[test]
fn a_head_that_does_not_come_is_408() {
    let upstream = Upstream::ok();
    let proxy = with_limits(&upstream, "header_timeout: 400ms, drain: 1s");
    let mut slow = proxy.connect();
    slow.send("GET / HTTP/1.1\r\nHost: local");
    let since = now();
    let answer = slow.answer();
    assert_eq!((answer.status(), &*answer.code()), (408, "request_timeout"));
    assert!(since.elapsed() < Duration::from_secs(3));
    assert_eq!(slow.rest(), b"");
}

#[test]
fn a_head_that_drips_is_408_all_the_same() {
    let upstream = Upstream::ok();
    let proxy = with_limits(&upstream, "header_timeout: 400ms, drain: 1s");
    let mut slow = proxy.connect();
    let since = now();
    slow.send("GET / HTTP/1.1\r\n");
    until("the proxy has had enough", || {
        !slow.try_send(b"X: y\r\n") || since.elapsed() > Duration::from_secs(5)
    });
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_connection_that_says_nothing_is_closed_in_time() {
    let upstream = Upstream::ok();
    let proxy = with_limits(
        &upstream,
        "header_timeout: 300ms, keep_alive: 300ms, drain: 1s",
    );
    let mut silent = proxy.connect();
    let mut idle = proxy.connect();
    idle.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(idle.answer().status(), 200);
    let since = now();
    assert_eq!(idle.rest(), b"");
    silent.rest();
    assert!(since.elapsed() < Duration::from_secs(3));
}

/// It keeps nothing of hyper's meanwhile; what was read of the next head must not go with it.
#[test]
fn a_connection_that_has_rested_goes_on_where_it_was() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /2 HTTP/1.1\r\nHo");
    assert_eq!(client.answer().status(), 200);
    thread::sleep(REST);
    client.send("st: localhost\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    thread::sleep(REST);
    client.send("GET /3 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    thread::sleep(REST);
    client.half_close();
    assert_eq!(client.rest(), b"");
    let paths: Vec<_> = upstream
        .requests()
        .iter()
        .map(|it| it.path().to_owned())
        .collect();
    assert_eq!(paths, ["/1", "/2", "/3"]);
}

/// Its connection is idle for the upstream, and yet holds bytes.
#[test]
fn an_answer_that_the_client_is_slow_to_take_is_whole() {
    let body = "0123456789abcdef".repeat(1 << 20);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let upstream = Upstream::answering(head + &body);
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("the upstream has it", || upstream.count() == 1);
    thread::sleep(REST);
    let answer = client.answer();
    assert!(answer.is_whole());
    assert_eq!(answer.body.len(), body.len());
}

#[test]
fn slow_clients_delay_no_others() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut slow: Vec<_> = (0..300).map(|_| proxy.connect()).collect();
    for client in &mut slow {
        client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx");
    }
    let mut quick = proxy.connect();
    for _ in 0..50 {
        assert_eq!(
            quick
                .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .answer()
                .status(),
            200
        );
    }
}

#[test]
fn heads_beyond_the_limits_are_431() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let heads = [
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "a".repeat(70_000)
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X: y\r\n".repeat(2000)
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X: y\r\n".repeat(101)
        ),
    ];
    for head in heads {
        let mut client = proxy.connect();
        let answer = client.send(&head).answer();
        assert_eq!(answer.status(), 431, "{}", &head[..60]);
        client.rest();
    }
    let counted = || proxy.app.metrics().process().connection_errors.get();
    until("each is counted", || counted() >= 3);
    for target in [70_000, 200_000] {
        let mut client = proxy.connect();
        let answer = client
            .send(format!(
                "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "a".repeat(target)
            ))
            .answer();
        assert!(matches!(answer.status(), 414 | 431), "{answer:?}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(
        proxy
            .send(format!(
                "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "a".repeat(8000)
            ))
            .status(),
        200
    );
}

#[test]
fn a_client_that_leaves_ends_its_request_upstream() {
    for reset in [false, true] {
        let upstream = Upstream::start(|exchange| {
            exchange.is_abandoned();
        });
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        until("the upstream has it", || upstream.count() == 1);
        let since = now();
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        upstream.until_ended(1);
        assert!(
            since.elapsed() < Duration::from_secs(2),
            "{:?}",
            since.elapsed()
        );
    }
}

#[test]
fn a_body_that_the_client_cuts_never_ends_well_upstream() {
    for framing in [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        for reset in [false, true] {
            let upstream = Upstream::ok();
            let proxy = TestProxy::start(&plain(&upstream));
            let mut client = proxy.connect();
            client.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\n{framing}"));
            until("the upstream has its head", || upstream.count() == 1);
            if reset {
                client.reset()
            } else {
                drop(client)
            }
            upstream.until_ended(1);
            let request = upstream.request();
            assert_eq!(request.end, End::Cut, "{framing:?} {reset}");
            assert_eq!(proxy.get("/").status(), 200);
        }
    }
}

#[test]
fn a_body_that_stands_still_ends_the_request() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "routes: [{{ match: /, upstream: 'http://{}/', timeouts: {{ idle_body: 300ms, response_head: 300ms }} }}]",
        upstream.address()
    ));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
    let since = now();
    let answer = client.answer();
    assert!(matches!(answer.status(), 408 | 504), "{answer:?}");
    assert!(since.elapsed() < Duration::from_secs(3));
    upstream.until_ended(1);
    assert_eq!(upstream.request().end, End::Cut);
}

#[test]
fn bytes_of_another_protocol_end_the_connection() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x05\x01\x00",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
        b"SSH-2.0-x\r\n\r\n",
        b"EHLO x\r\n\r\n",
    ] {
        let mut client = proxy.connect();
        client.send(bytes);
        client.half_close();
        let status = client.try_answer().map_or(400, |answer| answer.status());
        assert_eq!(status, 400);
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn a_client_that_has_said_all_is_still_answered() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), client.rest()), (200, Vec::new()));
}

#[test]
fn http_1_0_clients_get_bodies_they_can_read() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    let answer = client
        .send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .answer();
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.text(), "abcdef");

    // There, a cut can only be a reset: an orderly end would be the body's.
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        exchange.close();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(!answer.is_whole(), "{answer:?}");
}

/// Longer than a connection keeps what it does not need.
const REST: Duration = Duration::from_millis(1800);
