//! What comes by HTTP/2 reaches an upstream that speaks HTTP/1.1, and back.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};

use crate::support::{
    Gate, H2, TestProxy, TokenEndpoint, Upstream,
    h2::{
        END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, RST_STREAM, block, frame, get, request,
    },
    plain, until, with_credential,
};

#[test]
fn both_versions_are_served_on_one_port() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let mut client = H2::connect(proxy.address());
    let answer = client.get("/a?b=c");
    assert_eq!((answer.status().as_u16(), answer.text()), (200, "ok"));
    assert_eq!(answer.head.headers().get("connection"), None);
    assert_eq!(proxy.get("/").status(), 200);
    let requests = upstream.requests();
    let sent = &requests[0];
    assert_eq!(sent.start, "GET /a?b=c HTTP/1.1");
    assert_eq!(sent.header("host"), Some(&*upstream.address().to_string()));
    assert!(sent.header("via").unwrap().starts_with("2.0 bearerd-"));
    assert!(sent.header("authorization").unwrap().starts_with("Bearer "));
    assert_eq!(
        requests[1].header("authorization"),
        sent.header("authorization")
    );
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = Frames::silent(proxy.address());
    for byte in PREFACE {
        assert!(client.write([*byte]));
        std::thread::sleep(Duration::from_millis(2));
    }
    client.write(frame(4, 0, 0, b""));
    client.write(request(1, &[]));
    let answer = client.next_of(HEADERS).expect("an answer");
    assert_eq!(answer.stream, 1);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn what_only_begins_like_a_preface_is_http_1() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send("P");
    std::thread::sleep(Duration::from_millis(20));
    client.send("RI");
    std::thread::sleep(Duration::from_millis(20));
    let answer = client
        .send("SM / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .answer();
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.request().start, "PRISM / HTTP/1.1");
    let mut client = proxy.connect();
    let answer = client
        .send("PRI * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .answer();
    assert_eq!(answer.status(), 400);
}

#[test]
fn requests_of_one_connection_run_at_once() {
    let gate = Gate::default();
    let upstream = Upstream::start({
        let gate = gate.clone();
        move |exchange| {
            gate.pass();
            let target = exchange.request.second().to_owned();
            exchange.answer(200, "", &target);
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let pending: Vec<_> = (0..20)
        .map(|number| client.start(get(&format!("/{number}")), true))
        .collect();
    until("all are under way", || upstream.count() == 20);
    gate.open();
    for (number, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.answer().text(), format!("/{number}"));
    }
}

#[test]
fn bodies_come_whole_with_and_without_a_length() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let post = || Request::post("http://localhost/").body(()).unwrap();
    assert_eq!(client.post(post(), b"abc").text(), "ok");
    let mut sized = post();
    sized
        .headers_mut()
        .insert("content-length", HeaderValue::from_static("3"));
    assert_eq!(client.post(sized, b"def").text(), "ok");
    // Of a GET, too: nothing else would tell the upstream that there is one.
    assert_eq!(client.post(get("/"), b"ghi").text(), "ok");
    let requests = upstream.requests();
    let bodies: Vec<_> = requests
        .iter()
        .map(|it| (&*it.body, it.header("content-length")))
        .collect();
    assert_eq!(
        bodies,
        [(&b"abc"[..], None), (b"def", Some("3")), (b"ghi", None)]
    );
}

#[test]
fn a_large_answer_comes_whole() {
    let body: String = (0..60_000).map(|number| format!("{number:06}\n")).collect();
    let upstream = Upstream::start({
        let body = body.clone();
        move |exchange| exchange.answer(200, "", &body)
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let answer = client.get("/");
    assert_eq!(
        answer.head.headers()["content-length"],
        body.len().to_string()
    );
    assert!(answer.text() == body);
}

#[test]
fn a_head_request_learns_the_length_and_gets_no_body() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let answer = client.send(Request::head("http://localhost/").body(()).unwrap());
    assert_eq!(answer.head.headers()["content-length"], "20");
    assert_eq!(answer.text(), "");
}

#[test]
fn trailers_pass_both_ways() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let mut head = Request::post("http://localhost/").body(()).unwrap();
    head.headers_mut()
        .insert("te", HeaderValue::from_static("trailers"));
    head.headers_mut()
        .insert("trailer", HeaderValue::from_static("x-more"));
    let mut pending = client.start(head, false);
    pending
        .body
        .send_data(Bytes::from_static(b"abc"), false)
        .unwrap();
    let trailers =
        HeaderMap::from_iter([("x-more".parse().unwrap(), HeaderValue::from_static("1"))]);
    pending.body.send_trailers(trailers).unwrap();
    let answer = pending.answer();
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers.unwrap()["x-sum"], "7");
    let sent = upstream.request();
    assert_eq!(sent.header("te"), Some("trailers"));
    assert_eq!(sent.trailers, [("x-more".to_owned(), "1".to_owned())]);
}

#[test]
fn cookies_reach_the_upstream_as_one_field() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let mut head = get("/");
    for cookie in ["a=1", "b=2", "c=3"] {
        head.headers_mut()
            .append("cookie", HeaderValue::from_static(cookie));
    }
    client.send(head);
    assert_eq!(upstream.request().headers("cookie"), ["a=1; b=2; c=3"]);
}

#[test]
fn heads_that_say_two_things_are_400() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    for (name, value) in [
        ("host", "example.com"),
        ("host", "localhost:1"),
        ("content_length", "3"),
        ("content-length", "+0"),
    ] {
        let mut head = get("/");
        head.headers_mut()
            .insert(name, HeaderValue::from_static(value));
        if let Ok(answer) = client.start(head, true).try_answer() {
            assert_eq!(
                (answer.status().as_u16(), &*answer.code()),
                (400, "request_invalid"),
                "{name}"
            );
        }
    }
    let mut agreed = get("/");
    agreed
        .headers_mut()
        .insert("host", HeaderValue::from_static("LOCALHOST"));
    assert_eq!(client.send(agreed).status(), 200);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn hosts_paths_and_methods_are_judged_as_in_http_1() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let cases = [
        ("GET", "http://evil.example/", 421, "host_unknown"),
        ("GET", "http://localhost/a/..;/b", 400, "path_refused"),
        ("GET", "http://localhost/%zz", 400, "path_refused"),
        ("TRACE", "http://localhost/", 405, "method_refused"),
        ("GET", "ftp://localhost/", 400, "request_invalid"),
    ];
    for (method, uri, status, code) in cases {
        let answer = client.send(Request::builder().method(method).uri(uri).body(()).unwrap());
        assert_eq!(
            (answer.status().as_u16(), &*answer.code()),
            (status, code),
            "{uri}"
        );
        assert_eq!(answer.head.headers().get("connection"), None);
    }
    assert_eq!(upstream.count(), 0);
}

/// CVE-2026-42926, CVE-2021-39240 and its kin: what is data in HTTP/2 is framing in HTTP/1.1.
#[test]
fn what_would_be_another_request_upstream_is_refused() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let pseudo = |method, scheme, path, authority| {
        [
            (":method", method),
            (":scheme", scheme),
            (":path", path),
            (":authority", authority),
        ]
    };
    let evil = "x\r\n\r\nGET /evil HTTP/1.1\r\n";
    let heads = [
        pseudo("GET / HTTP/1.1\r\nX:", "http", "/", "localhost"),
        pseudo("GET ", "http", "/", "localhost"),
        pseudo("GET", "http", "/ HTTP/1.1\r\nx: y", "localhost"),
        pseudo("GET", "http", "/a b", "localhost"),
        pseudo("GET", "http", "/\u{e9}", "localhost"),
        pseudo("GET", "http", "a", "localhost"),
        pseudo("GET", "http", "", "localhost"),
        pseudo("GET", "http", "*", "localhost"),
        pseudo("GET", "http://localhost/a?", "/b", "localhost"),
        pseudo("GET", "ht tp", "/", "localhost"),
        pseudo("GET", "http", "/", "localhost\r\nx: y"),
        pseudo("GET", "http", "/", "user@localhost"),
        pseudo("GET", "http", "/", "localhost/a"),
    ];
    let ok = pseudo("GET", "http", "/", "localhost");
    let more = [
        ("x", evil),
        ("x\r\ny", "z"),
        ("x: y", "z"),
        ("X-Upper", "z"),
        ("", "z"),
        ("connection", "close"),
        ("connection", "x-kept"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "5"),
        ("upgrade", "h2c"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        (":path", "/again"),
        (":other", "x"),
        ("host", "localhost, localhost"),
    ];
    let blocks = heads
        .iter()
        .map(|head| block(head))
        .chain(
            more.iter()
                .map(|field| block(&[&ok[..], &[*field]].concat())),
        )
        .chain([
            block(&[&[("x", "y")][..], &ok].concat()),
            block(&ok[1..]),
            block(&[ok[0], ok[1], ok[3]]),
        ]);
    for block in blocks {
        let mut client = Frames::connect(proxy.address());
        client.write(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
        let shown = String::from_utf8_lossy(&block).into_owned();
        while let Some(frame) = client.read() {
            match frame.kind {
                HEADERS => {
                    // The first field is the status, from the static table: 8 is 200, 12 is 400.
                    assert_ne!(frame.payload[0], 0x88, "{shown:?}");
                    break;
                }
                RST_STREAM => break,
                _ => {}
            }
        }
    }
    assert_eq!(upstream.count(), 0, "{:?}", upstream.requests());
}

#[test]
fn a_cut_answer_is_a_reset_and_no_end() {
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        exchange.close();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let answer = client.get("/");
    assert!(
        answer.error.as_ref().is_some_and(h2::Error::is_reset),
        "{answer:?}"
    );
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        exchange.reset();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = H2::connect(proxy.address()).get("/");
    assert!(
        answer.error.as_ref().is_some_and(h2::Error::is_reset),
        "{answer:?}"
    );
}

#[test]
fn a_client_that_resets_its_stream_ends_its_request_alone() {
    let upstream = Upstream::start(|exchange| {
        if exchange.request.second() == "/slow" {
            exchange.is_abandoned();
        } else {
            exchange.answer(200, "", "ok");
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let mut slow = client.start(get("/slow"), true);
    until("it is under way", || upstream.count() == 1);
    slow.body.send_reset(h2::Reason::CANCEL);
    upstream.until_ended(1);
    assert_eq!(client.get("/").text(), "ok");
}

#[test]
fn heads_beyond_the_limits_are_431() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = H2::connect(proxy.address());
    let mut head = get("/");
    for _ in 0..101 {
        head.headers_mut()
            .append("x", HeaderValue::from_static("y"));
    }
    let answer = client.send(head);
    assert_eq!(
        (answer.status().as_u16(), &*answer.code()),
        (431, "header_too_large")
    );
    let mut head = get("/");
    head.headers_mut()
        .insert("x", HeaderValue::from_str(&"a".repeat(70_000)).unwrap());
    // h2 answers itself, or a client that heeds our settings does not send it at all.
    if let Ok(answer) = client.start(head, true).try_answer() {
        assert_eq!(answer.status().as_u16(), 431);
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(H2::connect(proxy.address()).get("/").status(), 200);
}
