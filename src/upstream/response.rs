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

use super::{outgoing::Progress, pool::Connection};
use crate::clock::Verdict;

/// A response's body. Dropped before its end, it closes the connection.
#[derive(Debug)]
pub struct ResponseBody {
    incoming: Incoming,
    connection: Option<Connection>,
    request: Option<Arc<Progress>>,
    idle: Duration,
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
}

impl ResponseBody {
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        request: Option<Arc<Progress>>,
        idle: Duration,
    ) -> Self {
        connection.watch.within(idle);
        connection.allowance.end();
        let mut body = Self {
            incoming,
            connection: Some(connection),
            request,
            idle,
        };
        if body.incoming.is_end_stream() {
            body.complete();
        }
        body
    }

    /// The response is whole; the connection is fit for another request if its own was, too.
    fn complete(&mut self) {
        let Some(connection) = self.connection.take() else {
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
        match &self.connection {
            Some(connection) if connection.watch.verdict() == Verdict::Expired => {
                ResponseBodyError::Idle
            }
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
        match ready!(Pin::new(&mut this.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                // hyper does not ask again once the announced length has come.
                if this.incoming.is_end_stream() {
                    this.complete();
                } else if let Some(connection) = &this.connection {
                    connection.watch.within(this.idle);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let error = this.failure(error);
                this.connection = None;
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
