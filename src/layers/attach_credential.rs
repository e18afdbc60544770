//! Leases the route's credential, waits for it if it must, and hears what the upstream thought of it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    Connection, Error, Facts, Failure, Head, Outcome, Refusal, Reply, Routed, Why, challenge,
    early::Early,
    grpc, hop_by_hop,
    subject::{Whose, whose},
};
use crate::{
    body::RequestBody,
    callers::{Caller, CallerUnknown, Flight},
    clock::{Instant, now},
    credentials::{CredentialHandle, Lease},
    routes::{OnFailure, Refused, Route},
};

/// Hands the request on with a lease. No request waits while a usable credential is there.
#[derive(Clone, Debug)]
pub struct AttachCredential<S> {
    inner: S,
}

impl<S> AttachCredential<S> {
    /// Stands before `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
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

    /// When it was free to go: its head was complete, its replay began, or its wait was over.
    pub fn received(&self) -> Instant {
        self.routed.received()
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        self.routed.route()
    }

    /// What the client sent.
    pub fn headers(&self) -> &HeaderMap {
        &self.routed.head().headers
    }

    /// The same before it had a credential.
    pub(super) fn routed(&self) -> &Routed {
        &self.routed
    }

    /// Takes it apart.
    pub fn into_parts(self) -> (Box<Head>, RequestBody, Arc<Connection>, Arc<Route>, usize) {
        self.routed.into_parts()
    }
}

impl<S> Service<Routed> for AttachCredential<S>
where
    S: Service<Credentialed, Response = Box<Reply>, Error = Box<Failure>> + Clone,
{
    type Response = Box<Reply>;
    type Error = Box<Failure>;
    type Future = ResponseFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let Some(credential) = &routed.route().credential else {
            return self.send(routed, None);
        };
        let own = &routed.head().headers;
        // Not where `Connection` could name that very header, which is then taken out.
        if credential.stays_out_of(own) && !hop_by_hop::names_any(own) {
            return self.send(routed, None);
        }
        if credential.subject.is_some() {
            return self.call_for_subject(routed);
        }
        if let Some(lease) = credential.handle.try_lease_at(routed.received()) {
            return match same_again(&routed, &lease) {
                None => self.send(routed, Some(lease)),
                Some(error) => ResponseFuture::refused(error),
            };
        }
        let lease = credential.handle.lease(credential.wait);
        self.wait(routed, async { lease.await.map_err(Error::Credential) })
    }
}

impl<S> AttachCredential<S>
where
    S: Service<Credentialed, Response = Box<Reply>, Error = Box<Failure>> + Clone,
{
    fn wait(
        &self,
        routed: Routed,
        lease: impl Future<Output = Result<Lease, Error>> + Send + 'static,
    ) -> ResponseFuture<S, S::Future> {
        let wait = Wait {
            lease: Box::pin(lease),
            since: now(),
            // The ready service: a clone of it may not be.
            service: self.clone(),
            routed: Some(routed),
        };
        ResponseFuture::new(State::Wait {
            wait: Some(Box::new(wait)),
        })
    }

    /// As [`Service::call`], with the slot of the one whom the request is for.
    fn call_for_subject(&mut self, routed: Routed) -> ResponseFuture<S, S::Future> {
        let slot = match slot(routed.route(), routed.caller(), &routed.head().headers) {
            Ok(Slot::Known(slot)) => slot,
            Ok(Slot::Later(flight)) => {
                let route = Arc::clone(routed.route());
                let (caller, headers) = (routed.caller().clone(), routed.head().headers.clone());
                return self.wait(routed, after(flight, route, caller, headers));
            }
            Err(Error::Credential(_)) if passes_without(routed.route()) => {
                return self.send(routed, None);
            }
            Err(error) => return ResponseFuture::refused(error),
        };
        if let Some(lease) = slot.try_lease_at(routed.received()) {
            return match same_again(&routed, &lease) {
                None => self.send(routed, Some(lease)),
                Some(error) => ResponseFuture::refused(error),
            };
        }
        let wait = routed.route().credential.as_ref().map(|it| it.wait);
        let lease = slot.lease(wait.unwrap_or_default());
        self.wait(routed, async { lease.await.map_err(Error::Credential) })
    }
}

impl<S> AttachCredential<S>
where
    S: Service<Credentialed, Response = Box<Reply>, Error = Box<Failure>>,
{
    fn send(&mut self, routed: Routed, lease: Option<Lease>) -> ResponseFuture<S, S::Future> {
        let used = lease.clone().map(|lease| Used {
            lease,
            route: Arc::clone(routed.route()),
        });
        let inner = self.inner.call(Credentialed { routed, lease });
        ResponseFuture {
            used,
            ..ResponseFuture::new(State::Call {
                inner: Early::of(Ok(inner)),
            })
        }
    }
}

/// The slot of the one whom a request is for.
enum Slot {
    Known(CredentialHandle),
    Later(Flight),
}

fn slot(route: &Route, caller: &Caller, headers: &HeaderMap) -> Result<Slot, Error> {
    let credential = route.credential.as_ref().ok_or(Error::Internal)?;
    let from = credential.subject.as_ref().ok_or(Error::Internal)?;
    match whose(from, caller, headers)? {
        Whose::Later(flight) => Ok(Slot::Later(flight)),
        Whose::Known(subject) => {
            let slot = credential.handle.of(&subject);
            slot.map(Slot::Known).map_err(Error::Credential)
        }
    }
}

/// The lease of a request whose subject can be told only once newer keys are here.
async fn after(
    flight: Flight,
    route: Arc<Route>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Lease, Error> {
    flight.await;
    let wait = route.credential.as_ref().map(|it| it.wait);
    match slot(&route, &caller, &headers)? {
        Slot::Known(slot) => {
            let lease = slot.lease(wait.unwrap_or_default()).await;
            lease.map_err(Error::Credential)
        }
        Slot::Later(_) => Err(Error::CallerUnknown(CallerUnknown::NoKeys)),
    }
}

/// A renewal that brought the very token that was refused: sent again, it would be refused again.
fn same_again(routed: &Routed, lease: &Lease) -> Option<Error> {
    let (refused, received) = routed.refused()?;
    let route = routed.route();
    if refused != lease.id() || route.refused.then_pass {
        return None;
    }
    Some(Error::CredentialRefused {
        credential: Arc::clone(route.credential.as_ref()?.handle.name()),
        received,
        detail: "the upstream refused the credential, and its renewal brought the same one",
    })
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
        Call { #[pin] inner: Early<F> },
    }
}

/// A request without a credential at hand. Cancel safe: the fetch belongs to a task of its own.
struct Wait<S> {
    lease: Pin<Box<dyn Future<Output = Result<Lease, Error>> + Send>>,
    since: Instant,
    service: AttachCredential<S>,
    routed: Option<Routed>,
}

/// The credential that a request went out with.
struct Used {
    lease: Lease,
    route: Arc<Route>,
}

impl<S, F> ResponseFuture<S, F> {
    fn new(state: State<S, F>) -> Self {
        Self {
            state,
            used: None,
            waited: None,
        }
    }

    fn refused(error: Error) -> Self {
        Self::new(State::Call {
            inner: Early::of(Err(error)),
        })
    }
}

impl<S, F> Future for ResponseFuture<S, F>
where
    S: Service<Credentialed, Response = Box<Reply>, Error = Box<Failure>, Future = F>,
    F: Future<Output = Outcome>,
{
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let mut this = self.as_mut().project();
            let mut outcome = match this.state.as_mut().project() {
                StateProjection::Call { inner } => ready!(inner.poll(cx)),
                StateProjection::Wait { wait } => {
                    let Some(waiting) = wait else {
                        return Poll::Ready(Err(Error::Internal.into()));
                    };
                    let lease = ready!(waiting.lease.as_mut().poll(cx));
                    let waited = Some(waiting.since.elapsed());
                    let next = wait.take().and_then(|waiting| waiting.resume(lease));
                    self.set(Self {
                        waited,
                        ..next.unwrap_or_else(|| Self::refused(Error::Internal))
                    });
                    continue;
                }
            };
            if let Some(used) = this.used.take() {
                hear(&used, &mut outcome);
            }
            Facts::of(&mut outcome).waited = *this.waited;
            return Poll::Ready(outcome);
        }
    }
}

impl<S, F> Wait<S>
where
    S: Service<Credentialed, Response = Box<Reply>, Error = Box<Failure>, Future = F>,
{
    /// What comes after the wait; `None` where that has come already.
    #[expect(
        clippy::boxed_local,
        reason = "it stands in a box: moving it out would copy it"
    )]
    fn resume(mut self: Box<Self>, lease: Result<Lease, Error>) -> Option<ResponseFuture<S, F>> {
        let mut routed = self.routed.take()?;
        routed.restart();
        Some(match lease {
            Ok(lease) => match same_again(&routed, &lease) {
                None => self.service.send(routed, Some(lease)),
                Some(error) => ResponseFuture::refused(error),
            },
            Err(Error::Credential(_)) if passes_without(routed.route()) => {
                self.service.send(routed, None)
            }
            Err(error) => ResponseFuture::refused(error),
        })
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
    let Some(credential) = &used.route.credential else {
        return;
    };
    // What the upstream thinks of a caller's own says nothing of ours.
    if reply.facts.callers_own {
        return;
    }
    let refused = &used.route.refused;
    let why = match reply.facts.nonce {
        // Nothing is said of the token.
        Some(asked) => Some(Why::Nonce(asked)),
        None => is_refusal(refused, reply)
            .then(|| Why::Credential(credential.handle.reject(&used.lease))),
    };
    if let Some(why) = why {
        reply.facts.refusal = Some(Refusal {
            credential: Arc::clone(credential.handle.name()),
            lease: used.lease.id(),
            why,
            undone: is_undone(&reply.response),
            then_pass: refused.then_pass,
        });
    } else if !is_fault(&reply.response) {
        credential.handle.accept(&used.lease);
    }
}

/// A 401, or gRPC's word for it.
fn is_undone<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED
        || grpc::trailers_only(response) == Some(grpc::UNAUTHENTICATED)
}

/// Whether an answer tells nothing of the credential.
fn is_fault<B>(response: &Response<B>) -> bool {
    response.status().is_server_error() || grpc::trailers_only(response).is_some_and(grpc::is_fault)
}

fn is_refusal(refused: &Refused, reply: &Reply) -> bool {
    refused.statuses.contains(&reply.response.status())
        || grpc::trailers_only(&reply.response)
            .is_some_and(|status| refused.grpc_statuses.contains(&status))
        || (!refused.challenge_errors.is_empty()
            && challenge::errors(reply.response.headers())
                .next()
                .is_some_and(|error| refused.challenge_errors.iter().any(|it| it == error)))
}
