//! Listeners that speak TLS.

use std::{sync::Arc, time::Duration};

use bearerd::clock::now;
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsConnector;

use super::{GET, localhost, over_tls};
use crate::support::{
    Client, End, H2, TestProxy, Upstream, closed_port, h2::runtime, plain, text_of, until,
};

#[test]
fn both_versions_of_http_are_served_as_agreed_on() {
    let (authority, pair) = localhost("tls-both");
    let upstream =
        Upstream::answering("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
    let proxy = TestProxy::start(&format!(
        "defaults: {{ forwarded: x-forwarded }}\n{}",
        over_tls(&pair, &upstream, "")
    ));
    for protocols in [&["http/1.1"][..], &[]] {
        let config = authority.trusting(protocols, None);
        let mut client = Client::over_tls(proxy.address(), config, "localhost").unwrap();
        assert_eq!(client.send(GET).answer().status(), 302);
        assert_eq!(
            client.send(GET).answer().status(),
            302,
            "the connection goes on"
        );
    }
    let runtime = runtime();
    let tls = TlsConnector::from(Arc::new(authority.trusting(&["h2", "http/1.1"], None)));
    let tls = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(proxy.address())
            .await
            .unwrap();
        tls.connect("localhost".try_into().unwrap(), tcp)
            .await
            .unwrap()
    });
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = H2::over(runtime, tls, &h2::client::Builder::new());
    for _ in 0..2 {
        let request = http::Request::get("https://localhost/").body(()).unwrap();
        assert_eq!(client.send(request).status(), 302);
    }
    let told = upstream.requests();
    assert_eq!(told.len(), 6);
    assert!(
        told.iter()
            .all(|it| it.header("x-forwarded-proto") == Some("https"))
    );
}

/// What the socket has given to TLS nobody hears of again by the socket.
#[test]
fn a_connection_that_has_rested_goes_on_with_what_tls_holds() {
    let (authority, pair) = localhost("tls-rested");
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&over_tls(&pair, &upstream, ""));
    for protocols in [&["http/1.1"][..], &[]] {
        let config = authority.trusting(protocols, None);
        let mut client = Client::over_tls(proxy.address(), config, "localhost").unwrap();
        // The first also comes to one that rests: nothing of HTTP was said before.
        for part in [
            GET,
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\nGET / HT",
        ] {
            std::thread::sleep(Duration::from_millis(1800));
            assert_eq!(client.send(part).answer().status(), 200);
        }
        std::thread::sleep(Duration::from_millis(1800));
        client.send("TP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(upstream.count(), 6);
}

#[test]
fn urls_come_back_with_the_scheme_that_the_client_used() {
    let (authority, pair) = localhost("tls-scheme");
    let upstream = Upstream::start(|exchange| {
        let host = exchange.request.header("host").unwrap().to_owned();
        exchange.answer(201, &format!("Location: http://{host}/x\r\n"), "");
    });
    let proxy = TestProxy::start(&over_tls(&pair, &upstream, ""));
    let config = authority.trusting(&[], None);
    let mut client = Client::over_tls(proxy.address(), config, "localhost").unwrap();
    let answer = client.send(GET).answer();
    assert_eq!(answer.header("location"), Some("https://localhost/x"));
    let absolute = "GET https://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(client.send(absolute).answer().status(), 201);
}

#[test]
fn a_client_gets_the_certificate_of_the_host_that_it_asks_for() {
    let (authority, first) = localhost("tls-sni");
    let second = authority.pair(&["second.example", "*.wild.example"]);
    let upstream = Upstream::ok();
    let more = format!(", certificates: [{{ {} }}]", second.yaml());
    let proxy = TestProxy::start(&over_tls(&first, &upstream, &more));
    let shown = |name: &str| {
        let config = authority.trusting(&[], None);
        Client::over_tls(proxy.address(), config, name).map(|client| client.shown)
    };
    let first = shown("localhost").unwrap();
    let second = shown("second.example").unwrap();
    assert_ne!(first, second);
    assert_eq!(shown("a.wild.example").unwrap(), second);
    // The first one, which this client does not take.
    assert!(shown("other.example").is_err());
}

#[test]
fn new_certificates_are_shown_and_unusable_ones_are_not() {
    let (authority, pair) = localhost("tls-renewed");
    let upstream = Upstream::ok();
    let text = over_tls(&pair, &upstream, "");
    let proxy = TestProxy::start(&text);
    let connect = || {
        let config = authority.trusting(&[], None);
        Client::over_tls(proxy.address(), config, "localhost").unwrap()
    };
    assert!(proxy.app.files().contains(&pair.cert()) && proxy.app.files().contains(&pair.key()));
    let mut old = connect();
    authority.renew(&pair, &["localhost"]);
    let reloaded = proxy.reload(&text).unwrap();
    assert!(reloaded.needs_restart.is_empty());
    let new = connect();
    assert_ne!(new.shown, old.shown);
    assert_eq!(
        old.send(GET).answer().status(),
        200,
        "who is connected stays so"
    );

    std::fs::write(pair.key(), "no key: hunter2").unwrap();
    let refused = text_of(&proxy.reload(&text).unwrap_err());
    assert!(
        refused.contains("this is no private key in PEM"),
        "{refused}"
    );
    assert!(!refused.contains("hunter2"), "{refused}");
    let other = authority.pair(&["localhost"]);
    std::fs::copy(other.key(), pair.key()).unwrap();
    let refused = text_of(&proxy.reload(&text).unwrap_err());
    assert!(refused.contains("not the one of this key"), "{refused}");
    assert_eq!(connect().shown, new.shown);
}

#[test]
fn a_reload_gives_each_listener_its_own_certificate() {
    let (authority, first) = localhost("tls-each");
    let second = authority.pair(&["localhost"]);
    let (upstream, addresses) = (Upstream::ok(), [closed_port(), closed_port()]);
    let text = format!(
        "listen:\n  - {{ address: {}, tls: {{ {} }} }}\n  - {{ address: {}, tls: {{ {} }} }}\n{}",
        addresses[0],
        first.yaml(),
        addresses[1],
        second.yaml(),
        plain(&upstream)
    );
    let proxy = TestProxy::start(&text);
    let shown = || {
        addresses.map(|address| {
            let config = authority.trusting(&[], None);
            let client = Client::over_tls(address, config, "localhost").unwrap();
            client.shown
        })
    };
    let before = shown();
    authority.renew(&second, &["localhost"]);
    proxy.reload(&text).unwrap();
    let after = shown();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    assert_ne!(after[0], after[1]);
}

#[test]
fn a_session_is_resumed_and_a_reload_does_not_end_that() {
    let (authority, pair) = localhost("tls-tickets");
    let upstream = Upstream::ok();
    let text = over_tls(&pair, &upstream, "");
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let proxy = TestProxy::with_workers(2, &text);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        let resumed = || {
            let mut client =
                Client::over_tls(proxy.address(), config.clone(), "localhost").unwrap();
            // Tickets of TLS 1.3 come behind the handshake.
            assert_eq!(client.send(GET).answer().status(), 200);
            client.resumed
        };
        assert!(!resumed());
        assert!(resumed());
        proxy.reload(&text).unwrap();
        assert!(resumed());
    }
}

#[test]
fn an_old_version_is_refused_where_the_file_says_so() {
    let (authority, pair) = localhost("tls-versions");
    let upstream = Upstream::ok();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    for (more, served) in [("", true), (", min_version: '1.3'", false)] {
        let proxy = TestProxy::start(&over_tls(&pair, &upstream, more));
        let client = Client::over_tls(proxy.address(), config.clone(), "localhost");
        assert_eq!(client.is_ok(), served);
    }
}

#[test]
fn who_speaks_in_clear_to_tls_is_told() {
    let (_, pair) = localhost("tls-clear");
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&over_tls(&pair, &upstream, ""));
    let answer = proxy.get("/");
    assert_eq!((answer.status(), &*answer.code()), (400, "request_invalid"));
    assert!(answer.text().contains("speaks TLS"), "{}", answer.text());
    let mut client = proxy.connect();
    assert_eq!(client.send("\x05\x01\0").rest(), b"", "no HTTP");
    until("both are counted", || {
        proxy.app.metrics().process().handshake_errors.get() == 2
    });
    assert_eq!(upstream.count(), 0);
}

#[test]
fn who_speaks_tls_to_clear_is_not_waited_for() {
    let (authority, _) = localhost("tls-to-clear");
    let proxy = TestProxy::start(&plain(&Upstream::ok()));
    let since = now();
    let config = authority.trusting(&["h2"], None);
    assert!(Client::over_tls(proxy.address(), config, "localhost").is_err());
    assert!(since.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let (_, pair) = localhost("tls-slow");
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "limits: {{ header_timeout: 300ms, drain: 1s }}\n{}",
        over_tls(&pair, &upstream, "")
    ));
    let since = now();
    let mut silent = proxy.connect();
    let mut slow = proxy.connect();
    slow.send([22, 3, 1, 2, 0, 1]);
    assert_eq!((silent.rest(), slow.rest()), (Vec::new(), Vec::new()));
    assert!(since.elapsed() < Duration::from_secs(3));
    until("both are counted", || {
        proxy.app.metrics().process().handshake_errors.get() == 2
    });
}

/// Where TLS is cut without its own goodbye, a client knows that there was more.
#[test]
fn a_cut_answer_is_no_end_of_tls() {
    let (authority, pair) = localhost("tls-cut");
    let upstream = Upstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        exchange.close();
    });
    let proxy = TestProxy::start(&over_tls(&pair, &upstream, ""));
    for version in ["1.0", "1.1"] {
        let config = authority.trusting(&[], None);
        let mut client = Client::over_tls(proxy.address(), config, "localhost").unwrap();
        let answer = client
            .send(format!("GET / HTTP/{version}\r\nHost: localhost\r\n\r\n"))
            .answer();
        assert_eq!(answer.message.end, End::Cut, "{version}");
    }
}
