//! HTTP/2 clients: one that keeps the rules, and one that writes the frames it is given.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Runtime,
};

use super::{PATIENCE, canary};

/// A connection that speaks HTTP/2 from its first byte.
pub struct H2 {
    runtime: Arc<Runtime>,
    requests: SendRequest<Bytes>,
}

/// A request whose answer has not been looked at.
pub struct Pending {
    runtime: Arc<Runtime>,
    answer: ResponseFuture,
    pub body: SendStream<Bytes>,
}

/// An answer, as far as it has come.
#[derive(Debug)]
pub struct H2Answer {
    pub head: Response<()>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Why there is no more of it.
    pub error: Option<h2::Error>,
}

impl H2 {
    /// Connects, with the settings that h2 has of itself.
    pub fn connect(address: SocketAddr) -> Self {
        Self::with(address, &Builder::new())
    }

    /// Connects with settings of the test's.
    pub fn with(address: SocketAddr, builder: &Builder) -> Self {
        let runtime = runtime();
        let tcp = runtime
            .block_on(tokio::net::TcpStream::connect(address))
            .unwrap();
        Self::over(runtime, tcp, builder)
    }

    /// The same over a connection that is there.
    pub fn over(
        runtime: Arc<Runtime>,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        builder: &Builder,
    ) -> Self {
        let (requests, connection) = runtime.block_on(builder.handshake(io)).unwrap();
        runtime.spawn(connection);
        Self { runtime, requests }
    }

    /// A request for `path` without a body.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> H2Answer {
        self.send(get(path))
    }

    /// The answer to a request without a body.
    #[track_caller]
    pub fn send(&mut self, request: Request<()>) -> H2Answer {
        self.start(request, true).answer()
    }

    /// The answer to a request with this body.
    #[track_caller]
    pub fn post(&mut self, request: Request<()>, body: &'static [u8]) -> H2Answer {
        let mut pending = self.start(request, false);
        pending
            .body
            .send_data(Bytes::from_static(body), true)
            .unwrap();
        pending.answer()
    }

    /// Waits for what comes by the connection.
    #[track_caller]
    pub fn wait_for<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(patient(what))
    }

    /// Sends a head; `ended` where it is all.
    #[track_caller]
    pub fn start(&mut self, request: Request<()>, ended: bool) -> Pending {
        self.try_start(request, ended).unwrap()
    }

    /// The same, unless the connection takes no more.
    pub fn try_start(&mut self, request: Request<()>, ended: bool) -> Result<Pending, h2::Error> {
        let requests = &mut self.requests;
        let ready =
            async { tokio::time::timeout(PATIENCE, poll_fn(|cx| requests.poll_ready(cx))).await };
        self.runtime.block_on(ready).expect("a turn")?;
        let (answer, body) = self.requests.send_request(request, ended)?;
        Ok(Pending {
            runtime: Arc::clone(&self.runtime),
            answer,
            body,
        })
    }
}

impl Pending {
    /// The whole answer.
    #[track_caller]
    pub fn answer(self) -> H2Answer {
        self.try_answer().unwrap()
    }

    /// The answer, or why there is none.
    #[track_caller]
    pub fn try_answer(self) -> Result<H2Answer, h2::Error> {
        let runtime = Arc::clone(&self.runtime);
        let (head, stream) = self.head()?;
        let mut answer = H2Answer {
            head,
            body: Vec::new(),
            trailers: None,
            error: None,
        };
        runtime.block_on(patient(read(stream, &mut answer)));
        canary::check("an answer", &answer.body);
        Ok(answer)
    }

    /// The head of the answer, and the stream both ways.
    #[track_caller]
    pub fn open(self) -> (Response<()>, SendStream<Bytes>, RecvStream) {
        let head = self.runtime.block_on(patient(self.answer)).unwrap();
        let (head, down) = head.into_parts();
        (Response::from_parts(head, ()), self.body, down)
    }

    /// The head of the answer; who does not read its body makes no room for more of it.
    #[track_caller]
    pub fn head(self) -> Result<(Response<()>, RecvStream), h2::Error> {
        let (head, stream) = self.runtime.block_on(patient(self.answer))?.into_parts();
        Ok((Response::from_parts(head, ()), stream))
    }
}

impl H2Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// The body, where it came whole.
    #[track_caller]
    pub fn text(&self) -> &str {
        assert!(self.error.is_none(), "{self:?}");
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The code of an answer of the proxy's own.
    pub fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn read(mut stream: RecvStream, answer: &mut H2Answer) {
    while let Some(data) = stream.data().await {
        match data {
            Ok(data) => {
                let _ = stream.flow_control().release_capacity(data.len());
                answer.body.extend_from_slice(&data);
            }
            Err(error) => {
                answer.error = Some(error);
                return;
            }
        }
    }
    match stream.trailers().await {
        Ok(trailers) => answer.trailers = trailers,
        Err(error) => answer.error = Some(error),
    }
}

async fn patient<T>(what: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, what).await;
    result.unwrap_or_else(|_| panic!("nothing came in {PATIENCE:?}"))
}

/// A request for `path` of the proxy as `localhost`.
pub fn get(path: &str) -> Request<()> {
    Request::get(format!("http://localhost{path}"))
        .body(())
        .unwrap()
}

/// A runtime for a client: its connection goes on while the test does something else.
pub fn runtime() -> Arc<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Arc::new(builder.worker_threads(1).enable_all().build().unwrap())
}

/// A connection whose client writes what it likes.
pub struct Frames(TcpStream);

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frames {
    /// Connects, and says nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Connects, and begins as everyone does.
    pub fn connect(address: SocketAddr) -> Self {
        let mut this = Self::silent(address);
        this.write(PREFACE);
        this.write(frame(SETTINGS, 0, 0, b""));
        this
    }

    /// Whether the proxy took these bytes.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// The next frame, or `None` where the connection has ended.
    #[track_caller]
    pub fn read(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        if let Err(error) = self.0.read_exact(&mut header) {
            let kind = error.kind();
            let overdue = matches!(
                kind,
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            );
            assert!(!overdue, "nothing came in {PATIENCE:?}");
            return None;
        }
        let [a, b, c, kind, flags, s @ ..] = header;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(s) & 0x7fff_ffff;
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The next frame of this kind; `None` where the connection ends first.
    #[track_caller]
    pub fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Waits for the end of the connection; whether it was told before.
    #[track_caller]
    pub fn until_closed(&mut self) -> bool {
        let mut told = false;
        while let Some(frame) = self.read() {
            told |= frame.kind == GOAWAY;
        }
        told
    }
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A header block, literally (RFC 7541, 6.2.2): names and values of up to 126 bytes.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            assert!(text.len() < 127, "{text}");
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A request for `/` with these fields besides; it ends with its head.
pub fn request(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "localhost"),
    ];
    fields.extend_from_slice(more);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&fields))
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
