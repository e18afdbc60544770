//! Where a message ends: two readings of one stream of bytes let a request hide in another.

use crate::support::{End, Gate, TestProxy, Upstream, closed_port, plain};

/// Sends each head with a second request behind it: none of it may reach the upstream, and the connection ends.
#[track_caller]
fn refuses<'a>(heads: impl IntoIterator<Item = &'a [u8]>) {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    for head in heads {
        let shown = String::from_utf8_lossy(head).into_owned();
        let mut client = proxy.connect();
        client.send([head, b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat());
        let answer = client.try_answer();
        let status = answer.as_ref().map_or(400, |answer| answer.status());
        assert!((400..500).contains(&status), "{status} for {shown:?}");
        assert!(client.ends(), "the connection goes on after {shown:?}");
        let more = client.rest();
        assert!(more.is_empty(), "more than one answer to {shown:?}");
        assert_eq!(upstream.requests(), [], "sent on: {shown:?}");
    }
}

/// The same for what stands between the first line and the blank one.
#[track_caller]
fn refuses_fields(fields: &[&str]) {
    // With and without a body in chunks: what is read of it must not be what refuses the head.
    let heads: Vec<_> = fields
        .iter()
        .flat_map(|fields| {
            let head = format!("POST /x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
            [format!("{head}3\r\nabc\r\n0\r\n\r\n"), head]
        })
        .collect();
    refuses(heads.iter().map(String::as_bytes));
}

/// 1: bytes behind an upgrade that nobody agreed to are requests like any other.
#[test]
fn an_upgrade_that_was_not_agreed_to_opens_no_tunnel() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n\
         GET /b HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
    );
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.answer().code(), "host_unknown");
    let request = upstream.request();
    assert_eq!(request.header("upgrade"), None);
    assert_eq!(request.header("connection"), None);
}

/// 1: who sends CONNECT may send the tunnel's bytes along with it.
#[test]
fn what_follows_a_refused_connect_is_no_request() {
    refuses([
        &b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"CONNECT /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"TRACE /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]);
}

/// 1: the upstream switches protocols although nobody asked.
#[test]
fn an_unasked_101_is_an_error() {
    let upstream = Upstream::answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nHTTP/1.1 200 OK\r\n\
         Content-Length: 6\r\n\r\nforged",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "upstream_protocol")
    );
    let answer = proxy.get("/");
    assert_eq!(
        answer.code(),
        "upstream_protocol",
        "its connection was used again"
    );
    assert_eq!(upstream.connections(), 2);
}

/// 2: HTTP/1.0 knows no codings.
#[test]
fn a_coding_in_http_1_0_is_refused() {
    refuses([
        &b"POST /x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"POST /x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\
          Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
}

/// 2, 9: with a length and a coding, the coding counts, the length goes no further, and the connection ends.
#[test]
fn of_length_and_coding_only_the_coding_is_sent_on() {
    let length_first = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n";
    let coding_first = "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n";
    for fields in [length_first, coding_first] {
        let upstream = Upstream::ok();
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = proxy.connect();
        client.send(format!(
            "POST /x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n\
             GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        if let Some(answer) = client.try_answer()
            && answer.status() == 200
        {
            let request = upstream.request();
            assert_eq!(request.header("content-length"), None);
            assert_eq!(request.header("transfer-encoding"), Some("chunked"));
            assert_eq!(request.text(), "abc");
        }
        assert_eq!(client.rest(), b"", "the connection goes on");
        let targets: Vec<_> = upstream
            .requests()
            .iter()
            .map(|it| it.second().to_owned())
            .collect();
        assert!(targets.iter().all(|it| it == "/x"), "{targets:?}");
    }
}

/// 3: an answer that did not wait for the body leaves the body's bytes a body.
#[test]
fn the_body_of_a_refused_request_is_never_the_next_request() {
    let upstream = Upstream::ok();
    let yaml = format!(
        "routes: [{{ match: /a/, upstream: 'http://{}/' }}]",
        upstream.address()
    );
    let proxy = TestProxy::start(&yaml);
    let hidden = "GET /a/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = proxy.connect();
    client.send(format!(
        "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        hidden.len()
    ));
    assert_eq!(client.answer().status(), 404);
    client
        .send(hidden)
        .send("GET /a/next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.rest();
    for request in upstream.requests() {
        assert_eq!(request.second(), "/next");
    }
}

/// 4: a final answer instead of 100 leaves a body unsent: that connection has had its last request.
#[test]
fn a_refused_expectation_does_not_leave_the_upstream_out_of_step() {
    let upstream = Upstream::at_head(|exchange| match exchange.number {
        0 => exchange.answer(403, "", "no"),
        _ => {
            let target = exchange.request.second().to_owned();
            exchange.answer(200, "", &target);
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n",
    );
    assert_eq!(client.answer().status(), 403);
    for target in ["/b", "/c"] {
        assert_eq!(proxy.get(target).text(), target);
    }
    assert!(upstream.connections() > 1, "the connection was used again");
    let first = String::from_utf8(upstream.bytes().remove(0)).unwrap();
    assert_eq!(first.matches("HTTP/1.1").count(), 1, "{first}");
}

/// 5: the body of a GET is a body.
#[test]
fn the_body_of_a_get_stays_its_body() {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = hidden.len();
    let framed = [
        format!("Content-Length: {length}\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{hidden}\r\n0\r\n\r\n"),
    ];
    for framed in framed {
        let upstream = Upstream::ok();
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = proxy.connect();
        client.send(format!("GET /x HTTP/1.1\r\nHost: localhost\r\n{framed}"));
        client.send("GET /y HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(
            (client.answer().status(), client.answer().status()),
            (200, 200)
        );
        let requests = upstream.requests();
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert_eq!(requests[0].text(), hidden);
        assert_eq!(requests[1].second(), "/y");
    }
}

/// 6: only the one coding that everyone reads alike.
#[test]
fn other_codings_than_exactly_chunked_are_refused() {
    refuses_fields(&[
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:",
        "Transfer_Encoding: chunked",
        "Content-Length: 3\r\nTransfer_Encoding: chunked",
        "Content_Length: 3",
    ]);
}

/// 7, 12: a length is digits and nothing else.
#[test]
fn odd_lengths_are_refused() {
    refuses_fields(&[
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5, 6",
        "Content-Length: 5;",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length:",
        "Content-Length: ",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: 18446744073709551616",
        "Content-Length: \u{0661}",
    ]);
}

/// 8, 10, 11: a body whose chunks can't be read for certain never ends well.
#[test]
fn odd_chunks_break_the_request_off() {
    let endless = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(40_000));
    let chunks = [
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "3;a=\nb\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\r\n0\r\nno field\r\n\r\n",
        &endless,
    ];
    for chunk in chunks {
        let upstream = Upstream::ok();
        let proxy = TestProxy::start(&plain(&upstream));
        let mut client = proxy.connect();
        client.send(format!(
            "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}\
             GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        let shown = &chunk[..chunk.len().min(40)];
        let status = client.try_answer().map_or(400, |answer| answer.status());
        assert_eq!(status, 400, "{shown:?}");
        assert_eq!(client.rest(), b"", "{shown:?}");
        upstream.until_ended(upstream.connections());
        for request in upstream.requests() {
            assert_eq!(
                (request.second(), request.end),
                ("/x", End::Cut),
                "{shown:?}"
            );
        }
    }
}

/// 13, 15, 16: field lines that some read otherwise, or not at all.
#[test]
fn odd_field_lines_are_refused() {
    refuses_fields(&[
        ": empty",
        " : blank\r\nContent-Length: 3",
        "Content-Length : 3",
        "Transfer-Encoding : chunked",
        "Content-Length\t: 3",
        "X-A: b\r\n folded: c",
        "X-A: b\r\n\tfolded",
        "X-A: b\r\n Content-Length: 3",
        "no colon",
        "X(A): b",
        "X-\u{e4}: b",
        "X-A\0: b",
    ]);
    refuses([&b"GET /x HTTP/1.1\r\n Host: localhost\r\n\r\n"[..]]);
}

/// 14: an overlong name hides nothing: the head is refused as too large.
#[test]
fn a_field_beyond_every_limit_hides_no_length() {
    let name = "a".repeat(70_000);
    refuses_fields(&[
        &format!("Content-Length: 3\r\n{name}: b"),
        &format!("{name}:\r\nContent-Length: 3"),
    ]);
}

/// 17: blanks and NUL in the target.
#[test]
fn odd_first_lines_are_refused() {
    let lines = [
        &b"GET /a /b HTTP/1.1"[..],
        b"GET  /a HTTP/1.1",
        b"GET /a  HTTP/1.1",
        b"GET /a\tb HTTP/1.1",
        b"GET /a\0b HTTP/1.1",
        b"GET /a\x01b HTTP/1.1",
        b"GET /a\x7fb HTTP/1.1",
        b" GET /a HTTP/1.1",
        b"GET /a",
        b"GET /a HTTP/1.2",
        b"GET /a HTTP/2.0",
        b"GET /a http/1.1",
        b"G\0T /a HTTP/1.1",
        b"GET a HTTP/1.1",
    ];
    let heads: Vec<_> = lines
        .iter()
        .map(|line| [line, &b"\r\nHost: localhost\r\n\r\n"[..]].concat())
        .collect();
    refuses(heads.iter().map(Vec::as_slice));
}

/// 18: a line end or a NUL in a value.
#[test]
fn bare_line_ends_and_nul_in_values_are_refused() {
    refuses_fields(&[
        "X-A: b\rContent-Length: 3",
        "X-A: b\0c",
        "X-A: b\x01c",
        "X-A: b\x7fc",
        "Host: a\rb",
    ]);
}

/// 18: the same from the upstream.
#[test]
fn bare_line_ends_and_nul_in_an_answer_are_an_error() {
    for value in ["b\rSet-Cookie: c=d", "b\0c", "b\x7f"] {
        let upstream = Upstream::answering(format!(
            "HTTP/1.1 200 OK\r\nX-A: {value}\r\nContent-Length: 0\r\n\r\n"
        ));
        let proxy = TestProxy::start(&plain(&upstream));
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status(), &*answer.code()),
            (502, "upstream_protocol"),
            "{value:?}"
        );
    }
}

/// 19: an answer that nobody asked for is never the answer to the next request.
#[test]
fn an_extra_answer_never_reaches_the_next_client() {
    let upstream = Upstream::start(|exchange| {
        let target = exchange.request.second();
        // In one piece: what comes after the next request was sent can't be told from its answer.
        exchange.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
            target.len()
        ));
    });
    let proxy = TestProxy::start(&plain(&upstream));
    for number in 0..20 {
        let target = format!("/{number}");
        let answer = proxy.get(&target);
        assert!(
            answer.text() == target || answer.status() == 502,
            "{answer:?}"
        );
    }
}

/// 19: nor is one that was there before anything was asked.
#[test]
fn an_answer_before_the_request_is_not_its_answer() {
    let written = Gate::default();
    let upstream = Upstream::start({
        let written = written.clone();
        move |exchange| {
            let target = exchange.request.second().to_owned();
            exchange.answer(200, "", &target);
            if exchange.number == 0 {
                written.pass();
                exchange.answer(200, "", "forged");
            }
        }
    });
    let proxy = TestProxy::start(&plain(&upstream));
    assert_eq!(proxy.get("/a").text(), "/a");
    written.open();
    upstream.until_ended(1);
    assert_eq!(proxy.get("/b").text(), "/b");
}

/// 20: a body that the upstream cut never ends well.
#[test]
fn a_cut_answer_is_cut_for_the_client() {
    let answers = [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ];
    for answer in answers {
        for resets in [false, true] {
            let upstream = Upstream::start(move |exchange| {
                exchange.write(format!("HTTP/1.1 200 OK\r\n{answer}"));
                if resets {
                    exchange.reset()
                } else {
                    exchange.close()
                }
            });
            let proxy = TestProxy::start(&plain(&upstream));
            let received = proxy.get("/");
            let whole = received.status() == 200 && received.is_whole();
            assert!(!whole, "{answer:?}: {received:?}");
        }
    }
}

/// 20: nor does a body of which only the connection says that it ended, where that end was a fault.
#[test]
fn a_body_to_the_end_of_the_connection_is_cut_by_a_reset() {
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\n\r\nabc");
        exchange.reset();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let received = proxy.get("/");
    assert!(
        received.status() == 502 || !received.is_whole(),
        "{received:?}"
    );

    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\n\r\nabc");
        exchange.close();
    });
    let proxy = TestProxy::start(&plain(&upstream));
    let received = proxy.get("/");
    assert_eq!((received.text(), received.is_whole()), ("abc".into(), true));
}

/// 21: what comes behind a body has no say over routing, framing or credentials.
#[test]
fn trailers_are_never_merged_into_the_head() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum, Set-Cookie, WWW-Authenticate\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\
         Set-Cookie: a=b\r\nWWW-Authenticate: Basic\r\n\
         Content-Length: 9\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let mut client = proxy.connect();
    client.send(
        "POST /x HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nTrailer: X-Sum, Authorization, Host, Cookie\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\nAuthorization: Bearer mine\r\nCookie: a=b\r\n\
         Host: elsewhere.example\r\nContent-Length: 9\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.trailers, [("x-sum".into(), "1".into())]);
    assert_eq!(answer.header("x-sum"), None);
    let request = upstream.request();
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.headers("host"), [upstream.address().to_string()]);
    assert_eq!(request.trailers, [("x-sum".into(), "6".into())]);
}

/// 22: no other protocol is agreed on behind our back.
#[test]
fn an_upgrade_to_h2c_is_not_passed_on() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.send(
        "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.request();
    for name in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

/// The rig itself: a refused connection is an answer, not a hang.
#[test]
fn an_upstream_that_refuses_is_said_to() {
    let proxy = TestProxy::start(&format!(
        "routes: [{{ match: /, upstream: 'http://{}/' }}]",
        closed_port()
    ));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "upstream_refused")
    );
}
