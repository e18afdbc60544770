//! One authority decides: parsed once, compared after parsing, and the upstream's own is what is sent.

use crate::support::{TestProxy, Upstream, plain};

/// The answer to a GET with these Host lines.
fn with_hosts(proxy: &TestProxy, hosts: &str) -> crate::support::Answer {
    proxy.send(format!("GET /x HTTP/1.1\r\n{hosts}\r\n"))
}

/// 33: a Host that is no host name with an optional port.
#[test]
fn odd_hosts_are_refused() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let odd = [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nhost: elsewhere.example\r\n",
        "Host: localhost, elsewhere.example\r\n",
        "Host: localhost,\r\n",
        "Host: localhost elsewhere.example\r\n",
        "Host: localhost/x\r\n",
        "Host: localhost#\r\n",
        "Host: localhost?x\r\n",
        "Host: user@localhost\r\n",
        "Host: localhost:80:80\r\n",
        "Host: localhost:\r\n",
        "Host: localhost:+80\r\n",
        "Host: localhost:080\r\n",
        "Host: localhost:99999\r\n",
        "Host: localhost:0\r\n",
        "Host: :80\r\n",
        "Host: local\thost\r\n",
        "Host: localhost\\x\r\n",
        "Host: %6cocalhost\r\n",
        "Host: l\u{f6}calhost\r\n",
        "Host: localhost..\r\n",
        "Host: .localhost\r\n",
        "Host: [localhost]\r\n",
        "Host: [::1\r\n",
        "Host: ::1\r\n",
        "Host: [::1%25lo]\r\n",
        "Host: http://localhost\r\n",
        "Host: \"localhost\"\r\n",
    ];
    for hosts in odd {
        let answer = with_hosts(&proxy, hosts);
        assert_eq!(answer.status(), 400, "{hosts:?}: {answer:?}");
    }
    assert_eq!(upstream.requests(), []);
}

/// 34: one host, however it is spelled.
#[test]
fn hosts_are_compared_after_parsing() {
    let (narrow, wide) = (Upstream::ok(), Upstream::ok());
    let proxy = TestProxy::start(&format!(
        "routes:\n\
         - {{ match: {{ host: api.example.com, path: /x }}, upstream: 'http://{}/narrow' }}\n\
         - {{ match: {{ host: '[::2]', path: /x }}, upstream: 'http://{}/narrow' }}\n\
         - {{ match: {{ host: '*.example.com', path: /x }}, upstream: 'http://{}/wide' }}\n\
         - {{ match: {{ path: /x }}, upstream: 'http://{}/wide' }}\n",
        narrow.address(),
        narrow.address(),
        wide.address(),
        wide.address(),
    ));
    let spellings = [
        "api.example.com",
        "API.Example.COM",
        "api.example.com.",
        "api.example.com:80",
        "api.example.com.:8443",
        "[::2]",
        "[0:0::2]",
        "[::0002]:80",
        "[0000:0000:0000:0000:0000:0000:0000:0002]",
    ];
    for (number, host) in spellings.into_iter().enumerate() {
        assert_eq!(
            with_hosts(&proxy, &format!("Host: {host}\r\n")).status(),
            200,
            "{host}"
        );
        assert_eq!(narrow.count(), number + 1, "{host}");
    }
    assert_eq!(wide.count(), 0);
    assert_eq!(
        with_hosts(&proxy, "Host: b.api.example.com\r\n").status(),
        200
    );
    assert_eq!(wide.count(), 1);
    for host in [
        "example.com",
        "xapi.example.com.evil.example",
        "api.example.comm",
        "evil-example.com",
    ] {
        assert_eq!(
            with_hosts(&proxy, &format!("Host: {host}\r\n")).code(),
            "host_unknown",
            "{host}"
        );
    }
}

/// The target's authority wins over Host (RFC 9112, 3.2.2), and neither is sent: the upstream gets its own name.
#[test]
fn the_absolute_form_wins_over_host() {
    let (one, other) = (Upstream::ok(), Upstream::ok());
    let proxy = TestProxy::start(&format!(
        "routes:\n\
         - {{ match: {{ host: one.example, path: / }}, upstream: 'http://{}/' }}\n\
         - {{ match: {{ host: other.example, path: / }}, upstream: 'http://{}/' }}\n",
        one.address(),
        other.address(),
    ));
    let answer = proxy.send("GET http://one.example/x?y HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(answer.status(), 200);
    assert_eq!(other.requests(), []);
    let request = one.request();
    assert_eq!(request.second(), "/x?y");
    assert_eq!(request.headers("host"), [one.address().to_string()]);

    assert_eq!(
        proxy
            .send("GET HTTP://ONE.example:80 HTTP/1.1\r\nHost: x.example\r\n\r\n")
            .status(),
        200
    );
    assert_eq!(one.requests()[1].second(), "/");
    for (target, host) in [
        ("http://evil.example/x", "one.example"),
        ("http://one.example@evil.example/x", "one.example"),
        ("http://evil.example#@one.example/x", "one.example"),
        ("ftp://one.example/x", "one.example"),
        ("https://one.example/x", "one.example"),
        ("http://one.example,other.example/x", "one.example"),
        ("http:///x", "one.example"),
        ("http://one.example/x", "a b"),
        ("http://one.example/../x", "one.example"),
    ] {
        let answer = proxy.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(matches!(answer.status(), 400 | 421), "{target}: {answer:?}");
    }
    assert_eq!((one.count(), other.count()), (2, 0));
}

/// 32: what a client says of itself chooses neither route nor anything else.
#[test]
fn no_field_but_the_routes_own_chooses_the_route() {
    let (open, other) = (Upstream::ok(), Upstream::ok());
    let proxy = TestProxy::start(&format!(
        "routes:\n\
         - {{ match: {{ host: a.example, path: / }}, upstream: 'http://{}/' }}\n\
         - {{ match: {{ host: b.example, path: / }}, upstream: 'http://{}/' }}\n",
        open.address(),
        other.address(),
    ));
    let answer = proxy.send(
        "GET /x HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Host: b.example\r\nForwarded: host=b.example\r\n\
         X-Host: b.example\r\nX-Original-Host: b.example\r\nUser-Agent: kube-probe/1.0\r\nX-Real-IP: 127.0.0.1\r\n\
         X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-User: root\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(other.requests(), []);
    let request = open.request();
    for name in [
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-for",
        "x-real-ip",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

/// HTTP/1.0 knows no Host, and a page that lets its own name resolve to us might be behind it.
#[test]
fn http_1_0_without_host_is_refused_on_loopback_only() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let answer = proxy.send("GET /x HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status(), &*answer.code()), (400, "request_invalid"));
    assert_eq!(upstream.count(), 0);

    let mut client = proxy.connect();
    let answer = client
        .send("GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .answer();
    assert_eq!(answer.status(), 200);
    assert_eq!(client.rest(), b"", "HTTP/1.0 without keep-alive ends");
    let request = upstream.request();
    assert_eq!(request.start, "GET /x HTTP/1.1");
    assert!(
        request.header("via").unwrap().starts_with("1.0 "),
        "{request:?}"
    );
}
