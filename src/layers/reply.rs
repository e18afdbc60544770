//! What comes back up the stack: the response, and what the layers learnt about the request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::{Failure, InFlight, Tunnel, access_log::Line};
use crate::{
    body::trailers,
    callers::Caller,
    credentials::Rejection,
    routes::Route,
    upstream::{self, Answer, ResponseBody, ResponseBodyError},
};

/// A response on its way to the client.
#[derive(Debug)]
pub struct Reply {
    /// What the client gets.
    pub response: Response<ReplyBody>,
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
    /// Whether it went out with a credential of the caller's own, as `overwrite: false` has it.
    pub callers_own: bool,
    /// Set where the upstream wants a nonce in the proof of a bound token.
    pub nonce: Option<NonceAsked>,
    /// Set where the upstream refused the credential.
    pub refusal: Option<Refusal>,
    /// The target that it was sent to in vain, where the upstream has several.
    pub target: Option<u8>,
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
    /// What it refused, and whether that can be mended.
    pub why: Why,
    /// It says that nothing of the request was done: it may be sent again, whatever its method.
    pub undone: bool,
    /// Whether the route hands the upstream's own answer on.
    pub then_pass: bool,
}

/// What the upstream refused of a request's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The credential itself; another one may be to be had.
    Credential(Rejection),
    /// The proof of a good token, for want of a nonce.
    Nonce(NonceAsked),
}

/// The upstream wants a nonce of its own in the proof (RFC 9449 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceAsked {
    /// It gave one.
    Given,
    /// It gave none that can be used.
    Missing,
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

/// A response's body, and who wants to know of its end.
///
/// One body and not one around the other: each would move the whole response once more.
#[derive(Debug)]
pub struct ReplyBody {
    content: Content,
    in_flight: Option<(InFlight, StatusCode)>,
    line: Option<Line>,
}

/// The upstream's body, streamed, or a short one of ours.
#[derive(Debug)]
enum Content {
    Upstream(ResponseBody),
    /// What comes in the place of a body behind a 101.
    Tunnel(Box<upstream::Tunnel>),
    Own(Option<Bytes>),
}

impl ReplyBody {
    /// The upstream's.
    pub fn upstream(answer: Answer) -> Self {
        Self::of(match answer {
            Answer::Body(body) => Content::Upstream(body),
            Answer::Tunnel(tunnel) => Content::Tunnel(tunnel),
        })
    }

    /// A body of ours; empty for none.
    pub fn own(bytes: impl Into<Bytes>) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty());
        Self::of(Content::Own(bytes))
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            in_flight: None,
            line: None,
        }
    }

    /// Where it is one of ours: all of it.
    pub fn into_own(self) -> Option<Bytes> {
        match self.content {
            Content::Own(bytes) => bytes,
            Content::Upstream(_) | Content::Tunnel(_) => None,
        }
    }

    /// Where the connection becomes a tunnel: that, and nothing is left here.
    pub fn take_tunnel(&mut self) -> Option<Tunnel> {
        if !matches!(self.content, Content::Tunnel(_)) {
            return None;
        }
        match std::mem::replace(&mut self.content, Content::Own(None)) {
            Content::Tunnel(upstream) => Some(Tunnel {
                upstream,
                in_flight: self.in_flight.take(),
                line: self.line.take(),
            }),
            _ => None,
        }
    }

    /// Ends `in_flight` when it ends.
    pub(super) fn count(&mut self, in_flight: InFlight, status: StatusCode) {
        self.in_flight = Some((in_flight, status));
        self.look();
    }

    /// Ends `line` when it ends.
    pub(super) fn log(&mut self, line: Line) {
        self.line = Some(line);
        self.look();
    }

    /// hyper does not ask a body that says it has ended.
    fn look(&mut self) {
        if self.is_end_stream() {
            self.complete();
        }
    }

    fn complete(&mut self) {
        if let Some((in_flight, status)) = self.in_flight.take() {
            in_flight.answered(status);
        }
        if let Some(line) = self.line.take() {
            line.complete();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        let frame = match &mut this.content {
            Content::Upstream(body) => ready!(Pin::new(body).poll_frame(cx)),
            Content::Tunnel(_) => None,
            Content::Own(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
        };
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(line), Some(data)) = (&mut this.line, frame.data_ref()) {
                    line.sent(data.len());
                }
                this.look();
            }
            Some(Err(_)) => {
                this.in_flight = None;
                this.line = None;
            }
            None => this.complete(),
        }
        Poll::Ready(frame.map(|frame| frame.map(trailers::clean)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Upstream(body) => body.is_end_stream(),
            Content::Tunnel(_) => false,
            Content::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Upstream(body) => body.size_hint(),
            Content::Tunnel(_) => SizeHint::default(),
            Content::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
