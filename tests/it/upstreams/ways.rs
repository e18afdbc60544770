//! What lies between here and an upstream: a unix socket, several addresses, a proxy.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{
    Authority, SECRET, TestProxy, TokenAnswer, TokenEndpoint, Upstream, credentials, token,
};

/// A socket's path, short enough to be one; removed when it is dropped.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new(name: &str) -> Self {
        let name = format!("bearerd-{name}-{}.sock", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Answers every request on the socket with what it asked for as a body.
fn listen_at(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok).take(8) {
            thread::spawn(move || {
                while let Some(head) = head_of(&mut stream) {
                    let length = head.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn head_of(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

#[test]
fn a_unix_socket_is_reached_under_the_name_of_the_url() {
    let socket = SocketPath::new("plain");
    listen_at(&socket.0);
    // In clear, with a credential: what stays on this machine may.
    let tokens = TokenEndpoint::always(TokenAnswer::Same("open".into(), 3600));
    let proxy = TestProxy::start(&format!(
        "{}routes:\n  - match: /a/\n    credential: main\n    upstream: {{ url: 'http://app.internal/b/', socket: {} }}\n",
        credentials(&tokens),
        socket.0.display()
    ));
    for _ in 0..2 {
        let answer = proxy.get("/a/x");
        let seen = answer.text();
        assert!(seen.starts_with("GET /b/x HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("\r\nhost: app.internal\r\n"), "{seen}");
    }
}

#[test]
fn a_unix_socket_where_nobody_listens_is_502() {
    let proxy = TestProxy::start(
        "routes:\n  - match: /\n    upstream: { url: 'http://app/', socket: nobody.sock }\n",
    );
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), answer.code()),
        (502, "upstream_refused".into())
    );
}

/// Reads a request for a tunnel, answers with `status`, and joins both sides where that is 200.
struct Middle {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Middle {
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok).take(8) {
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let Some(head) = head_of(&mut client) else {
                        return;
                    };
                    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    seen.lock().unwrap().push(head);
                    let _ = client.write_all(answer.as_bytes());
                    if let Ok(upstream) = TcpStream::connect(target) {
                        join(&client, &upstream);
                    }
                });
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn join(one: &TcpStream, other: &TcpStream) {
    let pass = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        })
    };
    let (there, back) = (pass(one, other), pass(other, one));
    let _ = (there.join(), back.join());
}

#[test]
fn what_is_encrypted_goes_through_a_tunnel_of_the_proxy() {
    let authority = Authority::new("proxied");
    let tokens = TokenEndpoint::good();
    let upstream = Upstream::over_tls(&authority, "localhost", |exchange| {
        exchange.answer(200, "", "ok")
    });
    let port = upstream.address().port();
    let middle = Middle::start("HTTP/1.1 200 Connection established\r\n\r\n");
    let proxy = TestProxy::start(&format!(
        "{}routes:\n  - match: /\n    credential: main\n    upstream:\n      url: 'https://localhost:{port}/'\n      \
         tls: {{ ca: {} }}\n      proxy: {{ url: 'http://127.0.0.1:{}', username: us, password: {{ env: SECRET }} }}\n",
        credentials(&tokens),
        authority.file().display(),
        middle.port
    ));
    for _ in 0..2 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    let heads = middle.heads();
    assert_eq!(heads.len(), 1, "its connection is used again");
    assert!(heads[0].starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")));
    use base64::{Engine, engine::general_purpose::STANDARD};
    let basic = STANDARD.encode(format!("us:{SECRET}"));
    assert!(heads[0].contains(&format!("\r\nProxy-Authorization: Basic {basic}\r\n")));
    let request = &upstream.requests()[0];
    assert_eq!(request.second(), "/");
    assert_eq!(request.header("proxy-authorization"), None);
    assert_eq!(
        request.header("authorization"),
        Some(&*format!("Bearer {}", token(1)))
    );
}

#[test]
fn a_proxy_that_lets_nobody_through_is_502() {
    for answer in [
        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nmore",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "",
    ] {
        let middle = Middle::start(answer);
        let proxy = TestProxy::start(&format!(
            "routes:\n  - match: /\n    upstream: {{ url: 'https://localhost:1/', proxy: 'http://127.0.0.1:{}' }}\n",
            middle.port
        ));
        let seen = proxy.get("/");
        assert_eq!(
            (seen.status(), seen.code()),
            (502, "upstream_refused".into()),
            "{answer:?}"
        );
    }
}

#[test]
fn what_is_in_clear_is_asked_of_the_proxy_by_its_whole_url() {
    let middle = Upstream::start(|exchange| match exchange.number {
        0 => exchange.answer(200, "", "ok"),
        _ => exchange.answer(407, "Proxy-Authenticate: Basic\r\n", ""),
    });
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /a/\n    upstream:\n      url: 'http://api.example.com/b/'\n      \
         proxy: {{ url: 'http://{}', username: us, password: {{ env: SECRET }} }}\n",
        middle.address()
    ));
    assert_eq!(proxy.get("/a/x?y").text(), "ok");
    let request = middle.request();
    assert_eq!(request.second(), "http://api.example.com/b/x?y");
    assert_eq!(request.header("host"), Some("api.example.com"));
    assert!(
        request
            .header("proxy-authorization")
            .is_some_and(|it| it.starts_with("Basic "))
    );
    // Whom the proxy asks for a password is us, not the client.
    let refused = proxy.get("/a/x");
    assert_eq!(
        (refused.status(), refused.code()),
        (502, "upstream_refused".into())
    );
}

#[test]
fn every_address_of_a_name_is_tried() {
    // `localhost` is ::1 first on most machines, and here nobody listens there.
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&format!(
        "routes:\n  - match: /\n    upstream: 'http://localhost:{}/'\n",
        upstream.address().port()
    ));
    assert_eq!(proxy.get("/").text(), "ok");
}
