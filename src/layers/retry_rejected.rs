//! Sends a request once more: after a refused credential, with the nonce that its proof lacked, when an idle connection
//! had died unnoticed, when the upstream turned it away unread, or when one of several targets failed it.
//!
//! It stands outside [`AttachCredential`](super::AttachCredential) and [`Inject`](super::Inject): inside
//! them it could only resend the token that was refused.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Method;
use pin_project_lite::pin_project;
use tower::Service;

use super::{Error, Facts, Failure, NonceAsked, Outcome, Reply, Routed, Why, grpc};
use crate::{body::TeeHandle, credentials::Rejection, upstream::SendError};

/// Replays a request at most once for each of these reasons, and once for each target of its upstream.
#[derive(Clone, Debug)]
pub struct RetryRejected<S> {
    inner: S,
}

impl<S> RetryRejected<S> {
    /// Stands before `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Routed> for RetryRejected<S>
where
    S: Service<Routed, Response = Box<Reply>, Error = Box<Failure>> + Clone,
{
    type Response = Box<Reply>;
    type Error = Box<Failure>;
    type Future = ResponseFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut routed: Routed) -> Self::Future {
        let copy = Copy::of(&mut routed);
        let service = self.inner.clone();
        ResponseFuture {
            inner: self.inner.call(routed),
            service,
            copy,
            spent: Spent::default(),
        }
    }
}

/// What a replay needs: the head as it came, and the body's other end.
struct Copy {
    routed: Routed,
    body: Option<TeeHandle>,
    idempotent: bool,
}

#[derive(Clone, Copy, Default)]
struct Spent {
    refusal: bool,
    nonce: bool,
    reset: bool,
    unread: bool,
    /// Targets that failed it.
    targets: u8,
}

impl Spent {
    fn attempts(self) -> u32 {
        let replays = [self.refusal, self.nonce, self.reset, self.unread];
        1 + replays.into_iter().map(u32::from).sum::<u32>() + u32::from(self.targets)
    }
}

impl Copy {
    /// `None` where nothing could lead to a replay.
    fn of(routed: &mut Routed) -> Option<Self> {
        let head = routed.head();
        let idempotent =
            is_idempotent(&head.method) || head.headers.contains_key("idempotency-key");
        let refusable = routed.route().credential.is_some();
        // Only HTTP/2 has a word for that.
        let upstream = &routed.route().upstream;
        let unread = upstream.may_take_http2(grpc::is_call(head.fields, &head.headers));
        // What one target did not take another may.
        let several = routed.route().targets.is_some();
        if !idempotent && !refusable && !unread && !several {
            return None;
        }
        let mut copy = Self {
            routed: routed.without_body(),
            body: None,
            idempotent,
        };
        if routed.has_body() {
            let limit = routed.route().replay_buffer;
            copy.body = Some(routed.body_mut().tee(limit)?);
        }
        Some(copy)
    }

    /// Whether another target may be tried after `error`: where this one did nothing with the request, or doing it twice
    /// does no harm. One that does not answer in time may be at it still.
    fn may_go_elsewhere(&self, error: &SendError, spent: Spent) -> bool {
        let targets = self.routed.route().targets.as_ref();
        let left = targets.is_some_and(|all| usize::from(spent.targets) < all.len());
        let harmless = self.idempotent && matches!(error, SendError::Reset { .. });
        left && (error.is_unread() || harmless)
    }

    /// The request once more, and what another replay would need.
    fn replay(self) -> Option<(Routed, Self)> {
        let mut routed = self.routed.without_body();
        routed.restart();
        let body = match self.body {
            None => None,
            Some(handle) => {
                let (tee, handle) = handle.replay()?;
                *routed.body_mut() = tee.into();
                Some(handle)
            }
        };
        Some((routed, Self { body, ..self }))
    }
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}

pin_project! {
    /// The future of [`RetryRejected`].
    pub struct ResponseFuture<S, F> {
        #[pin]
        inner: F,
        service: S,
        copy: Option<Copy>,
        spent: Spent,
    }
}

impl<S, F> Future for ResponseFuture<S, F>
where
    S: Service<Routed, Response = Box<Reply>, Error = Box<Failure>, Future = F>,
    F: Future<Output = Outcome>,
{
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut this = self.project();
        loop {
            let mut outcome = ready!(this.inner.as_mut().poll(cx));
            if let Some(routed) = next(&outcome, this.copy, this.spent) {
                // The refused answer goes first: its connection is closed or given back before the replay.
                drop(outcome);
                let inner = this.service.call(routed);
                this.inner.set(inner);
                continue;
            }
            let facts = Facts::of(&mut outcome);
            facts.attempts = this.spent.attempts();
            return Poll::Ready(match facts.refusal {
                Some(_) => explain(outcome, *this.spent),
                None => outcome,
            });
        }
    }
}

/// The request to send next, where the outcome asks for it and it can still be made.
fn next(outcome: &Outcome, copy: &mut Option<Copy>, spent: &mut Spent) -> Option<Routed> {
    let kept = copy.as_ref()?;
    let mut then = *spent;
    let (mut refused, mut failed) = (None, None);
    match outcome {
        Ok(reply) => {
            let refusal = reply.facts.refusal.as_ref()?;
            let status = reply.response.status();
            match refusal.why {
                Why::Credential(Rejection::Renewing) if !spent.refusal => {
                    then.refusal = true;
                    refused = Some((refusal.lease, status));
                }
                Why::Nonce(NonceAsked::Given) if !spent.nonce => then.nonce = true,
                _ => return None,
            }
            if !refusal.undone && !kept.idempotent {
                return None;
            }
        }
        Err(failure) => {
            let Error::Upstream(error) = &failure.error else {
                return None;
            };
            failed = failure.facts.target;
            match error {
                SendError::Reset { reused: true, .. } if kept.idempotent && !spent.reset => {
                    then.reset = true;
                }
                // Nothing was done with it: whatever the method.
                SendError::Unprocessed(_) if !spent.unread => then.unread = true,
                error if failed.is_some() && kept.may_go_elsewhere(error, *spent) => {
                    then.targets += 1;
                }
                _ => return None,
            }
        }
    }
    let mut kept = copy.take()?;
    if let Some(target) = failed {
        kept.routed.mark_tried(target);
    }
    let (mut routed, rest) = kept.replay()?;
    if let Some((lease, status)) = refused {
        routed.mark_refused(lease, status);
    }
    if then.reset {
        routed.mark_died();
    }
    *copy = Some(rest);
    *spent = then;
    Some(routed)
}

/// A refusal that no replay mended is ours to explain, unless the route hands it on.
fn explain(outcome: Outcome, spent: Spent) -> Outcome {
    let mut reply = outcome?;
    let Some(refusal) = reply
        .facts
        .refusal
        .take()
        .filter(|refusal| !refusal.then_pass)
    else {
        return Ok(reply);
    };
    let detail = match refusal.why {
        Why::Credential(_) if spent.refusal => {
            "the upstream refused the credential, and a renewed one too"
        }
        Why::Credential(Rejection::NoOther) => {
            "the upstream refused the credential, and there is no other to be had now"
        }
        Why::Credential(Rejection::Renewing) => {
            "the upstream refused the credential; it is being renewed, but this request could not \
             be sent again: its body is larger than `replay_buffer`, or its method is not idempotent"
        }
        Why::Nonce(NonceAsked::Missing) => {
            "the upstream asks for a DPoP nonce, and gives none that can be used"
        }
        Why::Nonce(NonceAsked::Given) if spent.nonce => {
            "the upstream asks for a DPoP nonce again, though the proof had the one that it gave"
        }
        Why::Nonce(NonceAsked::Given) => {
            "the upstream asks for a DPoP nonce; it is known now, but this request could not be \
             sent again: its body is larger than `replay_buffer`"
        }
    };
    let credential = refusal.credential;
    let received = reply.response.status();
    let error = Error::CredentialRefused {
        credential,
        received,
        detail,
    };
    Err(Box::new(Failure {
        error,
        facts: reply.facts,
    }))
}
