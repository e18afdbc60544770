//! Bounds what an upstream may send before the head of its answer: hyper takes interim answers without end.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gather;

/// The bytes that may still come before the head; shared by an exchange and its socket, on one thread.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// Not yet bounded.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(UNBOUNDED)))
    }

    /// A request goes out: its answer's head must come within so many bytes.
    pub(super) fn begin(&self) {
        self.0.store(BEFORE_HEAD, Ordering::Relaxed);
    }

    /// The head is here; its body is bounded by the client's pace.
    pub(super) fn end(&self) {
        self.0.store(UNBOUNDED, Ordering::Relaxed);
    }

    /// Whether more came than was allowed.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        if left == UNBOUNDED {
            return Ok(());
        }
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
        if bytes < left {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

/// A socket that fails once the allowance is spent.
#[derive(Debug)]
pub(super) struct Allowed<I> {
    pub(super) io: I,
    pub(super) allowance: Allowance,
}

impl<I: AsyncRead + Unpin> AsyncRead for Allowed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        Poll::Ready(self.allowance.take(buffer.filled().len() - before))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Allowed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        gather::poll_write(&mut self.io, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

const UNBOUNDED: usize = usize::MAX;
/// Far more than a head and what hyper reads of a body along with it.
const BEFORE_HEAD: usize = 4 * 1024 * 1024;
