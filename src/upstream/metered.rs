//! A socket whose bytes are looked at as they come.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gather;

/// A socket that fails once its meter does.
#[derive(Debug)]
pub(super) struct Metered<I, M> {
    pub(super) io: I,
    pub(super) meter: M,
}

/// Looks at what comes.
pub(super) trait Meter: Unpin {
    /// These bytes came.
    ///
    /// # Errors
    /// Where nothing more may come.
    fn read(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Nothing more comes.
    fn fail(&mut self, _: &io::Error) {}
}

impl<I: AsyncRead + Unpin, M: Meter> AsyncRead for Metered<I, M> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.io).poll_read(cx, buffer)) {
            self.meter.fail(&error);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(self.meter.read(&buffer.filled()[before..]))
    }
}

impl<I: AsyncWrite + Unpin, M: Meter> AsyncWrite for Metered<I, M> {
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
