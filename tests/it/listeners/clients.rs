//! Callers that are known by their certificate.

use super::{GET, localhost, over_tls};
use crate::support::{Authority, Client, Pair, TestProxy, Upstream};

/// A proxy on which a caller `batch` holds what `holds` says.
fn proxy_for(authority: &Authority, pair: &Pair, upstream: &Upstream, holds: &str) -> TestProxy {
    let ca = format!(", client_ca: '{}'", authority.file().display());
    TestProxy::start(&format!(
        "callers:\n  batch: {{ client_certificate: {{ {holds} }} }}\n  desk: {{ api_key: {{ key: {{ env: SECRET }} }} }}\n{}",
        over_tls(pair, upstream, &ca)
    ))
}

fn connect(proxy: &TestProxy, authority: &Authority, shown: Option<&Pair>) -> Client {
    let config = authority.trusting(&["http/1.1"], shown);
    Client::over_tls(proxy.address(), config, "localhost").unwrap()
}

#[test]
fn a_caller_is_known_by_what_its_certificate_holds() {
    let (authority, pair) = localhost("clients-known");
    let upstream = Upstream::ok();
    let batch = authority.pair(&["batch.example", "spiffe://example/ns/a/batch"]);
    let other = authority.pair(&["other.example", "spiffe://example/ns/b/other"]);
    for (holds, either) in [
        ("san: Batch.example", false),
        ("san: 'spiffe://example/ns/a/batch'", false),
        ("spiffe: 'spiffe://example/ns/a/batch'", false),
        ("spiffe: 'spiffe://example/ns/a/*'", false),
        ("subject: 'CN=test,O=Tests'", true),
    ] {
        let proxy = proxy_for(&authority, &pair, &upstream, holds);
        for (shown, known) in [(Some(&batch), true), (Some(&other), either), (None, false)] {
            let answer = connect(&proxy, &authority, shown).send(GET).answer();
            let expected = if known {
                (200, "")
            } else {
                (401, "caller_unknown")
            };
            assert_eq!((answer.status(), &*answer.code()), expected, "{holds}");
        }
    }
}

#[test]
fn who_has_no_certificate_may_still_show_a_key() {
    let (authority, pair) = localhost("clients-key");
    let upstream = Upstream::ok();
    let batch = authority.pair(&["batch.example"]);
    let proxy = proxy_for(&authority, &pair, &upstream, "san: batch.example");
    let with_key = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {}\r\n\r\n",
        crate::support::SECRET
    );
    let answer = connect(&proxy, &authority, None).send(&with_key).answer();
    assert_eq!(answer.status(), 200);
    // Two callers at once are nobody.
    let answer = connect(&proxy, &authority, Some(&batch))
        .send(&with_key)
        .answer();
    assert_eq!(answer.status(), 401);
}

#[test]
fn a_certificate_of_another_authority_is_not_let_in() {
    let (authority, pair) = localhost("clients-foreign");
    let upstream = Upstream::ok();
    let foreign = Authority::new("clients-foreign-other").pair(&["batch.example"]);
    let proxy = proxy_for(&authority, &pair, &upstream, "san: batch.example");
    let config = authority.trusting(&["http/1.1"], Some(&foreign));
    // In TLS 1.3 the client learns of it only when it reads.
    if let Ok(mut client) = Client::over_tls(proxy.address(), config, "localhost") {
        assert!(client.send(GET).try_answer().is_none());
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn nobody_without_a_certificate_gets_in_where_one_is_required() {
    let (authority, pair) = localhost("clients-required");
    let upstream = Upstream::ok();
    let shown = authority.pair(&["any.example"]);
    let more = format!(
        ", client_ca: '{}', client_required: true",
        authority.file().display()
    );
    let proxy = TestProxy::start(&over_tls(&pair, &upstream, &more));
    let answer = connect(&proxy, &authority, Some(&shown)).send(GET).answer();
    assert_eq!(answer.status(), 200);
    let config = authority.trusting(&["http/1.1"], None);
    if let Ok(mut client) = Client::over_tls(proxy.address(), config, "localhost") {
        assert!(client.send(GET).try_answer().is_none());
    }
    assert_eq!(upstream.count(), 1);
}

/// A session that is resumed is judged by the authorities of now.
#[test]
fn a_resumed_session_outlives_no_authority() {
    let (authority, pair) = localhost("clients-resumed");
    let upstream = Upstream::ok();
    let batch = authority.pair(&["batch.example"]);
    let text = |ca: &Authority| {
        format!(
            "callers: {{ batch: {{ client_certificate: {{ san: batch.example }} }} }}\n{}",
            over_tls(
                &pair,
                &upstream,
                &format!(", client_ca: '{}'", ca.file().display())
            )
        )
    };
    let proxy = TestProxy::start(&text(&authority));
    let config = authority.trusting(&["http/1.1"], Some(&batch));
    let connect = || Client::over_tls(proxy.address(), config.clone(), "localhost");
    assert_eq!(connect().unwrap().send(GET).answer().status(), 200);
    let mut again = connect().unwrap();
    assert!(again.resumed);
    assert_eq!(again.send(GET).answer().status(), 200);
    let other = Authority::new("clients-resumed-other");
    proxy.reload(&text(&other)).unwrap();
    let answer = connect()
        .ok()
        .and_then(|mut client| client.send(GET).try_answer());
    assert!(answer.is_none_or(|answer| answer.status() == 401));
}
