//! WebSockets: the credential goes on the handshake, and a tunnel begins only where both sides agreed to one.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bearerd::clock::now;

use crate::support::{
    Client, Exchange, Gate, TestProxy, TokenAnswer, TokenEndpoint, Upstream, plain, token, until,
    with_credential,
};

const HANDSHAKE: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
     Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Protocol: chat\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
/// A text frame of a server.
const TEXT: &[u8] = b"\x81\x02hi";

/// Agrees to every handshake, then does as the script says.
fn agreeing(script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| {
        exchange.write(AGREED);
        script(exchange);
        exchange.close();
    })
}

/// Sends back what comes.
fn echo() -> Upstream {
    agreeing(|exchange| {
        loop {
            let byte = exchange.receive(1);
            if byte.is_empty() || !exchange.try_write(byte) {
                return;
            }
        }
    })
}

/// Says its answer once the client has said all.
pub fn answers_the_end(exchange: &mut Exchange<'_>) {
    assert_eq!(exchange.rest(), b"question");
    exchange.write("answer");
}

/// Has nothing more to say at once, and listens on.
pub fn ends_first(heard: &Arc<Mutex<Vec<u8>>>) -> impl Fn(&mut Exchange<'_>) + use<> {
    let heard = Arc::clone(heard);
    move |exchange| {
        exchange.write("bye");
        exchange.half_close();
        *heard.lock().unwrap() = exchange.rest();
    }
}

/// A word each 700 ms, four times, and then no more.
pub fn speaks_now_and_then(exchange: &mut Exchange<'_>) {
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(700));
        exchange.write("x");
    }
    exchange.rest();
}

/// A connection whose handshake was agreed to.
#[track_caller]
fn open(proxy: &TestProxy) -> Client {
    let mut client = proxy.connect();
    let answer = client.send(HANDSHAKE).answer();
    assert_eq!(answer.status(), 101, "{answer:?}");
    client
}

#[test]
fn the_handshake_carries_the_credential_and_the_tunnel_what_both_sides_say() {
    let tokens = TokenEndpoint::good();
    let upstream = agreeing(|exchange| {
        exchange.write("first");
        let heard = exchange.receive(10);
        exchange.write(heard);
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = proxy.connect();
    // Some of it comes along with the handshake.
    let answer = client.send(format!("{HANDSHAKE}early")).answer();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.header("connection"), Some("Upgrade"));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(answer.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(client.receive(5), b"first");
    client.send("later");
    assert_eq!(client.receive(10), b"earlylater");
    assert_eq!(client.rest(), b"");
    let request = upstream.request();
    assert_eq!(request.second(), "/chat?room=1");
    assert_eq!(
        request.header("authorization"),
        Some(&*format!("Bearer {}", token(1)))
    );
    assert_eq!(request.headers("connection"), ["Upgrade"]);
    assert_eq!(request.headers("upgrade"), ["websocket"]);
    assert_eq!(request.header("sec-websocket-version"), Some("13"));
    assert_eq!(request.header("sec-websocket-protocol"), Some("chat"));
}

#[test]
fn it_works_over_tls() {
    let authority = crate::support::Authority::new("websocket");
    let upstream = Upstream::over_tls(&authority, "localhost", |exchange| {
        exchange.write(AGREED);
        let heard = exchange.receive(3);
        exchange.write(heard);
        exchange.rest();
    });
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /\n    upstream: {{ url: 'https://localhost:{}/', tls: {{ ca: {} }} }}\n",
        upstream.address().port(),
        authority.file().display()
    ));
    let mut client = open(&proxy);
    assert_eq!(client.send("abc").receive(3), b"abc");
}

/// 1: what follows a handshake that was answered otherwise are requests, with their own route and Host.
#[test]
fn bytes_behind_a_handshake_that_was_refused_are_no_tunnel() {
    for status in [200, 401, 403, 426] {
        let upstream = Upstream::start(move |exchange| exchange.answer(status, "", "no"));
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = proxy.connect();
        client.send(format!(
            "{HANDSHAKE}GET /b HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text()), (status, "no".into()));
        assert_eq!(client.answer().code(), "host_unknown");
        assert_eq!(upstream.count(), 1);
        // It was answered as HTTP has it: its connection serves on.
        assert_eq!(proxy.get("/").status(), status);
        assert_eq!(upstream.connections(), 1);
    }
}

#[test]
fn a_101_that_does_not_answer_what_was_asked_is_502() {
    for fields in [
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\n",
        "Upgrade: websocket\r\n",
        "",
    ] {
        let upstream = Upstream::answering(format!(
            "HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        ));
        let proxy = TestProxy::start(&plain(&upstream));
        for _ in 0..2 {
            let answer = proxy.send(HANDSHAKE);
            let seen = (answer.status(), answer.code());
            assert_eq!(seen, (502, "upstream_protocol".into()), "{fields:?}");
        }
        assert_eq!(upstream.connections(), 2);
    }
}

/// 22: a server that speaks h2c behind our back would take whole requests that nobody checked.
#[test]
fn no_other_protocol_is_asked_for() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    for (method, fields) in [
        (
            "GET",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        ),
        ("GET", "Connection: Upgrade\r\nUpgrade: websocket2\r\n"),
        ("GET", "Upgrade: websocket\r\n"),
        (
            "GET",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
        ),
        (
            "POST",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
        ),
    ] {
        let answer = proxy.send(format!(
            "{method} / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\nx"
        ));
        assert_eq!(answer.status(), 200, "{fields}");
        let request = upstream.requests().pop().unwrap();
        for field in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(request.header(field), None, "{fields}");
        }
    }
    let answer = proxy.send(HANDSHAKE.replace("WebSocket\r\n", "h2c, websocket\r\n"));
    assert_eq!(answer.status(), 200);
    let request = upstream.requests().pop().unwrap();
    assert_eq!(
        request.header("upgrade"),
        Some("websocket"),
        "one of several"
    );
}

#[test]
fn a_route_may_pass_none() {
    let upstream = echo();
    let proxy = TestProxy::start(&format!(
        "defaults: {{ upgrade: none }}\n{}",
        plain(&upstream)
    ));
    let answer = proxy.send(HANDSHAKE);
    assert_eq!(answer.code(), "upstream_protocol", "it agrees unasked");
    let request = upstream.request();
    assert_eq!(request.header("upgrade"), None);
    assert_eq!(request.header("connection"), None);
}

#[test]
fn a_web_page_of_another_site_gets_none() {
    let upstream = echo();
    let proxy = TestProxy::start(&plain(&upstream));
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost.evil.example",
    ] {
        let handshake = HANDSHAKE.replace("Upgrade: ", &format!("Origin: {origin}\r\nUpgrade: "));
        let answer = proxy.send(handshake);
        let seen = (answer.status(), answer.code());
        assert_eq!(seen, (403, "origin_refused".into()), "{origin}");
    }
    assert_eq!(upstream.count(), 0);
    let own = "Origin: http://localhost\r\nUpgrade: ";
    assert_eq!(
        proxy.send(HANDSHAKE.replace("Upgrade: ", own)).status(),
        101
    );
}

#[test]
fn a_handshake_that_is_refused_is_made_again_with_another_credential() {
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::start(|exchange| {
        if exchange.number == 0 {
            return exchange.answer(401, "", "");
        }
        exchange.write(AGREED);
        exchange.write(TEXT);
        exchange.rest();
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = open(&proxy);
    assert_eq!(client.receive(4), TEXT);
    let requests = upstream.requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|it| it.header("authorization"))
        .collect();
    let bearer = |number| format!("Bearer {}", token(number));
    assert_eq!(sent, [Some(&*bearer(1)), Some(&*bearer(2))]);
    assert_eq!(requests[1].header("upgrade"), Some("websocket"));
}

#[test]
fn either_side_may_end_first_and_still_hear_the_other() {
    let upstream = agreeing(answers_the_end);
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = open(&proxy);
    client.send("question").half_close();
    assert_eq!(client.rest(), b"answer");

    let heard = Arc::new(Mutex::new(Vec::new()));
    let upstream = agreeing(ends_first(&heard));
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = open(&proxy);
    assert_eq!(client.rest(), b"bye");
    client.send("late word").half_close();
    upstream.until_ended(1);
    assert_eq!(*heard.lock().unwrap(), b"late word");
}

#[test]
fn a_side_that_breaks_off_takes_the_other_with_it() {
    let upstream = agreeing(|exchange| {
        exchange.receive(1);
        exchange.reset();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    assert!(open(&proxy).send("x").ends());

    let upstream = agreeing(|exchange| drop(exchange.rest()));
    let proxy = TestProxy::start(&plain(&upstream));
    open(&proxy).reset();
    upstream.until_ended(1);
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
    let mut client = open(&proxy);
    assert_eq!(client.rest(), b"xxxx");
    let taken = since.elapsed();
    assert!(taken > Duration::from_millis(3800), "{taken:?}");
    upstream.until_ended(1);
}

#[test]
fn it_is_counted_when_it_ends() {
    let upstream = echo();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = open(&proxy);
    assert_eq!(client.send("abc").receive(3), b"abc");
    let scrape = || proxy.app.metrics().encode();
    let open = "bearerd_requests_in_flight{route=\"all\"} 1.0\n";
    assert!(scrape().contains(open), "{}", scrape());
    assert!(!scrape().contains("status=\"1xx\""));
    client.half_close();
    assert_eq!(client.rest(), b"");
    until("it is counted", || {
        scrape().contains("bearerd_requests_total{route=\"all\",status=\"1xx\"} 1\n")
    });
    assert!(scrape().contains("bearerd_requests_in_flight{route=\"all\"} 0.0\n"));
}

#[test]
fn it_holds_no_place_that_requests_need() {
    let upstream = Upstream::start(|exchange| {
        if exchange.request.header("upgrade").is_none() {
            return exchange.answer(200, "", "ok");
        }
        exchange.write(AGREED);
        exchange.rest();
    });
    let yaml = format!(
        "limits: {{ upstream_connections: 1 }}\n{}",
        plain(&upstream)
    );
    let proxy = TestProxy::start(&yaml);
    let tunnels = [open(&proxy), open(&proxy)];
    assert_eq!(proxy.get("/").status(), 200);
    drop(tunnels);
}

#[test]
fn at_the_end_of_the_proxy_it_has_until_the_deadline() {
    let upstream = echo();
    let yaml = format!("limits: {{ drain: 1s }}\n{}", plain(&upstream));
    let proxy = TestProxy::start(&yaml);
    let mut client = open(&proxy);
    let since = now();
    proxy.shut_down();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.send("abc").receive(3), b"abc");
    assert!(client.ends());
    let taken = since.elapsed();
    assert!(
        taken > Duration::from_millis(900) && taken < Duration::from_secs(3),
        "{taken:?}"
    );
    until("the proxy has ended", || proxy.has_ended());
}

#[test]
fn the_end_of_one_is_the_end_of_the_proxys_wait() {
    let upstream = echo();
    let proxy = TestProxy::start(&format!("limits: {{ drain: 30s }}\n{}", plain(&upstream)));
    let mut client = open(&proxy);
    proxy.shut_down();
    client.half_close();
    until("the proxy has ended", || proxy.has_ended());
}

#[test]
fn one_that_outlives_its_credential_goes_on_unless_the_route_says_otherwise() {
    let tokens = TokenEndpoint::start(|_| TokenAnswer::Token(2));
    let gate = Gate::default();
    let upstream = agreeing({
        let gate = gate.clone();
        move |exchange| {
            exchange.write(TEXT);
            gate.pass();
            exchange.write(TEXT);
        }
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = open(&proxy);
    assert_eq!(client.receive(4), TEXT);
    std::thread::sleep(Duration::from_millis(2500));
    gate.open();
    assert_eq!(client.rest(), TEXT);
}

#[test]
fn a_route_can_close_it_when_its_credential_expires() {
    let tokens = TokenEndpoint::start(|_| TokenAnswer::Token(2));
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let upstream = agreeing({
        let heard = heard.clone();
        move |exchange| {
            exchange.write(TEXT);
            *heard.lock().unwrap() = exchange.rest();
        }
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "on_expiry: close"));
    let since = now();
    let mut client = open(&proxy);
    // Status 1008, behind a whole frame.
    assert_eq!(client.rest(), [TEXT, b"\x88\x02\x03\xf0"].concat());
    let taken = since.elapsed();
    assert!(
        taken > Duration::from_millis(1500) && taken < Duration::from_secs(3),
        "{taken:?}"
    );
    drop(client);
    upstream.until_ended(1);
    assert_eq!(upstream.count(), 1, "no other is opened in its place");
    let heard = heard.lock().unwrap();
    assert_eq!(
        (heard.len(), &heard[..2]),
        (8, &b"\x88\x82"[..]),
        "{heard:?}"
    );
}

#[test]
fn within_a_frame_no_other_is_put() {
    let tokens = TokenEndpoint::start(|_| TokenAnswer::Token(2));
    let upstream = agreeing(|exchange| {
        exchange.write(&TEXT[..3]);
        exchange.rest();
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "on_expiry: close"));
    assert_eq!(open(&proxy).rest(), &TEXT[..3]);
}

#[test]
fn any_other_answer_that_outlives_its_credential_can_be_cut() {
    let tokens = TokenEndpoint::start(|_| TokenAnswer::Token(2));
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        exchange.is_abandoned();
    });
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, "on_expiry: close"));
    let since = now();
    let answer = proxy.get("/");
    assert_eq!(answer.text(), "data: 1\n\n");
    assert!(!answer.is_whole(), "a cut answer looks whole");
    assert!(since.elapsed() < Duration::from_secs(3));
    upstream.until_ended(1);
}
