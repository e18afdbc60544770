//! The response's body on its way in: holds its connection, and gives it back only when all of it has come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::{Chosen, Terms, Tunnel, mux::Stream, outgoing::Progress, pool::Connection};
use crate::clock::{Verdict, Watch};

/// What follows a response's head.
#[derive(Debug)]
pub enum Answer {
    /// Its body.
    Body(ResponseBody),
    /// The protocol that was switched to.
    Tunnel(Box<Tunnel>),
}

/// A response's body. Dropped before its end, it closes the connection.
#[derive(Debug)]
pub struct ResponseBody {
    incoming: Incoming,
    held: Option<Held>,
    request: Option<Arc<Progress>>,
    idle: Duration,
    /// The target that it comes from, where there are several.
    chosen: Option<Chosen>,
    /// Strikes where it may not outlive its credential.
    expiry: Option<Pin<Box<Sleep>>>,
}

/// What a response's body comes by.
#[derive(Debug)]
pub(super) enum Held {
    /// A connection of its own.
    Connection(Connection),
    /// One stream of a connection.
    Stream(Stream),
}

impl Held {
    fn watch(&self) -> &Watch {
        match self {
            Self::Connection(connection) => &connection.watch,
            Self::Stream(stream) => &stream.watch,
        }
    }
}

/// Why a response's body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ResponseBodyError {
    /// The connection or its framing failed.
    #[error("the upstream's body broke off")]
    Broken(#[source] hyper::Error),
    /// Nothing moved for too long.
    #[error("the upstream's body stood still for too long")]
    Idle,
    /// The credential that it was asked for with has expired, and the route says to close.
    #[error("the credential of this stream has expired")]
    Expired,
}

impl Answer {
    /// It comes from `chosen`, where it is under way until it has ended.
    pub fn comes_from(&mut self, chosen: Chosen) {
        match self {
            // The request is over already.
            Self::Body(body) if body.held.is_none() => {}
            Self::Body(body) => body.chosen = Some(chosen),
            Self::Tunnel(tunnel) => tunnel.comes_from(chosen),
        }
    }
}

impl ResponseBody {
    pub(super) fn new(
        incoming: Incoming,
        held: Held,
        request: Option<Arc<Progress>>,
        terms: &Terms,
    ) -> Self {
        let idle = terms.timeouts.idle_body;
        held.watch().within(idle);
        if let Held::Connection(connection) = &held {
            connection.allowance.end();
        }
        let mut body = Self {
            incoming,
            held: Some(held),
            request,
            idle,
            chosen: None,
            expiry: None,
        };
        if body.incoming.is_end_stream() {
            body.complete();
        } else if let Some(until) = terms.until {
            body.expiry = Some(Box::pin(tokio::time::sleep_until(until)));
        }
        body
    }

    /// The response is whole; the connection is fit for another request if its own was, too.
    fn complete(&mut self) {
        self.chosen = None;
        // A stream is its connection's to end.
        let Some(Held::Connection(connection)) = self.held.take() else {
            return;
        };
        if self
            .request
            .as_ref()
            .is_none_or(|request| request.is_sent())
            && let Some(pool) = connection.pool()
        {
            pool.give_back(connection);
        }
    }

    fn failure(&self, error: hyper::Error) -> ResponseBodyError {
        match &self.held {
            Some(held) if held.watch().verdict() == Verdict::Expired => ResponseBodyError::Idle,
            _ => ResponseBodyError::Broken(error),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        if let Some(expiry) = &mut this.expiry
            && expiry.as_mut().poll(cx).is_ready()
        {
            this.held = None;
            return Poll::Ready(Some(Err(ResponseBodyError::Expired)));
        }
        if let Some(Held::Stream(stream)) = &this.held {
            // Nobody else looks at it: of a connection, the task that drives it does.
            stream.watch.wakes(cx.waker());
            if stream.watch.verdict() != Verdict::Live {
                this.held = None;
                return Poll::Ready(Some(Err(ResponseBodyError::Idle)));
            }
        }
        let bell = match &this.held {
            Some(Held::Connection(connection)) => Some(&connection.bell),
            _ => None,
        };
        let polled = match bell {
            None => Pin::new(&mut this.incoming).poll_frame(cx),
            Some(bell) => {
                let taking = || Pin::new(&mut this.incoming).poll_frame(cx);
                let (polled, rung) = bell.while_deaf(taking);
                // The end calls for nothing more; anything else does.
                if rung && !this.incoming.is_end_stream() {
                    bell.ring();
                }
                polled
            }
        };
        match ready!(polled) {
            Some(Ok(frame)) => {
                // hyper does not ask again once the announced length has come.
                if this.incoming.is_end_stream() {
                    this.complete();
                } else if let Some(held) = &this.held {
                    held.watch().within(this.idle);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let error = this.failure(error);
                this.held = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.complete();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
