//! What comes back up the stack: the response, and what the layers learnt about the request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::{Failure, InFlight};
use crate::{
    body::trailers,
    callers::Caller,
    credentials::Rejection,
    routes::Route,
    upstream::{ResponseBody, ResponseBodyError},
};

/// A response on its way to the client.
#[derive(Debug)]
pub struct Reply<B = ReplyBody> {
    /// What the client gets.
    pub response: Response<B>,
    /// What the log and the metrics get.
    pub facts: Facts,
}

/// How a layer below [`Respond`](super::Respond) ends.
///
/// Both are boxed: a reply is moved once a layer, and one allocation costs less than the second move.
pub type Outcome = Result<Box<Reply>, Box<Failure>>;

/// What was learnt on the way; each layer adds its own on the way back.
#[derive(Debug, Default)]
pub struct Facts {
    /// The route, once there is one.
    pub route: Option<Arc<Route>>,
    /// Counts the request on its route.
    pub in_flight: Option<InFlight>,
    /// Who called, where the file has callers.
    pub caller: Option<Caller>,
    /// The code of an error of ours.
    pub code: Option<&'static str>,
    /// What the upstream answered, whatever the client got.
    pub upstream_status: Option<StatusCode>,
    /// From sending the request on to the head of the upstream's answer.
    pub upstream_duration: Option<Duration>,
    /// Set where the upstream refused the credential.
    pub refusal: Option<Refusal>,
    /// How often the request was sent on: 2 after a replay.
    pub attempts: u32,
    /// How long it waited for a credential; `None` where one was at hand.
    pub waited: Option<Duration>,
}

/// The upstream refused the credential of a request.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The credential's name.
    pub credential: Arc<str>,
    /// What the upstream refused.
    pub lease: u64,
    /// Whether another one is to be had.
    pub rejection: Rejection,
    /// Whether the route hands the upstream's own answer on.
    pub then_pass: bool,
}

impl Facts {
    /// The facts of an outcome, good or bad.
    pub fn of(outcome: &mut Outcome) -> &mut Self {
        match outcome {
            Ok(reply) => &mut reply.facts,
            Err(failure) => &mut failure.facts,
        }
    }
}

/// A response's body: the upstream's, streamed, or a short one of ours.
#[derive(Debug)]
pub enum ReplyBody {
    /// The upstream's.
    Upstream(ResponseBody),
    /// Ours.
    Own(Option<Bytes>),
}

impl ReplyBody {
    /// A body of ours; empty for none.
    pub fn own(bytes: impl Into<Bytes>) -> Self {
        Self::Own(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        match self.get_mut() {
            Self::Upstream(body) => Pin::new(body).poll_frame(cx).map_ok(trailers::clean),
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream(body) => body.is_end_stream(),
            Self::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body) => body.size_hint(),
            Self::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
