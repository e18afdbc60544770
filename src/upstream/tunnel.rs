//! Two connections joined after a 101: bytes pass both ways until both sides have ended, or nothing moves for too long.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Response, header};
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Sleep, timeout},
};
use tokio_util::io::poll_read_buf;

use super::{Answer, Chosen, SendError, Terms, mux::Stream, pool::Connection};
use crate::clock::{Verdict, Watch};

mod frames;

use frames::Frames;

/// The upstream's end of a tunnel that it agreed to.
#[derive(Debug)]
pub struct Tunnel {
    io: TokioIo<Upgraded>,
    terms: Terms,
    /// Which it is of its connection, in HTTP/2.
    stream: Option<Stream>,
    /// The target that it leads to, where there are several.
    chosen: Option<Chosen>,
}

/// What a tunnel carried, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Bytes from the client to the upstream.
    pub up: u64,
    /// Bytes from the upstream to the client.
    pub down: u64,
    /// Whether both sides ended it in order.
    pub whole: bool,
}

/// Takes the connection of a 101 over.
///
/// # Errors
/// [`SendError::Protocol`] where nobody asked for it, or for something else.
pub(super) async fn open(
    mut response: Response<Incoming>,
    connection: Connection,
    terms: Terms,
) -> Result<Response<Answer>, SendError> {
    if !terms.websocket || !is_agreed(response.headers()) {
        return Err(SendError::Protocol(None));
    }
    // The watch of the connection still bounds this wait.
    let upgraded = hyper::upgrade::on(&mut response).await;
    let io = TokioIo::new(upgraded.map_err(|error| SendError::Protocol(Some(error)))?);
    connection.allowance.end();
    // Its place in the pool is free for another: tunnels are bounded by the clients' connections.
    drop(connection);
    let tunnel = Tunnel::new(io, terms, None);
    Ok(response.map(|_| Answer::Tunnel(tunnel)))
}

/// The same of a stream whose CONNECT was agreed to.
///
/// # Errors
/// [`SendError::Protocol`] where hyper sees no tunnel in it.
pub(super) async fn open_stream(
    mut response: Response<Incoming>,
    stream: Stream,
    terms: Terms,
) -> Result<Response<Answer>, SendError> {
    // hyper has it already, or never will.
    let upgraded = hyper::upgrade::on(&mut response).await;
    let io = TokioIo::new(upgraded.map_err(|error| SendError::Protocol(Some(error)))?);
    let tunnel = Tunnel::new(io, terms, Some(stream));
    Ok(response.map(|_| Answer::Tunnel(tunnel)))
}

/// RFC 6455, 4.2.2: the one protocol that was asked for, and no other.
fn is_agreed(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::UPGRADE).iter();
    let websocket = named
        .next()
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let connection = headers.get_all(header::CONNECTION).iter();
    websocket
        && named.next().is_none()
        && connection
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

impl Tunnel {
    fn new(io: TokioIo<Upgraded>, terms: Terms, stream: Option<Stream>) -> Box<Self> {
        Box::new(Self {
            io,
            terms,
            stream,
            chosen: None,
        })
    }

    pub(super) fn comes_from(&mut self, chosen: Chosen) {
        self.chosen = Some(chosen);
    }

    /// Joins it with the client's end, of which `early` has come already, until both have ended.
    ///
    /// `watch` must wake the task that this runs in; it keeps the idle deadline.
    pub async fn join<C>(self, mut client: C, early: Bytes, watch: &Watch) -> Carried
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let Self {
            mut io,
            terms,
            stream: _held,
            chosen: _chosen,
        } = self;
        let mut up = Direction::new(early.into(), &terms);
        let mut down = Direction::new(BytesMut::new(), &terms);
        let mut expiry = terms
            .until
            .map(|until| Box::pin(tokio::time::sleep_until(until)));
        watch.within(terms.timeouts.idle_stream);
        let ended = poll_fn(|cx| {
            if watch.verdict() != Verdict::Live {
                return Poll::Ready(Ended::Cut);
            }
            if is_over(&mut expiry, cx) {
                return Poll::Ready(Ended::Expired);
            }
            let before = up.passed + down.passed;
            let sent = up.poll(cx, &mut client, &mut io);
            let received = down.poll(cx, &mut io, &mut client);
            if up.passed + down.passed != before {
                watch.within(terms.timeouts.idle_stream);
            }
            match (sent, received) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Ended::Cut),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Whole),
                _ => Poll::Pending,
            }
        });
        let ended = ended.await;
        if matches!(ended, Ended::Expired) {
            // Each side is told where it can be; both ends are closed either way.
            let to_client = farewell(&mut client, down.frames.as_ref().and_then(Frames::close));
            let to_upstream = farewell(&mut io, up.frames.as_ref().and_then(Frames::masked_close));
            tokio::join!(to_client, to_upstream);
        }
        Carried {
            up: up.passed,
            down: down.passed,
            whole: matches!(ended, Ended::Whole),
        }
    }
}

/// Why bytes pass no more.
enum Ended {
    Whole,
    Cut,
    Expired,
}

fn is_over(expiry: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> bool {
    expiry
        .as_mut()
        .is_some_and(|expiry| expiry.as_mut().poll(cx).is_ready())
}

/// Says why, and reads on for a moment: a close with bytes unread would be a reset, and take the word with it.
async fn farewell(io: &mut (impl AsyncRead + AsyncWrite + Unpin), word: Option<Vec<u8>>) {
    let Some(word) = word else { return };
    let said = async {
        io.write_all(&word).await?;
        io.shutdown().await?;
        let mut rest = [0; 1024];
        while io.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(FAREWELL, said).await;
}

/// One way through a tunnel. Holds a buffer only while bytes are on their way.
struct Direction {
    held: BytesMut,
    read_done: bool,
    shut: bool,
    unflushed: bool,
    passed: u64,
    /// Only where a frame of ours may have to be put in.
    frames: Option<Frames>,
}

impl Direction {
    fn new(held: BytesMut, terms: &Terms) -> Self {
        Self {
            held,
            read_done: false,
            shut: false,
            unflushed: false,
            passed: 0,
            frames: terms.until.map(|_| Frames::default()),
        }
    }

    /// Passes on what there is; ready once `from` has ended and `to` was told so.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.shut {
            while !self.held.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.held))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                if let Some(frames) = &mut self.frames {
                    frames.pass(&self.held[..written]);
                }
                self.held.advance(written);
                self.passed += written as u64;
                self.unflushed = true;
            }
            if self.read_done {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.shut = true;
                break;
            }
            self.held.reserve(BUFFER);
            match poll_read_buf(Pin::new(&mut *from), cx, &mut self.held)? {
                Poll::Ready(read) => self.read_done = read == 0,
                Poll::Pending => {
                    self.held = BytesMut::new();
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What is read at once, in bytes: what one record of TLS holds.
const BUFFER: usize = 16 * 1024;
/// For telling one side that it is over.
const FAREWELL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
