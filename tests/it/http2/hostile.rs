//! HTTP/2 clients that are slow, or up to something: bounded, and nobody else notices.

use std::time::Duration;

use bearerd::clock::now;

use crate::support::{
    Gate, H2, TestProxy, Upstream,
    h2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PREFACE, RST_STREAM,
        SETTINGS, block, frame, get, request,
    },
    plain, until,
};

fn with_limits(upstream: &Upstream, limits: &str) -> TestProxy {
    TestProxy::start(&format!("limits: {{ {limits} }}\n{}", plain(upstream)))
}

/// CVE-2026-56853: the deadline of a head counts while the protocol is not known.
#[test]
fn half_a_preface_is_not_waited_for() {
    let upstream = Upstream::ok();
    let proxy = with_limits(&upstream, "header_timeout: 400ms, drain: 1s");
    let mut client = Frames::silent(proxy.address());
    let since = now();
    for byte in &PREFACE[..5] {
        client.write([*byte]);
        std::thread::sleep(Duration::from_millis(20));
    }
    while client.read().is_some() {}
    assert!(
        since.elapsed() < Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn a_header_block_that_drips_ends_the_connection() {
    for beside_others in [false, true] {
        let gate = Gate::default();
        let upstream = Upstream::held(&gate);
        let proxy = with_limits(&upstream, "header_timeout: 400ms, drain: 1s");
        let mut client = Frames::connect(proxy.address());
        if beside_others {
            client.write(request(1, &[]));
            until("it is under way", || upstream.count() == 1);
        }
        let since = now();
        client.write(frame(HEADERS, END_STREAM, 3, &block(&[(":method", "GET")])));
        until("the proxy has had enough", || {
            std::thread::sleep(Duration::from_millis(20));
            !client.write(frame(CONTINUATION, 0, 3, &block(&[("x", "y")])))
                || since.elapsed() > Duration::from_secs(5)
        });
        assert!(
            since.elapsed() < Duration::from_secs(3),
            "{:?}",
            since.elapsed()
        );
        gate.open();
    }
}

#[test]
fn a_slow_upload_is_no_slow_head() {
    let upstream = Upstream::ok();
    let proxy = with_limits(&upstream, "header_timeout: 300ms, drain: 1s");
    let mut client = Frames::connect(proxy.address());
    let head = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "localhost"),
    ]);
    client.write(frame(HEADERS, END_HEADERS, 1, &head));
    for piece in 0..12 {
        let flags = if piece == 11 { END_STREAM } else { 0 };
        client.write(frame(DATA, flags, 1, b"x"));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(client.next_of(HEADERS).is_some());
    assert_eq!(upstream.request().body, b"xxxxxxxxxxxx");
}

#[test]
fn an_idle_connection_is_told_and_closed() {
    let upstream = Upstream::ok();
    let proxy = with_limits(&upstream, "keep_alive: 300ms, drain: 1s");
    let mut client = Frames::connect(proxy.address());
    client.write(request(1, &[]));
    assert!(client.next_of(HEADERS).is_some());
    let since = now();
    // It pings on, and is idle all the same.
    until("the proxy has had enough", || {
        std::thread::sleep(Duration::from_millis(20));
        !client.write(frame(PING, 0, 0, b"12345678")) || since.elapsed() > Duration::from_secs(5)
    });
    assert!(client.until_closed(), "no GOAWAY");
    assert!(
        since.elapsed() < Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn a_stream_that_its_client_does_not_read_ends_alone() {
    let upstream = Upstream::start(|exchange| {
        if exchange.request.second() == "/large" {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            while exchange.try_write([b'x'; 10_000]) {}
        } else {
            exchange.answer(200, "", "ok");
        }
    });
    let proxy = with_limits(&upstream, "write_timeout: 500ms, drain: 1s");
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let mut client = H2::with(proxy.address(), &builder);
    let (head, body) = client.start(get("/large"), true).head().unwrap();
    assert_eq!(head.status(), 200);
    upstream.until_ended(1);
    assert_eq!(client.get("/").text(), "ok");
    drop(body);
}

#[test]
fn a_client_that_reads_nothing_at_all_is_not_served_for_ever() {
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        while exchange.try_write([b'x'; 10_000]) {}
    });
    let proxy = with_limits(&upstream, "write_timeout: 500ms, drain: 1s");
    let mut client = Frames::connect(proxy.address());
    let window = 0x7fff_0000_u32.to_be_bytes();
    client.write(frame(SETTINGS, 0, 0, &[&[0, 4][..], &window].concat()));
    client.write(frame(8, 0, 0, &window));
    client.write(request(1, &[]));
    upstream.until_ended(1);
}

#[test]
fn requests_beyond_those_at_once_are_503() {
    let gate = Gate::default();
    let upstream = Upstream::held(&gate);
    let proxy = with_limits(&upstream, "requests: 5, drain: 1s");
    let mut client = H2::connect(proxy.address());
    let pending: Vec<_> = (0..5).map(|_| client.start(get("/"), true)).collect();
    until("they are under way", || upstream.count() == 5);
    let refused = client.get("/");
    assert_eq!(
        (refused.status().as_u16(), &*refused.code()),
        (503, "overloaded")
    );
    assert_eq!(refused.head.headers()["retry-after"], "1");
    assert_eq!(proxy.get("/").status(), 503, "on any connection");
    gate.open();
    for pending in pending {
        assert_eq!(pending.answer().status(), 200);
    }
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(upstream.count(), 6);
}

/// CVE-2023-44487.
#[test]
fn who_opens_streams_and_resets_them_is_shut_out() {
    let upstream = Upstream::start(|exchange| {
        exchange.is_abandoned();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = Frames::connect(proxy.address());
    let mut taken = 0;
    for number in 0..5000 {
        let stream = 2 * number + 1;
        let both = [
            request(stream, &[]),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ];
        if !client.write(both.concat()) {
            break;
        }
        taken += 1;
        std::thread::sleep(Duration::from_micros(200));
    }
    client.until_closed();
    assert!(taken < 5000);
    assert!(upstream.count() < 600, "{}", upstream.count());
}

/// CVE-2025-8671: streams that the client makes us reset.
#[test]
fn who_makes_us_reset_streams_is_shut_out() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = Frames::connect(proxy.address());
    for number in 0..3000 {
        if !client.write(request(2 * number + 1, &[("connection", "close")])) {
            break;
        }
    }
    assert!(client.until_closed(), "no GOAWAY");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn floods_of_small_frames_cost_the_client_its_connection_or_nothing() {
    let upstream = Upstream::ok();
    let proxy = with_limits(&upstream, "write_timeout: 500ms, drain: 1s");
    let floods = [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, b""),
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(DATA, 0, 1, b""),
        frame(CONTINUATION, 0, 1, b""),
    ];
    for flood in floods {
        let mut client = Frames::connect(proxy.address());
        // Not more: the tests' own log has a dozen lines for each.
        let many = flood.repeat(1000);
        for _ in 0..3 {
            if !client.write(&many) {
                break;
            }
        }
        assert_eq!(proxy.get("/").status(), 200, "{flood:?}");
    }
}

#[test]
fn a_connection_has_so_many_streams_at_once_and_no_more() {
    let gate = Gate::default();
    let upstream = Upstream::held(&gate);
    let proxy = with_limits(&upstream, "streams: 5, drain: 1s");
    let mut client = Frames::connect(proxy.address());
    for number in 0..8 {
        client.write(request(2 * number + 1, &[]));
    }
    let refused: Vec<_> = (0..3).map_while(|_| client.next_of(RST_STREAM)).collect();
    let refused: Vec<_> = refused.iter().map(|it| (it.stream, &*it.payload)).collect();
    let reason: &[u8] = &[0, 0, 0, 7];
    assert_eq!(refused, [(11, reason), (13, reason), (15, reason)]);
    gate.open();
    for _ in 0..5 {
        assert!(client.next_of(HEADERS).is_some());
    }
    assert_eq!(upstream.count(), 5);
}
