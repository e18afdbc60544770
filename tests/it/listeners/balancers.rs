//! Load balancers that say who the client is, by the PROXY protocol.

use std::time::Duration;

use bearerd::clock::now;

use super::{GET, localhost};
use crate::support::{Client, TestProxy, Upstream, plain, until};

fn start(upstream: &Upstream, from: &str, more: &str) -> TestProxy {
    TestProxy::start(&format!(
        "listen: {{ address: '127.0.0.1:0', proxy_protocol: {{ from: '{from}' }}{more} }}\n\
         defaults: {{ forwarded: x-forwarded }}\nlimits: {{ header_timeout: 400ms, drain: 1s }}\n{}",
        plain(upstream)
    ))
}

const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";

#[test]
fn the_client_is_whom_the_balancer_names() {
    let upstream = Upstream::ok();
    let proxy = start(&upstream, "127.0.0.0/8", "");
    let four = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\0\x50";
    for header in [LINE.as_bytes(), four] {
        let mut client = proxy.connect();
        client.send([header, GET.as_bytes()].concat());
        assert_eq!(client.answer().status(), 200);
        assert_eq!(client.send(GET).answer().status(), 200);
    }
    let mut itself = proxy.connect();
    assert_eq!(
        itself
            .send(format!("PROXY UNKNOWN\r\n{GET}"))
            .answer()
            .status(),
        200
    );
    let told: Vec<_> = upstream.requests();
    let told: Vec<_> = told
        .iter()
        .map(|it| it.header("x-forwarded-for").unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "192.0.2.7",
            "192.0.2.7",
            "192.0.2.7",
            "192.0.2.7",
            "127.0.0.1"
        ]
    );
}

#[test]
fn tls_begins_behind_the_header() {
    let (authority, pair) = localhost("balancer-tls");
    let upstream = Upstream::ok();
    let proxy = start(
        &upstream,
        "127.0.0.1",
        &format!(", tls: {{ {} }}", pair.yaml()),
    );
    let mut client = proxy.connect();
    client.send(LINE);
    let mut client = client
        .into_tls(authority.trusting(&["http/1.1"], None), "localhost")
        .unwrap();
    assert_eq!(client.send(GET).answer().status(), 200);
    assert_eq!(
        upstream.request().header("x-forwarded-for"),
        Some("192.0.2.7")
    );
    // Without a header it is no balancer.
    let config = authority.trusting(&["http/1.1"], None);
    assert!(Client::over_tls(proxy.address(), config, "localhost").is_err());
}

#[test]
fn nobody_else_is_believed() {
    let upstream = Upstream::ok();
    let proxy = start(&upstream, "127.0.0.2", "");
    assert_eq!(proxy.send(format!("{LINE}{GET}")).status(), 400);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(
        upstream.request().header("x-forwarded-for"),
        Some("127.0.0.1")
    );
}

#[test]
fn a_balancer_without_a_header_is_not_served() {
    let upstream = Upstream::ok();
    let proxy = start(&upstream, "127.0.0.0/8", "");
    let since = now();
    for bytes in [
        GET,
        "PROXY TCP4 192.0.2.7 nonsense 1 2\r\n",
        "PROXY TCP4 192",
        "",
    ] {
        let mut client = proxy.connect();
        assert_eq!(client.send(bytes).rest(), b"", "{bytes:?}");
    }
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    until("all are counted", || {
        proxy.app.metrics().process().connection_errors.get() == 4
    });
    assert_eq!(upstream.count(), 0);
}
