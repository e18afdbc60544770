//! WebSockets of clients that speak HTTP/2: extended CONNECT (RFC 8441), to upstreams of either version.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bearerd::{clock::now, upstream::websocket};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, ext::Protocol};
use http::{HeaderValue, Request};

use crate::support::{
    Call, Exchange, H2, Http2Upstream, TestProxy, TokenEndpoint, Upstream, plain, token, until,
    with_credential,
};
use crate::websocket::{answers_the_end, ends_first, speaks_now_and_then};

/// Agrees to every handshake, then does as the script says.
fn agreeing(script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| {
        let key = exchange.request.header("sec-websocket-key").expect("a key");
        let accept = websocket::accept(&HeaderValue::try_from(key).unwrap());
        exchange.write(agreed(accept.to_str().unwrap()));
        script(exchange);
        exchange.close();
    })
}

fn agreed(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

fn handshake(protocol: &'static str) -> Request<()> {
    let mut request = Request::connect("http://localhost/chat?room=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .unwrap();
    request
        .extensions_mut()
        .insert(Protocol::from_static(protocol));
    request
}

/// The client's end of a tunnel, and its connection.
struct Socket {
    client: H2,
    up: SendStream<Bytes>,
    down: RecvStream,
}

impl Socket {
    #[track_caller]
    fn open(proxy: &TestProxy) -> Self {
        let mut client = H2::connect(proxy.address());
        let pending = client.start(handshake("websocket"), false);
        let (head, up, down) = pending.open();
        assert_eq!(head.status(), 200, "{head:?}");
        for gone in ["connection", "upgrade", "sec-websocket-accept"] {
            assert!(!head.headers().contains_key(gone), "{head:?}");
        }
        assert_eq!(head.headers()["sec-websocket-protocol"], "chat");
        Self { client, up, down }
    }

    fn say(&mut self, what: &'static str, last: bool) {
        self.up.send_data(what.into(), last).unwrap();
    }

    /// What comes until the upstream's end, or why it breaks off.
    #[track_caller]
    fn rest(&mut self) -> Result<Vec<u8>, h2::Error> {
        let down = &mut self.down;
        self.client.wait_for(async {
            let mut all = Vec::new();
            while let Some(data) = down.data().await {
                let data = data?;
                let _ = down.flow_control().release_capacity(data.len());
                all.extend_from_slice(&data);
            }
            Ok(all)
        })
    }
}

#[test]
fn the_handshake_is_one_of_http_1_with_the_credential_and_a_key() {
    let tokens = TokenEndpoint::good();
    let upstream = agreeing(|exchange| {
        exchange.write("first ");
        let heard = exchange.rest();
        exchange.write(heard);
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut socket = Socket::open(&proxy);
    socket.say("second", true);
    assert_eq!(socket.rest().unwrap(), b"first second");
    let request = upstream.request();
    assert_eq!(request.start, "GET /chat?room=1 HTTP/1.1");
    for (name, value) in [
        ("authorization", &*format!("Bearer {}", token(1))),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
    ] {
        assert_eq!(request.headers(name), [value]);
    }
}

#[test]
fn either_side_may_end_first_and_still_hear_the_other() {
    let upstream = agreeing(answers_the_end);
    let proxy = TestProxy::start(&plain(&upstream));
    let mut socket = Socket::open(&proxy);
    socket.say("question", true);
    assert_eq!(socket.rest().unwrap(), b"answer");

    let heard = Arc::new(Mutex::new(Vec::new()));
    let upstream = agreeing(ends_first(&heard));
    let proxy = TestProxy::start(&plain(&upstream));
    let mut socket = Socket::open(&proxy);
    assert_eq!(socket.rest().unwrap(), b"bye");
    socket.say("late word", true);
    upstream.until_ended(1);
    assert_eq!(*heard.lock().unwrap(), b"late word");
}

#[test]
fn who_resets_the_stream_ends_the_upstreams_connection_and_no_other_stream() {
    let upstream = agreeing(|exchange| drop(exchange.rest()));
    let proxy = TestProxy::start(&plain(&upstream));
    let mut socket = Socket::open(&proxy);
    socket.up.send_reset(Reason::CANCEL);
    upstream.until_ended(1);
    let mut client = socket.client;
    assert_eq!(client.send(handshake("h2c")).status(), 405);
}

#[test]
fn silence_both_ways_ends_it_and_a_word_either_way_does_not() {
    let upstream = agreeing(speaks_now_and_then);
    let yaml = format!(
        "defaults: {{ timeouts: {{ idle_stream: 1s }} }}\n{}",
        plain(&upstream)
    );
    let proxy = TestProxy::start(&yaml);
    let since = now();
    let mut socket = Socket::open(&proxy);
    let heard = socket.rest();
    assert!(heard.is_err() || heard.is_ok_and(|it| it == b"xxxx"));
    assert!(since.elapsed() > Duration::from_millis(3800));
    upstream.until_ended(1);
}

#[test]
fn only_the_101_that_was_asked_for_makes_a_tunnel() {
    for (answer, status) in [
        // Of another key.
        (agreed("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), 502),
        // To the client it would be a tunnel.
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into(), 502),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), 502),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".into(),
            403,
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".into(),
            302,
        ),
    ] {
        let upstream = Upstream::start({
            let answer = answer.clone();
            move |exchange| {
                exchange.write(&answer);
                exchange.close();
            }
        });
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = H2::connect(proxy.address());
        let got = client.send(handshake("websocket"));
        assert_eq!(got.status(), status, "{answer}");
    }
}

#[test]
fn other_connects_and_routes_without_upgrades_are_refused() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "routes: [{{ match: /chat, upstream: 'http://{}/', upgrade: none }}]",
        upstream.address()
    ));
    let mut client = H2::connect(proxy.address());
    for protocol in ["websocket", "connect-udp", "WebSocket"] {
        let answer = client.send(handshake(protocol));
        assert_eq!(
            (answer.status().as_u16(), &*answer.code()),
            (405, "method_refused")
        );
    }
    assert_eq!(client.get("/chat").status(), 200, "others go on");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_handshake_that_is_refused_is_made_again_with_another_credential() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        if exchange.number == 0 {
            return exchange.answer(401, "", "");
        }
        let key = exchange.request.header("sec-websocket-key").expect("a key");
        let accept = websocket::accept(&HeaderValue::try_from(key).unwrap());
        exchange.write(agreed(accept.to_str().unwrap()));
        exchange.write("hi");
        exchange.close();
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut socket = Socket::open(&proxy);
    assert_eq!(socket.rest().unwrap(), b"hi");
    assert_eq!(tokens.calls(), 2);
}

#[test]
fn it_counts_as_a_request_until_it_ends() {
    let upstream = agreeing(|exchange| drop(exchange.rest()));
    let proxy = TestProxy::start(&format!("limits: {{ requests: 1 }}\n{}", plain(&upstream)));
    let mut socket = Socket::open(&proxy);
    assert_eq!(socket.client.get("/").status(), 503);
    socket.say("", true);
    assert_eq!(socket.rest().unwrap(), b"");
    until("its place is free", || {
        let mut client = H2::connect(proxy.address());
        client.send(handshake("h2c")).status() == 405
    });
}

#[test]
fn what_is_said_after_the_proxy_is_told_to_end_is_heard() {
    let upstream = agreeing(|exchange| {
        let heard = exchange.rest();
        exchange.write(heard);
    });
    let proxy = TestProxy::start(&format!("limits: {{ drain: 10s }}\n{}", plain(&upstream)));
    let mut socket = Socket::open(&proxy);
    let since = now();
    proxy.shut_down();
    until("no new ones begin", || {
        socket
            .client
            .try_start(handshake("websocket"), true)
            .is_err()
    });
    socket.say("late word", true);
    assert_eq!(socket.rest().unwrap(), b"late word");
    until("the proxy has ended", || proxy.has_ended());
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn at_the_end_of_the_proxy_it_has_until_the_deadline() {
    let upstream = agreeing(|exchange| drop(exchange.rest()));
    let proxy = TestProxy::start(&format!("limits: {{ drain: 1s }}\n{}", plain(&upstream)));
    let mut socket = Socket::open(&proxy);
    let since = now();
    proxy.shut_down();
    let _ = socket.rest();
    assert!(since.elapsed() >= Duration::from_secs(1));
    until("the proxy has ended", || proxy.has_ended());
}

fn known(upstream: &Http2Upstream) -> String {
    let address = upstream.address();
    format!(
        "routes: [{{ match: /, upstream: {{ url: 'http://{address}/', http2: prior_knowledge }} }}]"
    )
}

async fn echo(mut call: Call) {
    let mut down = call.head(200);
    while let Some(data) = call.next().await {
        let _ = down.send_data(data, false);
    }
    let _ = down.send_data(Bytes::new(), true);
}

#[test]
fn an_upstream_of_http_2_is_asked_by_extended_connect() {
    let upstream = Http2Upstream::with_connect(echo);
    let proxy = TestProxy::start(&known(&upstream));
    let mut client = proxy.connect();
    let answer = client
        .send(
            "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .answer();
    assert_eq!(answer.status(), 101);
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    client.send("there and back").half_close();
    assert_eq!(client.rest(), b"there and back");
    let [request] = &*upstream.requests() else {
        panic!("one request")
    };
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("CONNECT", "/chat")
    );
    let protocol = request.extensions().get::<Protocol>();
    assert_eq!(protocol.map(Protocol::as_str), Some("websocket"));
    for gone in ["sec-websocket-key", "upgrade", "connection"] {
        assert!(!request.headers().contains_key(gone), "{request:?}");
    }
}

#[test]
fn an_upstream_of_http_2_that_takes_none_is_502_and_asked_for_nothing() {
    let upstream = Http2Upstream::ok();
    let proxy = TestProxy::start(&known(&upstream));
    let mut client = H2::connect(proxy.address());
    let answer = client.send(handshake("websocket"));
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (502, "upstream_protocol")
    );
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}
