//! A web page must not drive the proxy of whoever looks at it.

use crate::support::{Answer, TestProxy, TokenEndpoint, Upstream, plain, with_credential};

fn with(proxy: &TestProxy, method: &str, fields: &str) -> Answer {
    proxy.send(format!("{method} /x HTTP/1.1\r\n{fields}\r\n"))
}

/// 35: DNS rebinding: the name is the page's, the address ours.
#[test]
fn a_name_that_merely_resolves_to_us_is_refused() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let port = proxy.address().port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        "127.0.0.1.evil.example".to_owned(),
        "127.0.0.1.nip.io".to_owned(),
        "localhostevil".to_owned(),
        "0.0.0.0".to_owned(),
        "127.1".to_owned(),
        "2130706433".to_owned(),
        "127.0.0.2".to_owned(),
        "[::1]".to_owned(),
        format!("localhost:{}", port ^ 1),
        format!("127.0.0.1:{}", port ^ 1),
    ] {
        let answer = with(&proxy, "GET", &format!("Host: {host}\r\n"));
        assert_eq!(
            (answer.status(), &*answer.code()),
            (421, "host_unknown"),
            "{host}"
        );
    }
    assert_eq!(upstream.count(), 0);
    for host in [
        "localhost".to_owned(),
        format!("LOCALHOST:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{port}"),
    ] {
        assert_eq!(
            with(&proxy, "GET", &format!("Host: {host}\r\n")).status(),
            200,
            "{host}"
        );
    }
}

/// 35: names of the file are answered, also as a wildcard, and nothing that looks alike.
#[test]
fn named_hosts_are_answered() {
    let upstream = Upstream::ok();
    let yaml = format!(
        "hosts: [proxy.internal, '*.dev.example']\n{}",
        plain(&upstream)
    );
    let proxy = TestProxy::start(&yaml);
    for (host, status) in [
        ("proxy.internal", 200),
        ("proxy.internal.:9", 200),
        ("a.dev.example", 200),
        ("dev.example", 421),
        ("a.dev.example.evil.example", 421),
        ("xproxy.internal", 421),
    ] {
        assert_eq!(
            with(&proxy, "GET", &format!("Host: {host}\r\n")).status(),
            status,
            "{host}"
        );
    }
}

/// 36: origins are compared whole, and a request without preflight is no better.
#[test]
fn requests_of_other_origins_are_refused() {
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&plain(&upstream));
    let address = proxy.address();
    let port = address.port();
    let foreign = [
        "Origin: http://evil.example".to_owned(),
        "Origin: null".to_owned(),
        "Origin:".to_owned(),
        format!("Origin: http://{address}.evil.example"),
        "Origin: http://127.0.0.1.evil.example".to_owned(),
        format!("Origin: http://{address}@evil.example"),
        format!("Origin: http://127.0.0.1:{}", port ^ 1),
        format!("Origin: http://localhost:{port}"),
        format!("Origin: ftp://{address}"),
        format!("Origin: chrome-extension://{address}"),
        format!("Origin: http://{address}\r\nOrigin: http://evil.example"),
        "Sec-Fetch-Site: cross-site".to_owned(),
        "Sec-Fetch-Site: same-site".to_owned(),
        "Sec-Fetch-Site: CROSS-SITE".to_owned(),
        "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site".to_owned(),
        format!("Origin: http://{address}\r\nSec-Fetch-Site: cross-site"),
    ];
    for fields in foreign {
        for more in ["", "Content-Type: text/plain\r\nContent-Length: 0\r\n"] {
            let method = if more.is_empty() { "GET" } else { "POST" };
            let answer = with(
                &proxy,
                method,
                &format!("Host: {address}\r\n{fields}\r\n{more}"),
            );
            assert_eq!(
                (answer.status(), &*answer.code()),
                (403, "origin_refused"),
                "{fields}"
            );
        }
    }
    assert_eq!(upstream.count(), 0);
    for fields in [
        format!("Origin: http://{address}\r\n"),
        "Sec-Fetch-Site: same-origin\r\n".to_owned(),
        "Sec-Fetch-Site: none\r\n".to_owned(),
    ] {
        assert_eq!(
            with(&proxy, "GET", &format!("Host: {address}\r\n{fields}")).status(),
            200,
            "{fields}"
        );
    }
}

/// 37: no answer lets another origin read it, whoever wrote it.
#[test]
fn no_answer_opens_itself_to_other_origins() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
         Access-Control-Expose-Headers: x\r\nContent-Length: 0\r\n\r\n",
    );
    let tokens = TokenEndpoint::good();
    let proxy = TestProxy::start(&with_credential(&tokens, &upstream, ""));
    let preflight =
        "Host: localhost\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let answers = [
        with(&proxy, "OPTIONS", preflight),
        with(
            &proxy,
            "GET",
            "Host: evil.example\r\nOrigin: http://evil.example\r\n",
        ),
        with(&proxy, "GET", "Host: localhost\r\n"),
        with(&proxy, "BREW", "Host: localhost\r\n"),
    ];
    let statuses = answers.each_ref().map(Answer::status);
    assert_eq!(statuses, [403, 421, 200, 200]);
    for answer in answers {
        let open = answer
            .fields
            .iter()
            .find(|(name, _)| name.starts_with("access-control-"));
        assert_eq!(open, None);
    }
}
