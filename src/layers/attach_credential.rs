//! Leases the route's credential, waits for it if it must, and hears what the upstream thought of it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, header};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Connection, Error, Facts, Failure, Head, Outcome, Refusal, Reply, Routed};
use crate::{
    body::RequestBody,
    clock::{Instant, now},
    credentials::{CredentialError, CredentialHandle, Lease},
    routes::{OnFailure, Refused, Route},
};

/// Makes [`AttachCredential`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachCredentialLayer;

impl<S> Layer<S> for AttachCredentialLayer {
    type Service = AttachCredential<S>;

    fn layer(&self, inner: S) -> AttachCredential<S> {
        AttachCredential { inner }
    }
}

/// Hands the request on with a lease. No request waits while a usable credential is there.
#[derive(Clone, Debug)]
pub struct AttachCredential<S> {
    inner: S,
}

/// A request with what it may carry.
#[derive(Debug)]
pub struct Credentialed {
    routed: Routed,
    lease: Option<Lease>,
}

impl Credentialed {
    /// What it may carry; `None` where the route has no credential, or goes on without.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        self.routed.route()
    }

    /// Takes it apart.
    pub fn into_parts(self) -> (Head, RequestBody, Arc<Connection>, Arc<Route>, usize) {
        self.routed.into_parts()
    }
}

impl<S> Service<Routed> for AttachCredential<S>
where
    S: Service<Credentialed, Response = Reply, Error = Box<Failure>> + Clone,
{
    type Response = Reply;
    type Error = Box<Failure>;
    type Future = ResponseFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let Some(credential) = &routed.route().credential else {
            let inner = self.inner.call(Credentialed {
                routed,
                lease: None,
            });
            return ResponseFuture {
                state: State::Call { inner },
                used: None,
                waited: None,
            };
        };
        let handle = credential.handle.clone();
        if let Some(lease) = handle.try_lease() {
            let used = Some(Used {
                handle,
                lease: lease.clone(),
                route: Arc::clone(routed.route()),
            });
            let inner = self.inner.call(Credentialed {
                routed,
                lease: Some(lease),
            });
            return ResponseFuture {
                state: State::Call { inner },
                used,
                waited: None,
            };
        }
        let wait = Wait {
            lease: Box::pin(handle.lease(credential.wait)),
            since: now(),
            handle,
            // The ready service: a clone of it may not be.
            service: self.inner.clone(),
            routed: Some(routed),
        };
        ResponseFuture {
            state: State::Wait {
                wait: Some(Box::new(wait)),
            },
            used: None,
            waited: None,
        }
    }
}

pin_project! {
    /// The future of [`AttachCredential`].
    pub struct ResponseFuture<S, F> {
        #[pin]
        state: State<S, F>,
        used: Option<Used>,
        waited: Option<Duration>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        Wait { wait: Option<Box<Wait<S>>> },
        Call { #[pin] inner: F },
    }
}

/// A request without a credential at hand. Cancel safe: the fetch belongs to a task of its own.
struct Wait<S> {
    lease: Pin<Box<dyn Future<Output = Result<Lease, CredentialError>> + Send>>,
    since: Instant,
    handle: CredentialHandle,
    service: S,
    routed: Option<Routed>,
}

/// The credential that a request went out with.
struct Used {
    handle: CredentialHandle,
    lease: Lease,
    route: Arc<Route>,
}

impl<S, F> Future for ResponseFuture<S, F>
where
    S: Service<Credentialed, Response = Reply, Error = Box<Failure>, Future = F>,
    F: Future<Output = Outcome>,
{
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Call { inner } => {
                    let mut outcome = ready!(inner.poll(cx));
                    if let Some(used) = this.used.take() {
                        hear(&used, &mut outcome);
                    }
                    Facts::of(&mut outcome).waited = *this.waited;
                    return Poll::Ready(outcome);
                }
                StateProjection::Wait { wait } => {
                    let Some(waiting) = wait else {
                        return Poll::Ready(Err(Error::Internal.into()));
                    };
                    let lease = ready!(waiting.lease.as_mut().poll(cx));
                    *this.waited = Some(waiting.since.elapsed());
                    let Some((mut done, routed)) = wait
                        .take()
                        .and_then(|mut it| it.routed.take().map(|routed| (it, routed)))
                    else {
                        return Poll::Ready(Err(Error::Internal.into()));
                    };
                    let lease = match lease {
                        Ok(lease) => Some(lease),
                        Err(_) if passes_without(routed.route()) => None,
                        Err(error) => {
                            let mut outcome: Outcome = Err(Error::Credential(error).into());
                            Facts::of(&mut outcome).waited = *this.waited;
                            return Poll::Ready(outcome);
                        }
                    };
                    *this.used = lease.clone().map(|lease| Used {
                        handle: done.handle.clone(),
                        lease,
                        route: Arc::clone(routed.route()),
                    });
                    let inner = done.service.call(Credentialed { routed, lease });
                    this.state.set(State::Call { inner });
                }
            }
        }
    }
}

fn passes_without(route: &Route) -> bool {
    route
        .credential
        .as_ref()
        .is_some_and(|it| it.on_failure == OnFailure::Pass)
}

/// Tells the cache whether the upstream took the credential.
fn hear(used: &Used, outcome: &mut Outcome) {
    let Ok(reply) = outcome else { return };
    let refused = &used.route.refused;
    if is_refusal(refused, reply) {
        reply.facts.refusal = Some(Refusal {
            credential: Arc::clone(used.handle.name()),
            rejection: used.handle.reject(&used.lease),
            then_pass: refused.then_pass,
        });
    } else if !reply.response.status().is_server_error() {
        used.handle.accept(&used.lease);
    }
}

fn is_refusal(refused: &Refused, reply: &Reply) -> bool {
    refused.statuses.contains(&reply.response.status())
        || (!refused.challenge_errors.is_empty()
            && challenge_error(reply.response.headers())
                .is_some_and(|error| refused.challenge_errors.iter().any(|it| it == error)))
}

/// The `error` of a Bearer challenge (RFC 6750, 3).
fn challenge_error(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .find_map(|value| {
            let (_, after) = value.to_str().ok()?.split_once("error=")?;
            match after.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => after.split([',', ' ']).next(),
            }
        })
}
