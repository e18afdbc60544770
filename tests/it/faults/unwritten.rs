//! Connections that end before a request is written on them: it goes on another, whatever it is, but not for ever.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, server::NoServerSessionStorage};

use crate::support::{Authority, PATIENCE, TestProxy};

/// Ends its first connections together with their handshake, and answers on the others.
///
/// In TLS 1.2 the last word of a handshake is the server's: the end that comes along with it is read before anything can
/// be written.
struct Fleeting {
    authority: Authority,
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Fleeting {
    fn start(name: &str, protocol: &str, ended: usize) -> Self {
        let authority = Authority::new(name);
        let mut config = (*authority.server_of_tls_1_2("localhost")).clone();
        // Of a handshake that resumes a session, the last word is the client's.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = vec![protocol.into()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for tcp in listener.incoming().take(MOST).map_while(Result::ok) {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                serve(tcp, Arc::clone(&config), number <= ended);
            }
        });
        Self {
            authority,
            address,
            connections,
        }
    }

    /// A proxy before it; `more` are further keys of the upstream.
    fn proxy(&self, more: &str) -> TestProxy {
        TestProxy::start(&format!(
            "routes:\n  - match: /\n    upstream: {{ url: 'https://localhost:{}/', tls: {{ ca: {} }}{more} }}\n",
            self.address.port(),
            self.authority.file().display()
        ))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(mut tcp: TcpStream, config: Arc<ServerConfig>, ends: bool) {
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut session = ServerConnection::new(config).unwrap();
    while session.is_handshaking() {
        if session.read_tls(&mut tcp).unwrap_or(0) == 0 {
            return;
        }
        session.process_new_packets().unwrap();
        if ends && !session.is_handshaking() {
            session.send_close_notify();
        }
        // In one piece: what is read first must not be the handshake's last word alone.
        let mut said = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut said).unwrap();
        }
        tcp.write_all(&said).unwrap();
    }
    if ends {
        let _ = tcp.shutdown(Shutdown::Write);
        let _ = tcp.read_to_end(&mut Vec::new());
        return;
    }
    let mut stream = StreamOwned::new(session, tcp);
    let mut read = Vec::new();
    while !read.ends_with(b"abc") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        read.extend(byte);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

#[test]
fn a_request_that_could_not_be_written_is_sent_on_another_connection() {
    let upstream = Fleeting::start("unwritten", "http/1.1", 3);
    // One that must not be done twice.
    assert_eq!(upstream.proxy("").post("/", b"abc").status(), 200);
    assert_eq!(upstream.connections(), 4);
}

#[test]
fn but_on_four_of_them_at_most() {
    let upstream = Fleeting::start("unwritten-at-all", "http/1.1", MOST);
    let answer = upstream.proxy("").post("/", b"abc");
    assert_eq!((answer.status(), &*answer.code()), (502, "upstream_reset"));
    assert_eq!(upstream.connections(), 4);
}

#[test]
fn over_http_2_one_that_ends_before_it_says_anything_is_told_at_once() {
    let upstream = Fleeting::start("unwritten-2", "h2", MOST);
    let answer = upstream.proxy(", http2: auto").post("/", b"abc");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (502, "upstream_refused")
    );
    assert_eq!(upstream.connections(), 1);
}

/// Beyond these it is closed: a proxy without a bound is told so, too.
const MOST: usize = 50;
