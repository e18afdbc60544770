//! Bytes in, HTTP/1.1 messages out: a strict little reader that keeps every byte it saw.

use std::{
    io::{self, ErrorKind, Read, Write},
    sync::{Arc, Mutex},
};

/// One request or response, as it was on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Every field line, in order, names as sent.
    pub fields: Vec<(String, String)>,
    /// What the framing delimits.
    pub body: Vec<u8>,
    /// Fields behind a chunked body.
    pub trailers: Vec<(String, String)>,
    /// How it ended.
    pub end: End,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Not read so far.
    #[default]
    Unread,
    /// Where its framing said.
    Whole,
    /// With the connection, which is all that delimits it.
    ToClose,
    /// With the connection, before its framing said so.
    Cut,
}

/// What delimits a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(usize),
    /// Chunks.
    Chunked,
    /// The end of the connection.
    ToClose,
}

impl Message {
    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// All fields of this name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter();
        fields
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The word of the first line between its spaces: a request's target, a response's status.
    pub fn second(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// A request's target without its query.
    pub fn path(&self) -> &str {
        self.second().split('?').next().unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// How a request with this head is framed.
    pub fn framing(&self) -> Framing {
        if let Some(coding) = self.header("transfer-encoding") {
            assert_eq!(coding, "chunked", "another coding: {self:?}");
            assert!(
                self.header("content-length").is_none(),
                "two framings: {self:?}"
            );
            return Framing::Chunked;
        }
        match self.headers("content-length")[..] {
            [] => Framing::Empty,
            [length] => Framing::Length(length.parse().unwrap()),
            _ => panic!("several lengths: {self:?}"),
        }
    }

    /// How a response with this head is framed.
    pub fn framing_of_response(&self, to_head: bool) -> Framing {
        let status = self.second();
        if to_head || status.starts_with('1') || status == "204" || status == "304" {
            return Framing::Empty;
        }
        match self.framing() {
            Framing::Empty => Framing::ToClose,
            framing => framing,
        }
    }
}

/// What both ends of a connection can do.
pub trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// One connection.
pub struct Wire {
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
    seen: Arc<Mutex<Vec<u8>>>,
    /// Why nothing more comes.
    pub ended: Option<ErrorKind>,
}

impl Wire {
    pub fn new(stream: impl Duplex + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
            seen: Arc::default(),
            ended: None,
        }
    }

    /// Every byte that has come so far.
    pub fn seen(&self) -> &Arc<Mutex<Vec<u8>>> {
        &self.seen
    }

    /// Writes as much as the other side takes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads once; false at the end of the connection, of whatever kind.
    pub fn fill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let mut some = [0; 16 * 1024];
        match self.stream.read(&mut some) {
            Ok(0) => self.ended = Some(ErrorKind::UnexpectedEof),
            Ok(length) => {
                self.buffer.extend_from_slice(&some[..length]);
                self.seen.lock().unwrap().extend_from_slice(&some[..length]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.ended = Some(error.kind()),
        }
        self.ended.is_none()
    }

    /// Whether these bytes have come and are not read.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.buffer.windows(bytes.len()).any(|it| it == bytes)
    }

    /// The next head; `None` where the connection ended first.
    pub fn head(&mut self) -> Option<Message> {
        let end = self.find(b"\r\n\r\n")?;
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = text.split("\r\n");
        Some(Message {
            start: lines.next().unwrap_or_default().to_owned(),
            fields: lines.map(field).collect(),
            ..Message::default()
        })
    }

    /// Reads the body of `message`.
    pub fn body(&mut self, message: &mut Message, framing: Framing) {
        message.end = match framing {
            Framing::Empty => End::Whole,
            Framing::Length(length) => self.take(length, &mut message.body),
            Framing::Chunked => self.chunks(message),
            Framing::ToClose => {
                while self.fill() {}
                message.body.append(&mut self.buffer);
                match self.ended {
                    Some(ErrorKind::UnexpectedEof) => End::ToClose,
                    _ => End::Cut,
                }
            }
        };
    }

    /// The next bytes, of whatever protocol; fewer where the connection ended first.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.take(length, &mut bytes);
        bytes
    }

    /// What came and was not read as a message, up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    fn chunks(&mut self, message: &mut Message) -> End {
        loop {
            let Some(line) = self.line() else {
                return End::Cut;
            };
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            if size == 0 {
                break;
            }
            let mut chunk = Vec::new();
            if self.take(size, &mut chunk) == End::Cut {
                message.body.append(&mut chunk);
                return End::Cut;
            }
            message.body.append(&mut chunk);
            match self.line() {
                Some(line) => assert_eq!(line, "", "behind a chunk"),
                None => return End::Cut,
            }
        }
        loop {
            match self.line() {
                Some(line) if line.is_empty() => return End::Whole,
                Some(line) => message.trailers.push(field(&line)),
                None => return End::Cut,
            }
        }
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> End {
        while self.buffer.len() < length && self.fill() {}
        let end = if self.buffer.len() < length {
            End::Cut
        } else {
            End::Whole
        };
        into.extend(self.buffer.drain(..length.min(self.buffer.len())));
        end
    }

    fn line(&mut self) -> Option<String> {
        let end = self.find(b"\r\n")?;
        let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    fn find(&mut self, what: &[u8]) -> Option<usize> {
        loop {
            let found = self.buffer.windows(what.len()).position(|it| it == what);
            if found.is_some() {
                return found;
            }
            if !self.fill() {
                return None;
            }
        }
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}
