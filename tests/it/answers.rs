//! What of an upstream's answer a client sees, where the upstream speaks of itself.

use crate::support::{Message, TestProxy, TokenEndpoint, Upstream, plain, with_credential};

/// The client's view of an answer with these fields, on a route `/api/` to the upstream's `/v2/`; `{up}` is the
/// upstream's address.
fn seen(more: &str, fields: &str) -> (String, Message) {
    let upstream = Upstream::start({
        let fields = fields.to_owned();
        move |exchange| {
            let up = exchange
                .request
                .header("host")
                .unwrap_or_default()
                .to_owned();
            exchange.answer(200, &fields.replace("{up}", &up), "");
        }
    });
    let tokens = TokenEndpoint::good();
    let yaml = with_credential(&tokens, &upstream, more)
        .replace("match: /\n", "match: /api/\n")
        .replace(
            &format!("http://{}/\n", upstream.address()),
            &format!("http://{}/v2/\n", upstream.address()),
        );
    let proxy = TestProxy::start(&yaml);
    let answer = proxy.get("/api/x");
    assert_eq!(answer.status(), 200, "{answer:?}");
    (upstream.address().to_string(), answer.message)
}

#[test]
fn urls_of_the_upstream_become_ours() {
    let cases = [
        ("http://{up}/v2/a?b=c#d", "http://localhost/api/a?b=c#d"),
        ("http://{up}/v2/", "http://localhost/api/"),
        ("HTTP://{up}/v2/a", "http://localhost/api/a"),
        ("/v2/a", "/api/a"),
        // Not below the route: left as it is.
        ("/v1/a", "/v1/a"),
        (
            "http://elsewhere.example/v2/a",
            "http://elsewhere.example/v2/a",
        ),
        ("//elsewhere.example/v2/a", "//elsewhere.example/v2/a"),
        ("a/b", "a/b"),
        ("?page=2", "?page=2"),
        ("https://{up}/v2/a", "https://{up}/v2/a"),
    ];
    for name in ["Location", "Content-Location", "Operation-Location"] {
        for (sent, expected) in cases {
            let (up, answer) = seen("", &format!("{name}: {sent}\r\n"));
            assert_eq!(
                answer.headers(name),
                [expected.replace("{up}", &up)],
                "{name}: {sent}"
            );
        }
    }
}

#[test]
fn links_become_ours_one_by_one() {
    let (_, answer) = seen(
        "",
        "Link: <http://{up}/v2/a?p=2>; rel=\"next\", </v2/b>; rel=\"prev\", <http://x.example/>; rel=\"about\"\r\n\
         Link: </v2/c>; rel=last\r\n",
    );
    assert_eq!(
        answer.headers("link"),
        [
            "<http://localhost/api/a?p=2>; rel=\"next\", </api/b>; rel=\"prev\", <http://x.example/>; rel=\"about\"",
            "</api/c>; rel=last",
        ]
    );
}

#[test]
fn cookies_are_dropped_on_routes_with_a_credential() {
    let (_, answer) = seen("", "Set-Cookie: a=b\r\nSet-Cookie: c=d; Path=/v2/\r\n");
    assert_eq!(answer.header("set-cookie"), None);
}

#[test]
fn cookies_that_pass_belong_to_the_route() {
    let (_, answer) = seen(
        "cookies: pass",
        "Set-Cookie: a=b; Domain=example.com; Path=/v2/; Secure; HttpOnly\r\nSet-Cookie: c=d; path=/v2/sub\r\n\
         Set-Cookie: e=f\r\nSet-Cookie: g=h; DOMAIN=.example.com; Path=/\r\n",
    );
    assert_eq!(
        answer.headers("set-cookie"),
        [
            "a=b; Path=/api/; Secure; HttpOnly",
            "c=d; Path=/api/sub",
            "e=f",
            "g=h; Path=/"
        ]
    );
}

#[test]
fn no_shared_cache_keeps_what_a_credential_brought() {
    for (sent, expected) in [
        ("", &["private"][..]),
        ("Cache-Control: max-age=60\r\n", &["max-age=60", "private"]),
        (
            "Cache-Control: public, max-age=60\r\n",
            &["max-age=60", "private"],
        ),
        (
            "Cache-Control: s-maxage=60, max-age=5\r\n",
            &["max-age=5", "private"],
        ),
        (
            "Cache-Control: private, max-age=60\r\n",
            &["private", "max-age=60"],
        ),
        ("Cache-Control: No-Store\r\n", &["no-store"]),
        ("Cache-Control: private=\"x-a\", public\r\n", &["private"]),
    ] {
        let (_, answer) = seen("", sent);
        let got = answer.headers("cache-control").join(", ").to_lowercase();
        let directives: Vec<_> = got.split(',').map(str::trim).collect();
        for wanted in expected {
            assert!(directives.contains(wanted), "{sent:?}: {got}");
        }
        assert!(!directives.contains(&"public"), "{sent:?}: {got}");
    }
}

#[test]
fn what_speaks_for_the_upstreams_origin_is_dropped() {
    let (_, answer) = seen(
        "",
        "Alt-Svc: h3=\":443\"\r\nStrict-Transport-Security: max-age=1\r\nAccess-Control-Allow-Origin: *\r\n\
         X-Kept: 1\r\n",
    );
    for name in [
        "alt-svc",
        "strict-transport-security",
        "access-control-allow-origin",
    ] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-kept"), Some("1"));
}

#[test]
fn a_route_without_a_credential_changes_nothing_of_that() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nCache-Control: public\r\nSet-Cookie: a=b\r\nAlt-Svc: clear\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.get("/");
    assert_eq!(answer.headers("cache-control"), ["public"]);
    assert_eq!(answer.headers("set-cookie"), ["a=b"]);
    assert_eq!(answer.headers("alt-svc"), ["clear"]);
}

#[test]
fn an_upstreams_errors_are_passed_on_as_they_are() {
    for status in [400, 403, 404, 409, 429, 500, 502, 503, 504] {
        let upstream = Upstream::start(move |exchange| {
            let fields = "Retry-After: 7\r\nContent-Type: text/odd\r\nX-Twice: a\r\nX-Twice: b\r\n";
            exchange.answer(status, fields, "its own words");
        });
        let tokens = TokenEndpoint::good();
        let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status(), answer.text()),
            (status, "its own words".into())
        );
        assert_eq!(answer.headers("retry-after"), ["7"]);
        assert_eq!(answer.headers("content-type"), ["text/odd"]);
        assert_eq!(answer.headers("x-twice"), ["a", "b"]);
        assert_eq!(upstream.count(), 1, "an error is not asked for twice");
    }
}
