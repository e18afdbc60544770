//! A client's socket that knows what it is waiting for, so that a client which stalls is not waited for.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::clock::Watch;

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For the whole head of a request, from its first byte (from the connection's start for the first).
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// To take any of what we write.
    pub write: Duration,
}

/// What a connection is doing; shared by its socket and its service, which run in one task.
#[derive(Debug)]
pub(super) struct Phase {
    watch: Watch,
    timeouts: ClientTimeouts,
    state: AtomicU8,
    /// An answer has begun whose end only the connection's end tells.
    open_ended: AtomicBool,
}

impl Phase {
    pub(super) fn new(watch: Watch, timeouts: ClientTimeouts) -> Arc<Self> {
        watch.within(timeouts.head);
        Arc::new(Self {
            watch,
            timeouts,
            state: AtomicU8::new(IDLE),
            open_ended: AtomicBool::new(false),
        })
    }

    /// Bytes came between two requests: a head has begun.
    fn received(&self) {
        if self.state.load(Ordering::Relaxed) == IDLE {
            self.state.store(HEAD, Ordering::Relaxed);
            self.watch.within(self.timeouts.head);
        }
    }

    /// A head is complete: from here on the request's own deadlines count.
    pub(super) fn called(&self) {
        self.state.store(BUSY, Ordering::Relaxed);
        self.watch.rest();
    }

    /// The answer is complete.
    pub(super) fn answered(&self) {
        self.state.store(IDLE, Ordering::Relaxed);
        self.watch.within(self.timeouts.idle);
    }

    /// Until it is unset, the connection's end would tell an HTTP/1.0 client that its answer is whole.
    pub(super) fn set_open_ended(&self, open_ended: bool) {
        self.open_ended.store(open_ended, Ordering::Relaxed);
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn is_in_head(&self) -> bool {
        self.state.load(Ordering::Relaxed) == HEAD
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    fn stalled(&self) {
        self.watch.within(self.timeouts.write);
    }

    fn moved(&self) {
        if self.state.load(Ordering::Relaxed) == BUSY {
            self.watch.rest();
        } else {
            self.watch.within(self.timeouts.idle);
        }
    }
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct ClientIo {
    tcp: TcpStream,
    phase: Arc<Phase>,
    stalled: bool,
}

impl ClientIo {
    pub(super) fn new(tcp: TcpStream, phase: Arc<Phase>) -> Self {
        Self {
            tcp,
            phase,
            stalled: false,
        }
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (&written, self.stalled) {
            (Poll::Pending, false) => {
                self.stalled = true;
                self.phase.stalled();
            }
            (Poll::Ready(_), true) => {
                self.stalled = false;
                self.phase.moved();
            }
            _ => {}
        }
        written
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.phase.open_ended.load(Ordering::Relaxed) {
            // A reset and no orderly end: the answer was cut.
            let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.phase.received();
        }
        read
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
