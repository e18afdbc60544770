//! A server that speaks HTTP/2 and does what a script says with each call.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// A server on a free port; ended when it is dropped.
pub struct Http2Upstream {
    address: SocketAddr,
    log: Arc<Log>,
    _end: oneshot::Sender<()>,
}

#[derive(Default)]
struct Log {
    requests: Mutex<Vec<Request<()>>>,
    connections: AtomicUsize,
}

/// One call.
pub struct Call {
    /// Counts the calls of this server, from 0.
    pub number: usize,
    pub request: Request<()>,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
}

type Script = dyn Fn(Call) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// What the server is before it speaks HTTP/2.
#[derive(Clone, Default)]
struct Before {
    tls: Option<Arc<rustls::ServerConfig>>,
    /// Turns the first connection away, once a request has come, with a GOAWAY that says that none was read.
    going: bool,
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL.
    connect: bool,
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    most: Option<u32>,
    ends: Option<Ends>,
}

/// How a server ends its connections.
#[derive(Clone, Copy)]
pub enum Ends {
    /// In order, each once so many requests have come by it: those are answered still.
    InOrder(usize),
    /// The first is closed, without a word, once so many requests have come by it.
    Closed(usize),
    /// The first does nothing more once so many requests have come by it, and stays open.
    Silent(usize),
}

impl Before {
    fn builder(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(self.most.unwrap_or(1000));
        if self.connect {
            builder.enable_connect_protocol();
        }
        builder
    }
}

impl Http2Upstream {
    /// In clear.
    pub fn start<F>(script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::run(Before::default(), script)
    }

    /// Over TLS.
    pub fn over_tls<F>(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tls = Some(config);
        Self::run(
            Before {
                tls,
                ..Before::default()
            },
            script,
        )
    }

    /// Takes no more than so many streams of one connection.
    pub fn with_streams<F>(most: u32, script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let most = Some(most);
        Self::run(
            Before {
                most,
                ..Before::default()
            },
            script,
        )
    }

    /// Takes extended CONNECT.
    pub fn with_connect<F>(script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connect = true;
        Self::run(
            Before {
                connect,
                ..Before::default()
            },
            script,
        )
    }

    /// Is going away when the first request comes, and back for the next connection.
    pub fn going_away<F>(script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::run(
            Before {
                going: true,
                ..Before::default()
            },
            script,
        )
    }

    /// Ends its connections in this way.
    pub fn ending<F>(ends: Ends, script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ends = Some(ends);
        Self::run(
            Before {
                ends,
                ..Before::default()
            },
            script,
        )
    }

    /// Answers every call with 200 and a short body.
    pub fn ok() -> Self {
        Self::start(|call| async move { call.answer(200, "ok").await })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The head of every call that came.
    pub fn requests(&self) -> Vec<Request<()>> {
        self.log.requests.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    fn run<F>(before: Before, script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let script: Arc<Script> = Arc::new(move |call| Box::pin(script(call)));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let (end, ended) = oneshot::channel();
        let seen = Arc::clone(&log);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(socket).unwrap();
                tokio::select! {
                    _ = ended => {}
                    () = accept(listener, before, seen, script) => {}
                }
            });
        });
        Self {
            address,
            log,
            _end: end,
        }
    }
}

async fn accept(listener: TcpListener, before: Before, log: Arc<Log>, script: Arc<Script>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (before, log, script) = (before.clone(), Arc::clone(&log), Arc::clone(&script));
        tokio::spawn(async move {
            let connection = log.connections.fetch_add(1, Ordering::SeqCst);
            if before.going && connection == 0 {
                return go_away(tcp).await;
            }
            match before.tls.clone() {
                None => serve(tcp, connection, &before, log, script).await,
                Some(tls) => {
                    let accepting = tokio_rustls::TlsAcceptor::from(tls).accept(tcp);
                    match accepting.into_fallible().await {
                        Ok(mut tls) if tls.get_ref().1.alpn_protocol() == Some(b"http/1.1") => {
                            serve_older(&mut tls).await;
                        }
                        Ok(tls) => serve(tls, connection, &before, log, script).await,
                        // Closed with something unread, it would take the alert back.
                        Err((_, mut tcp)) => {
                            let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
                        }
                    }
                }
            }
        });
    }
}

async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    before: &Before,
    log: Arc<Log>,
    script: Arc<Script>,
) {
    let Ok(mut served) = before.builder().handshake(io).await else {
        return;
    };
    let mut served_here = 0;
    while let Some(Ok((request, respond))) = served.accept().await {
        served_here += 1;
        match before.ends {
            Some(Ends::InOrder(most)) if served_here == most => served.graceful_shutdown(),
            Some(Ends::Closed(most)) if served_here == most && connection == 0 => return,
            Some(Ends::Silent(most)) if served_here == most && connection == 0 => {
                std::future::pending().await
            }
            _ => {}
        }
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, ());
        let number = {
            let mut requests = log.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        tokio::spawn(script(Call {
            number,
            request,
            body,
            respond,
        }));
    }
}

/// Answers whatever comes, for a client that agreed on HTTP/1.1.
async fn serve_older(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut seen = [0; 16 * 1024];
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nolder";
    if io.read(&mut seen).await.is_ok() {
        let _ = io.write_all(answer).await;
    }
    while matches!(io.read(&mut seen).await, Ok(1..)) {}
}

/// Preface and a request, then: my settings, and none of yours was read.
async fn go_away(mut tcp: TcpStream) {
    let mut seen = [0; 16 * 1024];
    let mut length = 0;
    // The preface, frames of settings, and then a frame of type HEADERS.
    while !has_headers(&seen[24.min(length)..length]) {
        match tcp.read(&mut seen[length..]).await {
            Ok(read @ 1..) => length += read,
            _ => return,
        }
        if (24..40).contains(&length) {
            let _ = tcp.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        }
    }
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let going = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let _ = tcp.write_all(&[&settings[..], &going].concat()).await;
    while matches!(tcp.read(&mut seen).await, Ok(1..)) {}
}

fn has_headers(mut frames: &[u8]) -> bool {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        if head[3] == 1 {
            return true;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        frames = rest.get(length..).unwrap_or_default();
    }
    false
}

impl Call {
    /// Reads the whole body, and its trailers.
    pub async fn read(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut all = Vec::new();
        while let Some(Ok(data)) = self.body.data().await {
            let _ = self.body.flow_control().release_capacity(data.len());
            all.extend_from_slice(&data);
        }
        (all, self.body.trailers().await.unwrap_or_default())
    }

    /// The next piece of the body.
    pub async fn next(&mut self) -> Option<Bytes> {
        let data = self.body.data().await?.ok()?;
        let _ = self.body.flow_control().release_capacity(data.len());
        Some(data)
    }

    /// Reads the body and answers with this status.
    pub async fn answer(mut self, status: u16, body: &'static str) {
        self.read().await;
        let mut stream = self.head(status);
        let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
    }

    /// Begins an answer.
    pub fn head(&mut self, status: u16) -> SendStream<Bytes> {
        let response = Response::builder().status(status).body(()).unwrap();
        self.respond.send_response(response, false).unwrap()
    }
}
