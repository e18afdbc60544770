//! The request's body as it travels through the stack: nothing, the client's stream, or its replayable tee.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

mod tee;
pub mod trailers;

pub use tee::{Tee, TeeHandle};

/// A request's body.
#[derive(Debug)]
pub struct RequestBody {
    stream: Stream,
    /// Bytes that came, where somebody counts them.
    received: Option<Arc<AtomicU64>>,
}

#[derive(Debug)]
enum Stream {
    Empty,
    Incoming(Incoming),
    Tee(Tee),
}

/// Why a request's body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client's connection or its framing failed.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// A replay has taken the body over.
    #[error("the body was taken over by a replay")]
    Superseded,
}

impl RequestBody {
    /// The body of an incoming request; an empty one is recognised.
    pub fn new(incoming: Incoming) -> Self {
        let empty = incoming.is_end_stream();
        let stream = if empty {
            Stream::Empty
        } else {
            Stream::Incoming(incoming)
        };
        Self {
            stream,
            received: None,
        }
    }

    /// No body.
    pub fn empty() -> Self {
        Self {
            stream: Stream::Empty,
            received: None,
        }
    }

    /// Whether there is no body at all.
    pub fn is_empty(&self) -> bool {
        matches!(self.stream, Stream::Empty)
    }

    /// Counts what comes from now on; `None` where nothing will.
    pub fn count(&mut self) -> Option<Arc<AtomicU64>> {
        if self.is_empty() {
            return None;
        }
        Some(Arc::clone(self.received.get_or_insert_default()))
    }

    /// Remembers up to `limit` bytes while they stream; the handle starts a replay.
    ///
    /// `None` for a body that is remembered already.
    pub fn tee(&mut self, limit: usize) -> Option<TeeHandle> {
        match std::mem::replace(&mut self.stream, Stream::Empty) {
            Stream::Incoming(incoming) => {
                let (tee, handle) = Tee::new(incoming, limit);
                self.stream = Stream::Tee(tee);
                Some(handle)
            }
            other => {
                self.stream = other;
                None
            }
        }
    }
}

impl From<Tee> for RequestBody {
    fn from(tee: Tee) -> Self {
        Self {
            stream: Stream::Tee(tee),
            received: None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match &mut this.stream {
            Stream::Empty => None,
            Stream::Incoming(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|it| it.map_err(BodyError::Client))
            }
            Stream::Tee(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        if let (Some(received), Some(Ok(frame))) = (&this.received, &frame)
            && let Some(data) = frame.data_ref()
        {
            received.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map(trailers::clean)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.stream {
            Stream::Empty => true,
            Stream::Incoming(body) => body.is_end_stream(),
            Stream::Tee(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.stream {
            Stream::Empty => SizeHint::with_exact(0),
            Stream::Incoming(body) => body.size_hint(),
            Stream::Tee(body) => body.size_hint(),
        }
    }
}
