//! A client's socket that knows what it is waiting for, so that a client which stalls is not waited for.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    handshake::Spoken,
    http2::{Blocks, PREFACE},
    phase::Phase,
    sniff::{Sniff, Sniffed},
    transport::Transport,
};
use crate::gather;

/// A client's socket.
#[derive(Debug)]
pub(super) struct ClientIo {
    transport: Transport,
    phase: Arc<Phase>,
    reading: Reading,
    /// What was read already, and is to be read once more.
    again: Bytes,
    stalled: bool,
}

/// How what comes is looked at on its way.
#[derive(Debug)]
enum Reading {
    /// Nothing is known yet. Read by HTTP/1.1, which gets nothing of a preface.
    Sniffing(Sniff),
    Http1,
    /// It is HTTP/2; whoever reads is to make way.
    Preface,
    Http2 {
        blocks: Blocks,
        /// Reads in a row that brought something.
        row: u8,
    },
}

impl ClientIo {
    /// A socket of which so much is known.
    pub(super) fn new(transport: Transport, spoken: Spoken, phase: Arc<Phase>) -> Self {
        let reading = match spoken {
            Spoken::Either => Reading::Sniffing(Sniff::default()),
            Spoken::Http1 => Reading::Http1,
            Spoken::Http2 => {
                phase.set_speaks_http2();
                Reading::Preface
            }
        };
        Self {
            transport,
            phase,
            reading,
            again: Bytes::new(),
            stalled: false,
        }
    }

    /// The same socket for HTTP/2, from its preface on.
    pub(super) fn into_http2(mut self) -> Self {
        let mut blocks = Blocks::after(PREFACE.len());
        blocks.read(&self.again);
        self.phase.set_in_head(blocks.in_block());
        self.reading = Reading::Http2 { blocks, row: 0 };
        self
    }

    /// Has `bytes` read once more, before anything else: the beginning of a head.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.again = [bytes, &*self.again].concat().into();
            self.phase.received();
        }
    }

    /// Whether something may be read, the end included.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.again.is_empty() {
            return Poll::Ready(());
        }
        // An error is read, too.
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp.poll_read_ready(cx).map(|_| ()),
            Transport::Unix(unix) => unix.poll_read_ready(cx).map(|_| ()),
            // What comes need not be for us to read, and what TLS holds the socket does not tell of.
            Transport::Tls(tls) => {
                let mut first = [0];
                let mut buffer = ReadBuf::new(&mut first);
                let _ = ready!(Pin::new(tls).poll_read(cx, &mut buffer));
                let read = buffer.filled().len();
                self.put_back(&first[..read]);
                Poll::Ready(())
            }
        }
    }

    fn note(&mut self, stalled: bool) {
        if stalled != self.stalled {
            self.stalled = stalled;
            self.phase.set_stalled(stalled);
        }
    }

    /// The first bytes: passed on as they are, unless they may begin a preface.
    fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        mut sniff: Sniff,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            if self.again.is_empty() {
                ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
            } else {
                self.read_again(buffer);
            }
            let new = &buffer.filled()[before..];
            let held = sniff.held();
            let sniffed = if new.is_empty() {
                // The client has said all.
                Sniffed::Other
            } else {
                self.phase.received();
                sniff.read(new)
            };
            if sniffed == Sniffed::Other && held.is_empty() {
                self.reading = Reading::Http1;
                return Poll::Ready(Ok(()));
            }
            if sniffed != Sniffed::Undecided {
                self.again = [held, new, &*self.again].concat().into();
            }
            buffer.set_filled(before);
            match sniffed {
                Sniffed::Undecided => self.reading = Reading::Sniffing(sniff),
                Sniffed::Http2 => {
                    self.reading = Reading::Preface;
                    self.phase.set_speaks_http2();
                    return Poll::Pending;
                }
                Sniffed::Other => {
                    self.reading = Reading::Http1;
                    self.read_again(buffer);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn read_again(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.again.len().min(buffer.remaining());
        buffer.put_slice(&self.again[..length]);
        self.again.advance(length);
        if self.again.is_empty() {
            self.again = Bytes::new();
        }
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.phase.is_open_ended() {
            // A reset and no orderly end: the answer was cut.
            self.transport.cut();
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match &mut this.reading {
            Reading::Sniffing(sniff) => {
                let sniff = *sniff;
                return this.poll_first(cx, buffer, sniff);
            }
            Reading::Preface => return Poll::Pending,
            Reading::Http2 { row, .. } if *row == MAX_ROW => {
                // h2 reads on as long as there is anything: a flood of small frames would keep others waiting.
                *row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Reading::Http1 | Reading::Http2 { .. } => {}
        }
        if !this.again.is_empty() {
            this.read_again(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.transport).poll_read(cx, buffer);
        let new = &buffer.filled()[before..];
        match &mut this.reading {
            Reading::Http2 { row, .. } if new.is_empty() => *row = 0,
            Reading::Http2 { blocks, row } => {
                *row += 1;
                blocks.read(new);
                this.phase.set_in_head(blocks.in_block());
            }
            _ if new.is_empty() => {}
            _ => this.phase.received(),
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
        let written = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.note(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = gather::poll_write(&mut self.transport, cx, slices);
        self.note(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.transport).poll_flush(cx);
        // TLS takes what it can't send yet.
        self.note(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

/// Reads in a row before others have their turn.
const MAX_ROW: u8 = 16;
