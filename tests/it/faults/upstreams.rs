//! The upstream in trouble: the client hears the truth, and nothing is done twice that may not be.

use std::{collections::HashSet, sync::Mutex, time::Duration};

use bearerd::clock::now;

use crate::support::{
    Gate, TestProxy, TokenEndpoint, Upstream, closed_port, plain, until, with_credential,
};

/// Answers the first request of each connection, and resets the connection at the second.
fn resetting() -> Upstream {
    let seen = Mutex::new(HashSet::new());
    Upstream::start(move |exchange| {
        if seen.lock().unwrap().insert(exchange.connection) {
            exchange.answer(200, "", "ok");
        } else {
            exchange.reset();
        }
    })
}

#[test]
fn a_refused_connection_is_502_at_once() {
    let proxy = TestProxy::start(&format!(
        "routes: [{{ match: /, upstream: 'http://{}/' }}]",
        closed_port()
    ));
    let since = now();
    let answer = proxy.post("/", b"abc");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "upstream_refused")
    );
    assert_eq!(
        answer.header("proxy-status"),
        Some("bearerd; error=connection_refused; details=\"upstream\"")
    );
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_name_that_resolves_to_nothing_is_502() {
    let proxy =
        TestProxy::start("routes: [{ match: /, upstream: 'http://no-such-host.invalid/' }]");
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "upstream_refused")
    );
}

#[test]
fn a_get_on_a_connection_that_dies_is_sent_again_once() {
    let upstream = resetting();
    let proxy = TestProxy::start(&plain(&upstream));
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!((upstream.count(), upstream.connections()), (3, 2));
}

#[test]
fn a_put_with_a_body_is_sent_again_whole() {
    let upstream = resetting();
    let proxy = TestProxy::start(&plain(&upstream));
    assert_eq!(proxy.get("/").status(), 200);
    let answer = proxy.send("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(answer.status(), 200);
    let requests = upstream.requests();
    assert_eq!((requests.len(), requests[2].text()), (3, "abc".into()));
}

#[test]
fn a_post_on_a_connection_that_dies_is_not_sent_again() {
    let upstream = resetting();
    let proxy = TestProxy::start(&plain(&upstream));
    assert_eq!(proxy.get("/").status(), 200);
    let answer = proxy.post("/", b"abc");
    assert_eq!((answer.status(), &*answer.code()), (502, "upstream_reset"));
    assert_eq!(upstream.count(), 2);
}

/// There, its body is held for a refusal: it could be sent again, and must not be.
#[test]
fn nor_is_it_on_a_route_with_a_credential() {
    let (tokens, upstream) = (TokenEndpoint::good(), resetting());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    assert_eq!(proxy.get("/").status(), 200);
    let answer = proxy.post("/", b"abc");
    assert_eq!((answer.status(), &*answer.code()), (502, "upstream_reset"));
    assert_eq!(upstream.count(), 2);
}

/// A proxy with two idle connections that die with the next request; and so do `all` that are made then.
fn dying(all: bool) -> (TestProxy, Upstream) {
    let (both, seen) = (Gate::default(), Mutex::new(HashSet::new()));
    let upstream = Upstream::start({
        let both = both.clone();
        move |exchange| {
            let first = seen.lock().unwrap().insert(exchange.connection);
            if first && (exchange.connection < 2 || !all) {
                both.pass();
                exchange.answer(200, "", "ok");
            } else {
                exchange.reset();
            }
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut clients = [proxy.connect(), proxy.connect()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    until("there are two connections", || upstream.count() == 2);
    both.open();
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    (proxy, upstream)
}

#[test]
fn a_request_is_sent_again_once_however_many_connections_die() {
    let (proxy, upstream) = dying(true);
    assert_eq!(proxy.get("/").code(), "upstream_reset");
    assert_eq!((upstream.count(), upstream.connections()), (4, 3));
}

#[test]
fn where_a_connection_died_the_others_are_not_trusted() {
    let (proxy, upstream) = dying(false);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!((upstream.count(), upstream.connections()), (4, 3));
}

#[test]
fn a_post_with_an_idempotency_key_is_sent_again() {
    let upstream = resetting();
    let proxy = TestProxy::start(&plain(&upstream));
    assert_eq!(proxy.get("/").status(), 200);
    let answer = proxy.send(
        "POST / HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: 1\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!((answer.status(), upstream.count()), (200, 3));
}

#[test]
fn a_new_connection_that_dies_is_not_tried_again() {
    let upstream = Upstream::start(|exchange| exchange.reset());
    let proxy = TestProxy::start(&plain(&upstream));
    assert_eq!(proxy.get("/").code(), "upstream_reset");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_connection_that_the_upstream_closed_while_idle_is_replaced_whatever_the_method() {
    let upstream = Upstream::start(|exchange| {
        exchange.answer(200, "", "ok");
        exchange.close();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    for number in 1..10 {
        assert_eq!(proxy.post("/", b"abc").status(), 200);
        upstream.until_ended(number);
    }
    assert_eq!((upstream.count(), upstream.connections()), (9, 9));
}

#[test]
fn an_upstream_that_says_nothing_is_504_in_time() {
    let upstream = Upstream::start(|exchange| {
        exchange.is_abandoned();
    });
    let proxy = TestProxy::start(&format!(
        "routes: [{{ match: /, upstream: 'http://{}/', timeouts: {{ response_head: 300ms }} }}]",
        upstream.address()
    ));
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na",
    ] {
        let since = now();
        let answer = proxy.send(request);
        assert_eq!(
            (answer.status(), &*answer.code()),
            (504, "upstream_timeout")
        );
        let taken = since.elapsed();
        assert!(
            taken > Duration::from_millis(250) && taken < Duration::from_secs(3),
            "{taken:?}"
        );
    }
    upstream.until_ended(2);
}

#[test]
fn a_body_that_stands_still_is_cut_in_time() {
    for begun in [
        "Content-Length: 10\r\n\r\n",
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "\r\nabc",
    ] {
        let upstream = Upstream::start(move |exchange| {
            exchange.write(format!("HTTP/1.1 200 OK\r\n{begun}"));
            exchange.is_abandoned();
        });
        let proxy = TestProxy::start(&format!(
            "routes: [{{ match: /, upstream: 'http://{}/', timeouts: {{ idle_body: 300ms }} }}]",
            upstream.address()
        ));
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status(), answer.is_whole()),
            (200, false),
            "{begun:?}"
        );
        upstream.until_ended(1);
    }
}

#[test]
fn a_slow_body_that_moves_is_left_to_move() {
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
        for _ in 0..30 {
            // The script's own pace, far below what the proxy allows between two pieces.
            std::thread::sleep(Duration::from_millis(60));
            exchange.write("x");
        }
    });
    let proxy = TestProxy::start(&format!(
        "routes: [{{ match: /, upstream: 'http://{}/', timeouts: {{ idle_body: 1s, response_head: 1s }} }}]",
        upstream.address()
    ));
    let answer = proxy.get("/");
    assert_eq!((answer.text(), answer.is_whole()), ("x".repeat(30), true));
}

#[test]
fn answers_that_are_no_http_are_502() {
    let huge = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n",
        "a".repeat(1_000_000)
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 99 X\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
        &huge,
        &many,
    ] {
        let shown = &answer[..answer.len().min(60)];
        let upstream = Upstream::answering(answer);
        let proxy = TestProxy::start(&plain(&upstream));
        let received = proxy.get("/");
        assert_eq!(
            (received.status(), &*received.code()),
            (502, "upstream_protocol"),
            "{shown:?}"
        );
    }
}

#[test]
fn an_odd_coding_of_an_answer_is_not_passed_on_as_it_is() {
    for coding in ["gzip", "gzip, chunked", "chunked, gzip", "identity"] {
        let upstream = Upstream::start(move |exchange| {
            exchange.write(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ));
            exchange.close();
        });
        let proxy = TestProxy::start(&plain(&upstream));
        let received = proxy.get("/");
        let coding_seen = received.header("transfer-encoding");
        assert!(
            coding_seen.is_none_or(|it| it == "chunked"),
            "{coding}: {received:?}"
        );
        assert_eq!(
            received.status(),
            502,
            "{coding}: what the body means is not known"
        );
    }
}

/// hyper looks at a length only where a body follows.
#[test]
fn an_answer_to_head_with_a_length_that_is_no_number_is_502() {
    for length in ["+3", "-3", "0x3", "", "3, 3", "99999999999999999999"] {
        let upstream = Upstream::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        ));
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = proxy.connect();
        client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.answer_to_head().status(), 502, "{length:?}");
    }
}

#[test]
fn a_flood_of_interim_answers_is_an_end() {
    let upstream = Upstream::start(|exchange| {
        while exchange.try_write("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)) {}
        exchange.close();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "upstream_protocol")
    );
    upstream.until_ended(1);
}

#[test]
fn a_connection_whose_answer_was_cut_is_not_used_again() {
    let upstream = Upstream::start(|exchange| match exchange.number {
        0 => {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            exchange.is_abandoned();
        }
        _ => exchange.answer(200, "", "fresh"),
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.head();
    client.until_received("abc");
    client.reset();
    upstream.until_ended(1);
    assert_eq!(proxy.get("/").text(), "fresh");
    assert_eq!(upstream.connections(), 2);
}

/// The head has been passed on by then: all that is left is to tell the truth.
#[test]
fn an_answer_that_breaks_off_is_not_asked_for_again() {
    let upstream = Upstream::start(|exchange| exchange.cut(10, "abc"));
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.get("/");
    assert_eq!((answer.status(), answer.text()), (200, "abc".into()));
    assert!(!answer.is_whole(), "{answer:?}");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_slow_reader_holds_back_the_upstream_and_not_the_memory() {
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (stalled, upstream) = (
        Gate::default(),
        Upstream::start({
            let written = written.clone();
            move |exchange| {
                exchange.write(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    LARGE
                ));
                let piece = vec![b'x'; 64 * 1024];
                for _ in 0..LARGE / piece.len() {
                    if !exchange.try_write(&piece) {
                        return;
                    }
                    written.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
                }
            }
        }),
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    let mut last = usize::MAX;
    until("the upstream is held back", || {
        std::thread::sleep(Duration::from_millis(50));
        let now = written.load(std::sync::atomic::Ordering::SeqCst);
        std::mem::replace(&mut last, now) == now
    });
    // What the kernel's four buffers hold, and a little of ours.
    assert!(
        last < LARGE / 2,
        "{last} bytes were taken with nobody reading"
    );
    stalled.open();
    assert_eq!(client.finish(head).body.len(), LARGE);
}

const LARGE: usize = 64 << 20;
