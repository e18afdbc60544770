//! A client that sends exactly the bytes it is given.

use std::{
    io::ErrorKind,
    net::{Shutdown, SocketAddr, TcpStream},
    ops::Deref,
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use super::{
    PATIENCE, canary,
    wire::{End, Framing, Message, Wire},
};

/// A connection to the proxy.
pub struct Client {
    wire: Wire,
    stream: TcpStream,
    /// The certificates that the proxy showed.
    pub shown: Vec<Vec<u8>>,
    /// Whether the session went on from an earlier one.
    pub resumed: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The final response.
    pub message: Message,
    /// Statuses of the responses before it.
    pub interim: Vec<u16>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            wire: Wire::new(stream.try_clone().unwrap()),
            stream,
            shown: Vec::new(),
            resumed: false,
        }
    }

    /// Connects over TLS; says why where that is refused.
    pub fn over_tls(
        address: SocketAddr,
        config: ClientConfig,
        name: &str,
    ) -> Result<Self, std::io::Error> {
        Self::connect(address).into_tls(config, name)
    }

    /// The same connection over TLS, whatever was sent in clear before.
    pub fn into_tls(self, config: ClientConfig, name: &str) -> Result<Self, std::io::Error> {
        let name = name.to_owned().try_into().unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tls = StreamOwned::new(session, self.stream.try_clone().unwrap());
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        let (shown, resumed) = {
            let shown = tls.conn.peer_certificates().unwrap_or_default();
            let resumed = tls.conn.handshake_kind() == Some(HandshakeKind::Resumed);
            (shown.iter().map(|it| it.to_vec()).collect(), resumed)
        };
        Ok(Self {
            wire: Wire::new(tls),
            shown,
            resumed,
            ..self
        })
    }

    /// Sends; a proxy that has closed its side already is no error.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.wire.write(bytes.as_ref());
        self
    }

    /// Sends, and says whether the proxy still took it.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.wire.write(bytes).is_ok()
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.next_answer(false)
            .expect("an answer, not the connection's end")
    }

    /// The next answer, to a HEAD request.
    #[track_caller]
    pub fn answer_to_head(&mut self) -> Answer {
        self.next_answer(true)
            .expect("an answer, not the connection's end")
    }

    /// The next answer, or `None` where the connection ends instead.
    #[track_caller]
    pub fn try_answer(&mut self) -> Option<Answer> {
        self.next_answer(false)
    }

    /// The head of the next final answer; its body stays unread.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        self.next_head()
            .expect("an answer, not the connection's end")
    }

    /// The next interim answer's status.
    #[track_caller]
    pub fn interim(&mut self) -> u16 {
        let head = self.wire.head().expect("an answer");
        let status = status(&head);
        assert!(status < 200, "a final answer: {head:?}");
        status
    }

    /// Reads the body of an answer whose head was read.
    pub fn finish(&mut self, mut answer: Answer) -> Answer {
        let framing = answer.message.framing_of_response(false);
        self.read_body(&mut answer, framing);
        answer
    }

    /// Waits until these bytes have come; they stay to be read.
    #[track_caller]
    pub fn until_received(&mut self, text: &str) {
        while !self.wire.holds(text.as_bytes()) {
            assert!(self.wire.fill(), "{text:?} did not come");
        }
    }

    /// The next bytes, of whatever protocol; fewer where the connection ended first.
    #[track_caller]
    pub fn receive(&mut self, length: usize) -> Vec<u8> {
        let bytes = self.wire.bytes(length);
        self.check_deadline();
        canary::check("a tunnel", &bytes);
        bytes
    }

    /// Everything that still comes until the proxy closes the connection.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let rest = self.wire.rest();
        self.check_deadline();
        canary::check("an answer", &rest);
        rest
    }

    /// Whether the proxy ends the connection; what comes before that is for [`Self::rest`].
    pub fn ends(&mut self) -> bool {
        while self.wire.fill() {}
        !self.is_overdue()
    }

    /// Ends our side; the answer can still be read.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    #[track_caller]
    fn next_answer(&mut self, to_head: bool) -> Option<Answer> {
        let mut answer = self.next_head()?;
        let framing = answer.message.framing_of_response(to_head);
        self.read_body(&mut answer, framing);
        Some(answer)
    }

    #[track_caller]
    fn next_head(&mut self) -> Option<Answer> {
        let mut interim = Vec::new();
        loop {
            let Some(message) = self.wire.head() else {
                self.check_deadline();
                return None;
            };
            match status(&message) {
                101 | 200.. => return Some(Answer { message, interim }),
                status => interim.push(status),
            }
        }
    }

    #[track_caller]
    fn read_body(&mut self, answer: &mut Answer, framing: Framing) {
        self.wire.body(&mut answer.message, framing);
        self.check_deadline();
        canary::check("an answer", &self.wire.seen().lock().unwrap());
    }

    #[track_caller]
    fn check_deadline(&self) {
        assert!(!self.is_overdue(), "nothing came in {PATIENCE:?}");
    }

    fn is_overdue(&self) -> bool {
        matches!(
            self.wire.ended,
            Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)
        )
    }
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        status(&self.message)
    }

    /// The code of an answer of the proxy's own.
    pub fn code(&self) -> String {
        let problem: serde_json::Value =
            serde_json::from_slice(&self.message.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether it is complete, as far as can be told.
    pub fn is_whole(&self) -> bool {
        matches!(self.message.end, End::Whole | End::ToClose)
    }
}

impl Deref for Answer {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

fn status(message: &Message) -> u16 {
    let line = &message.start;
    assert!(
        line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 "),
        "no status line: {line:?}"
    );
    message.second().parse().unwrap()
}
