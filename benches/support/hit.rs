//! One worker's stack with an upstream behind it, and nothing else: what a request costs that finds its token.
//!
//! Without clients, whose connections are hyper's alone. The upstream is a thread that writes bytes.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    thread,
};

use bearerd::{
    app::{App, Origin},
    body::RequestBody,
    clock::{self, Watchdog},
    downstream::Inherited,
    layers::{Connection, Inbound},
    stack::stack,
    upstream::Pools,
};
use http::{HeaderValue, Request, StatusCode, header};
use http_body::Body;
use tokio::runtime::Builder;
use tower::Service;

/// Calls `measure` with what sends requests and reads their answers, once the token and a connection are there.
pub(crate) fn with_stack<T>(measure: impl FnOnce(&mut dyn FnMut(Vec<Inbound>)) -> T) -> T {
    let upstream = upstream();
    let control = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let origin = Origin::Text {
        name: "hit.yaml".into(),
        text: format!(
            "listen: 127.0.0.1:0\n\
             credentials: {{ api: {{ static: {{ token: {{ env: TOKEN }} }} }} }}\n\
             routes: [{{ match: /api/, upstream: 'http://{upstream}/', credential: api }}]\n"
        ),
    };
    let variables = Arc::new(|name: &str| (name == "TOKEN").then(|| "0123456789abcdef".into()));
    let Ok((app, _)) = App::start(origin, variables, control.handle(), Inherited::default()) else {
        panic!("the configuration is good");
    };
    let worker = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let pools = Pools::new(Watchdog::new());
    let mut stack = stack(Arc::clone(app.snapshot()), app.metrics().clone(), pools);
    let mut send = |requests: Vec<Inbound>| {
        worker.block_on(async {
            for request in requests {
                let Ok(response) = stack.call(request).await;
                assert_eq!(response.status(), StatusCode::OK);
                let mut body = response.into_body();
                while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    frame.expect("the body is whole");
                }
            }
        });
    };
    send(requests(WARM_UP));
    measure(&mut send)
}

/// So many requests as a client sends them.
pub(crate) fn requests(count: usize) -> Vec<Inbound> {
    let local = SocketAddr::from(([127, 0, 0, 1], 8080));
    let connection = Arc::new(Connection::new(local, local));
    let request = || {
        let mut request = Request::new(RequestBody::empty());
        *request.uri_mut() = http::Uri::from_static("/api/invoices/7");
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("hit/1.0"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        Inbound {
            request,
            connection: Arc::clone(&connection),
            received: clock::now(),
            too_many: false,
        }
    };
    (0..count).map(|_| request()).collect()
}

fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || answer(client));
        }
    });
    address
}

/// Requests come one after the other and have no body: what ends in an empty line is one.
fn answer(mut client: TcpStream) {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut piece) {
        seen.extend_from_slice(&piece[..length]);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            if client.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

/// As nginx answers with a small file.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 58\r\nLast-Modified: Sat, 28 Nov 2026 11:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"6928-3a\"\r\nAccept-Ranges: bytes\r\n\r\n\
    {\"id\":7,\"state\":\"paid\",\"amount\":\"12.50\",\"currency\":\"EUR\"}\n";
const WARM_UP: usize = 100;
