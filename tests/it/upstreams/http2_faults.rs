//! What upstreams that speak HTTP/2 may do wrong, and what they may ask for that few do.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use super::{
    http2::{held, known, offering, secured},
    targets::under_load,
};
use crate::support::{Authority, Call, Ends, Gate, Http2Upstream, TestProxy, h2, until};

#[test]
fn an_upstream_that_takes_one_stream_gets_a_connection_for_each_request_under_way() {
    let gate = Gate::default();
    let upstream = held(Some(1), &gate);
    let proxy = TestProxy::start(&known(&upstream, "    timeouts: { connect: 5s }\n"));
    let mut clients: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    until("all are under way", || upstream.requests().len() == 3);
    assert_eq!(upstream.connections(), 3);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer().text(), "ok");
    }
}

#[test]
fn an_upstream_that_takes_no_stream_is_waited_for_no_longer_than_for_a_connection() {
    let upstream =
        Http2Upstream::with_streams(0, |call| async move { call.answer(200, "ok").await });
    let proxy = TestProxy::start(&known(&upstream, "    timeouts: { connect: 500ms }\n"));
    let mut clients: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().code(), "upstream_timeout");
    }
    assert!(upstream.connections() <= 4, "{}", upstream.connections());
}

#[test]
fn a_connection_that_has_gone_silent_gets_no_more_requests() {
    let upstream = Http2Upstream::ending(Ends::Silent(2), |call| async move {
        call.answer(200, "ok").await
    });
    let proxy = TestProxy::start(&known(&upstream, "    timeouts: { response_head: 2s }\n"));
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(proxy.get("/").code(), "upstream_timeout");
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_client_that_waited_for_long_finds_a_silent_connection_out_as_well() {
    let upstream = Http2Upstream::ending(Ends::Silent(2), |call| async move {
        call.answer(200, "ok").await
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    assert_eq!(proxy.get("/").text(), "ok");
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::thread::sleep(Duration::from_millis(2200));
    client.reset();
    let metrics = proxy.app.metrics();
    until("it is known to have left", || {
        metrics.process().connections_open.get() == 0
    });
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn an_upstream_that_refuses_our_certificate_is_502_with_its_own_code() {
    let authority = Authority::new("h2-alert");
    let mut config = (*authority.server_of_known_clients("localhost")).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let upstream =
        Http2Upstream::over_tls(
            config.into(),
            |call| async move { call.answer(200, "ok").await },
        );
    let proxy = TestProxy::start(&secured(
        upstream.address().port(),
        &authority,
        "      http2: auto\n",
    ));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), answer.code()),
        (502, "upstream_tls".into())
    );
}

#[test]
fn an_upstream_that_closes_before_it_speaks_is_502_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /\n    upstream: {{ url: 'http://{address}/', http2: prior_knowledge }}\n",
    ));
    assert_eq!(proxy.get("/").code(), "upstream_refused");
}

#[test]
fn a_request_that_an_upstream_wants_by_http_1_1_goes_so_and_those_behind_it_too() {
    let authority = Authority::new("h2-older");
    let config = offering(&authority, &["h2", "http/1.1"]);
    let upstream = Http2Upstream::over_tls(config, |mut call: Call| async move {
        call.respond.send_reset(::h2::Reason::HTTP_1_1_REQUIRED);
    });
    let proxy = TestProxy::start(&secured(
        upstream.address().port(),
        &authority,
        "      http2: auto\n",
    ));
    for _ in 0..3 {
        assert_eq!(proxy.post("/", b"abc").text(), "older");
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn an_upstream_that_knows_http_2_alone_is_never_asked_by_http_1_1() {
    let upstream = Http2Upstream::start(|mut call: Call| async move {
        match call.number {
            0 => call.respond.send_reset(::h2::Reason::HTTP_1_1_REQUIRED),
            _ => call.answer(200, "ok").await,
        }
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(proxy.get("/").text(), "ok");
}

#[test]
fn requests_beyond_the_bounds_wait_their_turn() {
    let gate = Gate::default();
    let upstream = held(Some(1), &gate);
    let limits = "limits: { upstream_connections: 1, drain: 2s }\n";
    let proxy = TestProxy::start(&format!("{limits}{}", known(&upstream, "")));
    let mut clients: Vec<_> = (0..21)
        .map(|_| {
            let mut client = proxy.connect();
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client
        })
        .collect();
    until("one is under way", || upstream.requests().len() == 1);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer().text(), "ok");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn not_too_many_requests_wait_for_a_stream() {
    let gate = Gate::default();
    let upstream = held(Some(1), &gate);
    let limits = "limits: { upstream_connections: 1, upstream_waiters: 1, drain: 2s }\n";
    let proxy = TestProxy::start(&format!("{limits}{}", known(&upstream, "")));
    let mut clients: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
    clients[0].send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("it is under way", || upstream.requests().len() == 1);
    for client in &mut clients[1..] {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let codes = std::thread::scope(|scope| {
        let answers: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| client.answer().code()))
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        gate.open();
        let codes = answers.into_iter().map(|it| it.join().unwrap());
        codes.collect::<Vec<_>>()
    });
    let refused = codes.iter().filter(|code| *code == "overloaded").count();
    assert_eq!(refused, 1, "{codes:?}");
}

#[test]
fn a_connection_is_closed_when_it_was_idle_and_not_while_it_is_busy() {
    let gate = Gate::default();
    let upstream = held(None, &gate);
    let limits = "limits: { upstream_idle: 500ms, drain: 2s }\n";
    let proxy = TestProxy::start(&format!("{limits}{}", known(&upstream, "")));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("it is under way", || upstream.requests().len() == 1);
    std::thread::sleep(Duration::from_millis(1500));
    gate.open();
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(upstream.connections(), 1);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn an_idempotent_request_whose_connection_had_died_is_sent_once_more_and_no_other() {
    for (method, status) in [("GET", 200), ("PUT", 200), ("POST", 502)] {
        let upstream = Http2Upstream::ending(Ends::Closed(2), |call| async move {
            call.answer(200, "ok").await
        });
        let proxy = TestProxy::start(&known(&upstream, ""));
        assert_eq!(proxy.get("/").text(), "ok");
        let answer = proxy.send(format!(
            "{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(answer.status(), status, "{method}");
    }
}

#[test]
fn what_breaks_the_rules_of_http_2_is_no_answer() {
    // DATA of no stream, and a frame that is too long.
    for frame in [
        h2::frame(h2::DATA, 0, 0, b"abc"),
        h2::frame(h2::DATA, 0, 1, &[0; 20_000]),
    ] {
        let address = flooding(frame);
        let proxy = TestProxy::start(&format!(
            "routes:\n  - match: /\n    upstream: {{ url: 'http://{address}/', http2: prior_knowledge }}\n",
        ));
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status(), answer.code()),
            (502, "upstream_protocol".into())
        );
    }
}

/// A server that writes this on stream 1, over and over, once it was asked.
fn flooding(frame: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().map_while(Result::ok) {
            let mut seen = [0; 4096];
            let _ = tcp.write_all(&h2::frame(h2::SETTINGS, 0, 0, b""));
            // The preface comes with the first frames, and the request behind them.
            let _ = tcp.read(&mut seen);
            std::thread::sleep(Duration::from_millis(100));
            while tcp.write_all(&frame).is_ok() {}
        }
    });
    address
}

#[test]
fn interim_answers_without_end_are_no_answer() {
    // `:status: 103` and `link`, literally.
    let mut block = b"\x08\x03103\x00\x04link\x7f\xe1\x5d".to_vec();
    block.resize(block.len() + 0x60 + 0x7f + (0x5d << 7) + 1, b'x');
    let early = h2::frame(h2::HEADERS, h2::END_HEADERS, 1, &block);
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /\n    upstream: {{ url: 'http://{}/', http2: prior_knowledge }}\n",
        flooding(early)
    ));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), answer.code()),
        (502, "upstream_protocol".into())
    );
}

#[test]
fn no_request_is_lost_to_connections_that_go_away_under_load() {
    let upstream = Http2Upstream::ending(Ends::InOrder(10), |call| async move {
        call.answer(200, "ok").await
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    let answers = under_load(&proxy, 64, 20, || {});
    let failed = answers.iter().filter(|status| **status != 200).count();
    assert_eq!((answers.len(), failed), (64 * 20, 0));
    assert!(upstream.connections() > 10, "{}", upstream.connections());
}
