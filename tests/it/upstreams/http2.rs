//! Upstreams that speak HTTP/2: one connection for many requests, and nothing lost of what either version can say.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version};

use crate::support::{
    Authority, Call, Gate, H2, Http2Upstream, TestProxy, TokenEndpoint, Upstream, credentials, h2,
    token, until,
};

/// A route for everything to an upstream that is known to speak HTTP/2 in clear.
pub(super) fn known(upstream: &Http2Upstream, more: &str) -> String {
    format!(
        "routes:\n  - name: all\n    match: /\n    upstream: {{ url: 'http://{}/', http2: prior_knowledge }}\n{more}",
        upstream.address()
    )
}

/// The same over TLS.
pub(super) fn secured(port: u16, authority: &Authority, http2: &str) -> String {
    format!(
        "routes:\n  - match: /\n    upstream:\n      url: 'https://localhost:{port}/'\n      tls: {{ ca: {} }}\n{http2}",
        authority.file().display()
    )
}

pub(super) fn offering(authority: &Authority, protocols: &[&str]) -> Arc<rustls::ServerConfig> {
    let mut config = (*authority.server("localhost")).clone();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A call as gRPC's clients make it, its body still to come.
const GRPC: &str = "POST /pkg.Service/Call HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\
     Content-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_request_says_in_http_2_what_it_said_in_http_1_1() {
    let tokens = TokenEndpoint::good();
    let upstream = Http2Upstream::ok();
    let yaml = format!(
        "{}{}",
        credentials(&tokens),
        known(&upstream, "    credential: main\n")
    );
    let proxy = TestProxy::start(&yaml);
    let answer = proxy.send(
        "POST /a%2Fb?c=d HTTP/1.1\r\nHost: localhost\r\nX-Own: 1\r\nConnection: x-hop\r\nX-Hop: 2\r\n\
         Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!((answer.status(), answer.text()), (200, "ok".into()));
    let request = &upstream.requests()[0];
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(
        request.uri().to_string(),
        format!("http://{}/a%2Fb?c=d", upstream.address())
    );
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
    assert_eq!(
        header("authorization"),
        Some(&*format!("Bearer {}", token(1)))
    );
    assert_eq!(
        (header("x-own"), header("content-length")),
        (Some("1"), Some("3"))
    );
    for gone in ["host", "connection", "x-hop", "expect", "transfer-encoding"] {
        assert_eq!(header(gone), None, "{gone}");
    }
}

#[test]
fn the_authority_is_the_host_that_the_route_says() {
    let upstream = Http2Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /\n    upstream: {{ url: 'http://{}/', http2: prior_knowledge, host_header: api.example.com }}\n",
        upstream.address()
    ));
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(upstream.requests()[0].uri().host(), Some("api.example.com"));
}

#[test]
fn bodies_and_trailers_pass_both_ways() {
    let seen = Arc::new(Mutex::new(None));
    let upstream = Http2Upstream::start({
        let seen = seen.clone();
        move |mut call: Call| {
            let seen = seen.clone();
            async move {
                *seen.lock().unwrap() = Some(call.read().await);
                let mut stream = call.head(200);
                stream.send_data(Bytes::from_static(b"def"), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                stream.send_trailers(trailers).unwrap();
            }
        }
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    let answer = proxy.send(format!(
        "{}3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
        GRPC.replace("TE:", "Trailer: x-sum\r\nTE:")
    ));
    assert_eq!((answer.status(), answer.text()), (200, "def".into()));
    let (body, trailers) = seen.lock().unwrap().take().unwrap();
    assert_eq!(body, b"abc");
    assert_eq!(trailers.unwrap()["x-sum"], "1");
    assert_eq!(upstream.requests()[0].headers()["te"], "trailers");
}

#[test]
fn a_message_is_passed_on_before_the_next_one_comes() {
    let upstream = Http2Upstream::start(|mut call: Call| async move {
        let mut stream = call.head(200);
        while let Some(piece) = call.next().await {
            let _ = stream.send_data(piece, false);
        }
        let _ = stream.send_data(Bytes::new(), true);
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    let mut client = proxy.connect();
    client.send(GRPC);
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len()));
        client.until_received(word);
    }
    let head = client.head();
    assert_eq!(client.send("0\r\n\r\n").finish(head).text(), "onetwothree");
}

#[test]
fn requests_at_the_same_time_share_a_connection() {
    let gate = Gate::default();
    let upstream = held(None, &gate);
    let proxy = TestProxy::start(&known(&upstream, ""));
    let mut clients: Vec<_> = (0..50).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    until("all are under way", || upstream.requests().len() == 50);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer().text(), "ok");
    }
    assert_eq!(upstream.connections(), 1);
}

/// Answers once the gate is open.
pub(super) fn held(most: Option<u32>, gate: &Gate) -> Http2Upstream {
    let gate = gate.clone();
    let script = move |call: Call| {
        let gate = gate.clone();
        async move {
            let _ = tokio::task::spawn_blocking(move || gate.pass()).await;
            call.answer(200, "ok").await;
        }
    };
    match most {
        None => Http2Upstream::start(script),
        Some(most) => Http2Upstream::with_streams(most, script),
    }
}

#[test]
fn an_upstream_gets_no_more_streams_than_it_takes() {
    let gate = Gate::default();
    let upstream = held(Some(3), &gate);
    let proxy = TestProxy::start(&known(&upstream, ""));
    let mut clients: Vec<_> = (0..10).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    until("some are under way", || upstream.requests().len() >= 3);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer().text(), "ok");
    }
}

#[test]
fn over_tls_a_small_request_goes_by_http_1_1_and_grpc_by_http_2() {
    let authority = Authority::new("h2-needed");
    let config = offering(&authority, &["h2"]);
    let modern = Http2Upstream::over_tls(config, |call| async move { call.answer(200, "2").await });
    let proxy = TestProxy::start(&secured(modern.address().port(), &authority, ""));
    let answer = proxy.send(format!("{GRPC}0\r\n\r\n"));
    assert_eq!((answer.status(), answer.text()), (200, "2".into()));

    // It speaks HTTP/1.1 only, whatever it agrees to.
    let config = offering(&authority, &["h2", "http/1.1"]);
    let older = Upstream::with_tls(config, |exchange| exchange.answer(200, "", "1"));
    let proxy = TestProxy::start(&secured(older.address().port(), &authority, ""));
    assert_eq!(proxy.get("/").text(), "1");
}

#[test]
fn with_auto_every_request_goes_by_http_2_where_the_upstream_offers_it() {
    let authority = Authority::new("h2-auto");
    let config = offering(&authority, &["h2", "http/1.1"]);
    let modern = Http2Upstream::over_tls(config, |call| async move { call.answer(200, "2").await });
    let yaml = |port| secured(port, &authority, "      http2: auto\n");
    let proxy = TestProxy::start(&yaml(modern.address().port()));
    assert_eq!(proxy.get("/").text(), "2");

    let config = offering(&authority, &["http/1.1"]);
    let older = Upstream::with_tls(config, |exchange| exchange.answer(200, "", "1"));
    let proxy = TestProxy::start(&yaml(older.address().port()));
    for _ in 0..3 {
        assert_eq!(proxy.post("/", b"abc").text(), "1");
    }
    // One that was asked, and one that serves.
    assert_eq!(older.connections(), 2);
    assert_eq!(
        older.requests()[0].header("host"),
        Some(&*format!("localhost:{}", older.address().port()))
    );
}

#[test]
fn a_websocket_goes_by_http_1_1() {
    let authority = Authority::new("h2-websocket");
    let config = offering(&authority, &["h2", "http/1.1"]);
    let upstream = Upstream::with_tls(config, |exchange| {
        exchange.write("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        exchange.rest();
    });
    let yaml = secured(upstream.address().port(), &authority, "      http2: auto\n");
    let proxy = TestProxy::start(&yaml);
    let answer = proxy.send(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(answer.status(), 101);
}

#[test]
fn what_an_upstream_that_goes_away_has_not_read_is_sent_to_its_next_connection() {
    let upstream = Http2Upstream::going_away(|call| async move { call.answer(200, "ok").await });
    let proxy = TestProxy::start(&known(&upstream, ""));
    let answer = proxy.post("/", b"abc");
    assert_eq!((answer.status(), answer.text()), (200, "ok".into()));
    assert_eq!((upstream.requests().len(), upstream.connections()), (1, 2));
}

/// Refuses the first so many calls unread.
fn refusing(count: usize) -> Http2Upstream {
    Http2Upstream::start(move |mut call: Call| async move {
        if call.number < count {
            call.respond.send_reset(::h2::Reason::REFUSED_STREAM);
        } else {
            let (body, _) = call.read().await;
            let mut stream = call.head(200);
            let _ = stream.send_data(body.into(), true);
        }
    })
}

#[test]
fn a_request_that_was_refused_unread_is_sent_once_more_whatever_its_method() {
    let upstream = refusing(1);
    let proxy = TestProxy::start(&known(&upstream, ""));
    assert_eq!(proxy.post("/", b"abc").text(), "abc");
    assert_eq!(upstream.requests().len(), 2);

    let upstream = refusing(usize::MAX);
    let proxy = TestProxy::start(&known(&upstream, ""));
    let answer = proxy.post("/", b"abc");
    assert_eq!(
        (answer.status(), answer.code()),
        (502, "upstream_reset".into())
    );
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn a_request_that_was_reset_after_it_was_read_is_not_sent_again() {
    let upstream = Http2Upstream::start(|mut call: Call| async move {
        call.read().await;
        call.respond.send_reset(::h2::Reason::INTERNAL_ERROR);
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    let answer = proxy.post("/", b"abc");
    assert_eq!(
        (answer.status(), answer.code()),
        (502, "upstream_reset".into())
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_refused_credential_is_renewed_and_the_request_sent_again() {
    let tokens = TokenEndpoint::good();
    let upstream = Http2Upstream::start(|call: Call| async move {
        let status = if call.number == 0 { 401 } else { 200 };
        call.answer(status, "ok").await;
    });
    let yaml = format!(
        "{}{}",
        credentials(&tokens),
        known(&upstream, "    credential: main\n")
    );
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.post("/", b"abc").status(), 200);
    let requests = upstream.requests();
    assert_eq!(
        requests[1].headers()["authorization"],
        *format!("Bearer {}", token(2))
    );
    assert_eq!(upstream.connections(), 1);
}

/// Begins an answer, and tells when it was reset.
fn endless(resets: &Arc<AtomicUsize>) -> Http2Upstream {
    let resets = resets.clone();
    Http2Upstream::start(move |mut call: Call| {
        let resets = resets.clone();
        async move {
            if call.request.uri().path() == "/quick" {
                return call.answer(200, "ok").await;
            }
            let mut stream = call.head(200);
            let _ = stream.send_data(Bytes::from_static(b"abc"), false);
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            if matches!(reason, Ok(::h2::Reason::CANCEL)) {
                resets.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
}

#[test]
fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let resets = Arc::default();
    let upstream = endless(&resets);
    let proxy = TestProxy::start(&known(&upstream, ""));
    let mut staying = proxy.connect();
    staying.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    staying.until_received("abc");
    let mut leaving = proxy.connect();
    leaving.send("GET /b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    leaving.until_received("abc");
    leaving.reset();
    until("its stream was reset", || {
        resets.load(Ordering::SeqCst) == 1
    });
    assert_eq!(proxy.get("/quick").text(), "ok");
    assert_eq!(
        (resets.load(Ordering::SeqCst), upstream.connections()),
        (1, 1)
    );
}

#[test]
fn a_body_that_stands_still_is_cut_and_its_stream_reset() {
    let resets = Arc::default();
    let upstream = endless(&resets);
    let yaml = known(&upstream, "    timeouts: { idle_body: 500ms }\n");
    let proxy = TestProxy::start(&yaml);
    let answer = proxy.get("/");
    assert_eq!((answer.status(), answer.text()), (200, "abc".into()));
    assert!(!answer.is_whole(), "a cut answer looks whole");
    until("its stream was reset", || {
        resets.load(Ordering::SeqCst) == 1
    });
    assert_eq!(proxy.get("/quick").text(), "ok");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_answer_that_does_not_come_is_504_and_its_connection_serves_on() {
    let upstream = Http2Upstream::start(|call: Call| async move {
        if call.request.uri().path() == "/quick" {
            return call.answer(200, "ok").await;
        }
        std::future::pending().await
    });
    let proxy = TestProxy::start(&known(
        &upstream,
        "    timeouts: { response_head: 500ms }\n",
    ));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), answer.code()),
        (504, "upstream_timeout".into())
    );
    assert_eq!(proxy.get("/quick").text(), "ok");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_call_of_grpcs_may_be_silent_for_longer() {
    let upstream = Http2Upstream::start(|mut call: Call| async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut stream = call.head(200);
        let _ = stream.send_data(Bytes::from_static(b"abc"), false);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let _ = stream.send_data(Bytes::from_static(b"def"), true);
    });
    let proxy = TestProxy::start(&known(
        &upstream,
        "    timeouts: { response_head: 500ms, idle_body: 500ms }\n",
    ));
    let answer = proxy.send(format!("{GRPC}0\r\n\r\n"));
    assert_eq!((answer.status(), answer.text()), (200, "abcdef".into()));
}

#[test]
fn a_cut_answer_is_cut_toward_the_client() {
    let upstream = Http2Upstream::start(|mut call: Call| async move {
        let mut stream = call.head(200);
        let _ = stream.send_data(Bytes::from_static(b"abc"), false);
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.send_reset(::h2::Reason::INTERNAL_ERROR);
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    let answer = proxy.get("/");
    assert_eq!((answer.status(), answer.text()), (200, "abc".into()));
    assert!(!answer.is_whole(), "a cut answer looks whole");
}

#[test]
fn who_does_not_read_an_answer_holds_up_no_other() {
    let upstream = Http2Upstream::start(|mut call: Call| async move {
        let mut stream = call.head(200);
        // Far more than one stream's window holds.
        stream.reserve_capacity(LARGE.len());
        let _ = stream.send_data(Bytes::from_static(LARGE), true);
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    // All streams of the connection but one.
    let mut client = H2::connect(proxy.address());
    let stalled: Vec<_> = (0..99)
        .map(|_| client.start(h2::get("/"), true).head().unwrap())
        .collect();
    assert_eq!(proxy.get("/").body.len(), LARGE.len());
    assert_eq!((stalled.len(), upstream.connections()), (99, 1));
}

static LARGE: &[u8] = &[b'x'; 8 << 20];

#[test]
fn a_head_without_end_is_502() {
    let upstream = Http2Upstream::start(|mut call: Call| async move {
        let response = http::Response::builder().header("x", "y".repeat(100_000));
        let _ = call.respond.send_response(response.body(()).unwrap(), true);
    });
    let proxy = TestProxy::start(&known(&upstream, ""));
    assert_eq!(proxy.get("/").status(), 502);
}

#[test]
fn what_does_not_speak_http_2_is_502() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /\n    upstream: {{ url: 'http://{}/', http2: prior_knowledge }}\n",
        upstream.address()
    ));
    let answer = proxy.get("/");
    assert_eq!(answer.status(), 502, "{}", answer.code());
}

#[test]
fn an_upstream_that_refuses_connections_is_502_for_all_who_wait() {
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /\n    upstream: {{ url: 'http://{}/', http2: prior_knowledge }}\n",
        crate::support::closed_port()
    ));
    let mut clients: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().code(), "upstream_refused");
    }
}
