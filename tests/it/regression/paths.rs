//! The path that was checked is the path that is sent: no spelling reaches another route's credential.

use crate::support::{
    TestProxy, Upstream,
    h2::{self, Frames, HEADERS, block, frame},
};

/// Two open routes and one with a credential, each with an upstream of its own.
struct Rig {
    open: Upstream,
    secret: Upstream,
    proxy: TestProxy,
}

impl Rig {
    fn new() -> Self {
        let (open, secret) = (Upstream::ok(), Upstream::ok());
        let proxy = TestProxy::start(&format!(
            "credentials: {{ key: {{ static: {{ header: X-Api-Key, value: {{ env: SECRET }} }} }} }}\n\
             routes:\n\
             - {{ match: /public/, upstream: 'http://{open}/base/' }}\n\
             - {{ match: {{ path_regex: '/re/[a-z]*' }}, upstream: 'http://{open}/' }}\n\
             - {{ match: /secret/, upstream: 'http://{secret}/', credential: key }}\n\
             - {{ match: /secret/open/, upstream: 'http://{open}/' }}\n",
            open = open.address(),
            secret = secret.address(),
        ));
        Self {
            open,
            secret,
            proxy,
        }
    }

    /// None of these goes anywhere.
    #[track_caller]
    fn refuses(&self, targets: &[&str]) {
        for target in targets {
            let answer = self.proxy.get(target);
            let code = answer.code();
            let refused = ["path_refused", "route_not_found", "request_invalid"];
            // What hyper refuses has no body.
            let refused = refused.contains(&&*code) || (answer.status() == 400 && code.is_empty());
            assert!(refused, "{target}: {answer:?}");
            assert_eq!(self.open.requests(), [], "{target}");
            assert_eq!(self.secret.requests(), [], "{target}");
        }
    }
}

/// 24: two slashes are not one slash to some.
#[test]
fn doubled_slashes_reach_no_other_route() {
    Rig::new().refuses(&[
        "//secret/x",
        "/public//../secret/x",
        "/public/..//secret/x",
        "//public/../secret/x",
        "/public/%2f/../../secret/x",
        "/secret//open/x",
        "/secret//elsewhere.example/x",
        "///secret/x",
    ]);
}

/// 25: an encoded slash or dot is one to some.
#[test]
fn encoded_slashes_and_dots_reach_no_other_route() {
    Rig::new().refuses(&[
        "/public/%2e%2e/secret/x",
        "/public/.%2E/secret/x",
        "/public/..%2fsecret/x",
        "/public%2f..%2fsecret/x",
        "/public/%252e%252e/secret/x",
        "/public/..%252fsecret/x",
        "/%2e/secret/x",
        "/%73ecret/x",
        "/secret%2fx",
        "/secret/open%2fx",
        "/secret/ope%6e/x",
        "/secret/a/../open/x",
        "/public/%c0%ae%c0%ae/secret/x",
        "/public/..%00/secret/x",
        "/public/x%00",
        "/public/%u002e%u002e/secret/x",
        "/public/%2/x",
    ]);
}

/// 26: dot segments are judged by what is left when the prefix has been cut off.
#[test]
fn dot_segments_do_not_leave_the_matched_prefix() {
    Rig::new().refuses(&[
        "/public/../secret/x",
        "/public/..",
        "/public/./../x",
        "/public/a/../../x",
        "/public/%2e%2e",
        "/public/..;/secret/x",
        "/public/..;a=b/x",
        "/public/.;/..;/x",
        "/secret/../public/x",
        "/secret/open/../x",
        "/secret/open/%2e%2e/x",
        "/re/../secret/x",
    ]);
}

/// 27: case is part of a path, encoded or not.
#[test]
fn another_case_is_another_path() {
    let rig = Rig::new();
    rig.refuses(&["/SECRET/x", "/Secret/x", "/%53ecret/x", "/publiC/x"]);
}

/// 28: a backslash is a slash to some.
#[test]
fn backslashes_reach_no_other_route() {
    Rig::new().refuses(&[
        "/public/..\\secret/x",
        "/public\\..\\secret/x",
        "/public/..%5csecret/x",
        "/public/%2e%2e%5Csecret/x",
        "/public/..%255csecret/x",
        "\\secret/x",
    ]);
}

/// 29: what stands behind a raw `#` is cut off by one and routed by another: it is never sent.
///
/// The parser of URIs that hyper and h2 share cuts it off before anybody here sees it, so that what is matched is what is
/// sent; a refusal (RFC 9112, 3.2) is out of reach.
#[test]
fn a_fragment_is_never_sent_on() {
    let rig = Rig::new();
    let proxy = &rig.proxy;
    let targets = [
        "/public/a#/../../secret/x",
        "/public/#",
        "/public/a?b#c",
        "/#/secret/x",
    ];
    let mut by_http_2 = Frames::connect(proxy.address());
    for (target, stream) in targets.into_iter().zip((1..).step_by(2)) {
        let answer = proxy.get(target);
        assert!(
            matches!(answer.status(), 200 | 400 | 404),
            "{target}: {answer:?}"
        );
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", target),
            (":authority", "localhost"),
        ];
        let flags = h2::END_STREAM | h2::END_HEADERS;
        by_http_2.write(frame(HEADERS, flags, stream, &block(&fields)));
        assert!(by_http_2.next_of(HEADERS).is_some(), "{target}");
    }
    let sent: Vec<_> = rig.open.requests();
    let sent: Vec<_> = sent.iter().map(|request| request.second()).collect();
    for (one, other) in sent.iter().zip(&sent[1..]).step_by(2) {
        assert_eq!(one, other, "both versions mean the same");
    }
    for target in sent {
        assert!(
            !target.contains('#') && !target.contains("secret"),
            "{target}"
        );
    }
    assert_eq!(rig.secret.requests(), []);
}

/// 30: a route's expression sees the path and never the query.
#[test]
fn a_query_does_not_match_a_path() {
    let rig = Rig::new();
    rig.refuses(&[
        "/other?/re/abc",
        "/other/?x=/re/abc",
        "/?/public/",
        "/re/1?/re/a",
    ]);
    assert_eq!(rig.proxy.get("/re/abc?/secret/../..").status(), 200);
    assert_eq!(rig.open.request().second(), "/re/abc?/secret/../..");
}

/// 31: no field says what the path is.
#[test]
fn no_field_chooses_the_path() {
    let rig = Rig::new();
    let fields = "X-Forwarded-Uri: /secret/x\r\nX-Original-URL: /secret/x\r\nX-Rewrite-URL: /secret/x\r\n\
                  X-Forwarded-Prefix: /secret\r\nX-Forwarded-Path: /secret/x\r\nX-HTTP-Method-Override: TRACE\r\n";
    let answer = rig.proxy.send(format!(
        "GET /public/a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
    ));
    assert_eq!(answer.status(), 200);
    let answer = rig.proxy.send(format!(
        "GET /other HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
    ));
    assert_eq!(answer.code(), "route_not_found");
    let request = rig.open.request();
    assert_eq!(request.start, "GET /base/a HTTP/1.1");
    for name in ["x-forwarded-uri", "x-original-url", "x-forwarded-prefix"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

/// What is no trick passes as it is: raw bytes are neither decoded nor encoded anew.
#[test]
fn harmless_paths_are_sent_byte_by_byte() {
    let rig = Rig::new();
    let rests = [
        "a%2Fb",
        "a%2fb/c",
        "%E4%BD%A0",
        "a;b=c/d",
        "a%20b",
        "~!$&'()*+,:=@-._",
        "a...b",
        "...",
        "x%3Fy",
        "a?b=c&d=%2e%2e%2f",
        "?",
        "?a?b",
        "%1F",
        "a%5cb",
        "x.json",
    ];
    for (number, rest) in rests.into_iter().enumerate() {
        assert_eq!(
            rig.proxy.get(&format!("/public/{rest}")).status(),
            200,
            "{rest}"
        );
        let requests = rig.open.requests();
        assert_eq!(requests.len(), number + 1);
        assert_eq!(requests[number].second(), format!("/base/{rest}"));
    }
    assert_eq!(rig.proxy.get("/secret/a%2Fb").status(), 200);
    assert_eq!(rig.secret.request().second(), "/a%2Fb");
}

/// The path is refused, not the connection: the next request on it is served.
#[test]
fn bytes_beyond_ascii_are_refused() {
    let rig = Rig::new();
    let mut client = rig.proxy.connect();
    client.send("GET /public/\u{e4} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status(), 400);
    assert_eq!(rig.open.requests(), []);
}
