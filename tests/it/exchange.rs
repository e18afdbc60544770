//! What HTTP lets a message be, passes as it is: methods, bodies of every kind, interim answers, trailers.

use crate::support::{End, Gate, TestProxy, Upstream, plain, until};

#[test]
fn an_answer_to_head_has_the_length_and_no_body() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send("HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = client.answer_to_head();
        assert_eq!(
            (answer.status(), answer.header("content-length")),
            (200, Some("12345"))
        );
    }
    assert_eq!(
        upstream.connections(),
        1,
        "a bodiless answer gives the connection back"
    );
    client.send("HEAD /x HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer_to_head().status(), 421);
    assert_eq!(client.rest(), b"", "our own errors have no body either");
}

#[test]
fn answers_without_a_body_keep_the_connections_in_step() {
    for status in [204, 304] {
        let upstream = Upstream::start(move |exchange| match exchange.number {
            0 => exchange.write(format!("HTTP/1.1 {status} X\r\nETag: \"a\"\r\n\r\n")),
            _ => exchange.answer(200, "", "next"),
        });
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = proxy.connect();
        let twice = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2);
        client.send(twice);
        let answer = client.answer();
        assert_eq!(
            (answer.status(), answer.header("etag")),
            (status, Some("\"a\""))
        );
        assert_eq!(client.answer().text(), "next");
        assert_eq!(upstream.connections(), 1);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|exchange| {
        let target = exchange.request.second().to_owned();
        exchange.answer(200, "", &target);
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let all: String = (0..20)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .collect();
    let mut client = proxy.connect();
    client.send(all);
    for number in 0..20 {
        assert_eq!(client.answer().text(), format!("/{number}"));
    }
}

#[test]
fn bodies_of_every_framing_arrive_whole() {
    let upstream = Upstream::start(|exchange| {
        let body = exchange.request.text();
        match exchange.number % 3 {
            0 => exchange.answer(200, "", &body),
            1 => exchange.write(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )),
            _ => {
                exchange.write(format!("HTTP/1.1 200 OK\r\n\r\n{body}"));
                exchange.close();
            }
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let body = "0123456789".repeat(30_000);
    for _ in 0..3 {
        let answer = proxy.post("/x", body.as_bytes());
        assert_eq!(
            (answer.status(), answer.text() == body, answer.is_whole()),
            (200, true, true)
        );
        let mut client = proxy.connect();
        client.send("PUT /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in body.as_bytes().chunks(70_000) {
            client
                .send(format!("{:x};ext=1\r\n", chunk.len()))
                .send(chunk)
                .send("\r\n");
        }
        let answer = client.send("0\r\n\r\n").answer();
        assert_eq!((answer.status(), answer.text() == body), (200, true));
    }
    for request in upstream.requests() {
        assert_eq!((request.body.len(), request.end), (body.len(), End::Whole));
    }
}

#[test]
fn a_body_streams_before_it_is_complete() {
    let (first, second) = (Gate::default(), Gate::default());
    let upstream = Upstream::at_head({
        let (first, second) = (first.clone(), second.clone());
        move |exchange| {
            exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
            first.pass();
            exchange.write("3\r\ntwo\r\n");
            second.pass();
            exchange.write("0\r\n\r\n");
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    client.until_received("one");
    first.open();
    client.until_received("two");
    second.open();
    assert_eq!(client.finish(head).text(), "onetwo");
}

#[test]
fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let upstream = Upstream::at_head(|exchange| exchange.answer(413, "", "too large"));
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text()), (413, "too large".into()));
    // The rest of that body has nowhere to go: the connection ends, and so does the upstream's.
    upstream.until_ended(1);
    assert_eq!(client.rest(), b"");
}

#[test]
fn expect_100_continue_is_answered_end_to_end() {
    let (asked, allowed) = (Gate::default(), Gate::default());
    let upstream = Upstream::at_head({
        let (asked, allowed) = (asked.clone(), allowed.clone());
        move |exchange| {
            asked.open();
            allowed.pass();
            exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
            exchange.read_body();
            let body = exchange.request.text();
            exchange.answer(200, "", &body);
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "PUT /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    asked.pass();
    allowed.open();
    assert_eq!(client.interim(), 100);
    assert_eq!(client.send("hello").answer().text(), "hello");
    let request = upstream.request();
    assert_eq!(request.headers("expect"), ["100-continue"]);
    let sent = String::from_utf8(upstream.bytes().remove(0)).unwrap();
    assert!(sent.ends_with("\r\n\r\nhello"), "{sent}");
}

#[test]
fn a_refused_expectation_spares_the_body() {
    let upstream = Upstream::at_head(|exchange| exchange.answer(417, "", ""));
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "PUT /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status(), answer.interim.len()), (417, 0));
    upstream.until_ended(1);
    assert_eq!(upstream.request().body, b"");
}

#[test]
fn an_upstream_that_knows_no_100_gets_the_body_all_the_same() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "PUT /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(client.interim(), 100);
    assert_eq!(client.send("hello").answer().status(), 200);
    assert_eq!(upstream.request().text(), "hello");
}

#[test]
fn other_expectations_are_not_sent_on() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.send("GET /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(answer.status(), 200);
    proxy.send(
        "PUT /x HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\na",
    );
    for request in upstream.requests() {
        assert_eq!(request.header("expect"), None);
    }
}

#[test]
fn trailers_pass_in_both_directions() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "POST /x HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nTrailer: X-Mine\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Mine: 3\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(
        (answer.text(), &answer.trailers[..]),
        ("ok".into(), &[("x-sum".into(), "2".into())][..])
    );
    let request = upstream.request();
    assert_eq!(
        (request.text(), &request.trailers[..]),
        ("abc".into(), &[("x-mine".into(), "3".into())][..])
    );
    assert_eq!(request.header("te"), Some("trailers"));
}

#[test]
fn interim_answers_do_not_disturb_the_final_one() {
    let upstream = Upstream::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    for _ in 0..2 {
        let answer = proxy.get("/");
        assert_eq!((answer.status(), answer.text()), (200, "final".into()));
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn what_a_route_does_not_serve_is_refused_by_its_method() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    for (line, status, code) in [
        ("TRACE /x HTTP/1.1", 405, "method_refused"),
        ("CONNECT localhost:443 HTTP/1.1", 405, "method_refused"),
        ("CONNECT /x HTTP/1.1", 405, "method_refused"),
        ("OPTIONS * HTTP/1.1", 400, "request_invalid"),
        ("GET * HTTP/1.1", 400, "request_invalid"),
    ] {
        let answer = proxy.send(format!("{line}\r\nHost: localhost\r\n\r\n"));
        assert_eq!((answer.status(), &*answer.code()), (status, code), "{line}");
        assert!(answer.header("proxy-status").is_some());
        assert_eq!(answer.header("allow").is_some(), status == 405);
    }
    assert_eq!(upstream.count(), 0);
    for method in ["OPTIONS", "PROPFIND", "BREW", "get"] {
        assert_eq!(
            proxy
                .send(format!("{method} /x HTTP/1.1\r\nHost: localhost\r\n\r\n"))
                .status(),
            200
        );
        let last = upstream.requests().pop().unwrap();
        assert_eq!(last.start, format!("{method} /x HTTP/1.1"));
    }
}

#[test]
fn connections_to_the_upstream_are_used_again() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    until("ten requests came", || upstream.count() == 10);
    assert_eq!(upstream.connections(), 1);
}
