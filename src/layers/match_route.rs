//! Finds the route, and whether this caller may use it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::StatusCode;
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    Authenticated, Connection, Error, Facts, Failure, Head, InFlight, Outcome, Reply, check_login,
    early::Early,
    login::{answer, take_placeholders},
    websocket::came_by_connect,
};
use crate::{
    body::RequestBody,
    callers::Caller,
    clock::{Instant, now},
    routes::{
        Route,
        table::{Found, RequestView},
    },
    upstream::Tried,
};

/// Refuses requests that no route matches, or not for this caller.
#[derive(Clone, Debug)]
pub struct MatchRoute<S> {
    inner: S,
}

impl<S> MatchRoute<S> {
    /// Stands before `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

/// A request that a route takes.
#[derive(Debug)]
pub struct Routed {
    head: Box<Head>,
    body: RequestBody,
    connection: Arc<Connection>,
    route: Arc<Route>,
    /// Bytes of the raw path that the route's prefix matched.
    prefix: usize,
    /// When its head was complete; later, when it began again.
    received: Instant,
    /// The lease that the upstream refused and how it said so, where this is the replay.
    refused: Option<(u64, StatusCode)>,
    /// Whether its connection died, where this is the replay.
    died: bool,
    /// Who called, where the route's credential depends on it.
    caller: Caller,
    /// The targets that it was sent to in vain, where this is a replay.
    tried: Tried,
}

impl Routed {
    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Bytes of the raw path that the route's prefix matched.
    pub fn prefix(&self) -> usize {
        self.prefix
    }

    /// The client's connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether it has a body.
    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// When its head was complete; of a replay, when that began; after a wait, when that was over.
    pub fn received(&self) -> Instant {
        self.received
    }

    /// The lease that the upstream refused and how it said so, where this is the replay.
    pub fn refused(&self) -> Option<(u64, StatusCode)> {
        self.refused
    }

    /// Whether its connection died, where this is the replay.
    pub(super) fn died(&self) -> bool {
        self.died
    }

    /// Who called, where the route's credential depends on it; else nobody.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Marks it as the replay after the upstream refused `lease`.
    pub(super) fn mark_refused(&mut self, lease: u64, status: StatusCode) {
        self.refused = Some((lease, status));
    }

    /// Marks it as the replay after it was sent to `target` in vain.
    pub(super) fn mark_tried(&mut self, target: u8) {
        self.tried.add(target);
    }

    /// Marks it as the replay after its connection died.
    pub(super) fn mark_died(&mut self) {
        self.died = true;
    }

    /// The targets that it was sent to in vain.
    pub(super) fn tried(&self) -> Tried {
        self.tried
    }

    /// Marks that it begins again now: after a wait, or as a replay.
    pub(super) fn restart(&mut self) {
        self.received = now();
    }

    /// The body, to be remembered or replaced for a replay.
    pub(super) fn body_mut(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    /// The same request without its body: a replay brings one.
    pub(super) fn without_body(&self) -> Self {
        Self {
            head: self.head.clone(),
            body: RequestBody::empty(),
            connection: Arc::clone(&self.connection),
            route: Arc::clone(&self.route),
            prefix: self.prefix,
            received: self.received,
            refused: self.refused,
            died: self.died,
            caller: self.caller.clone(),
            tried: self.tried,
        }
    }

    /// Takes head and body; what is left tells where they belong.
    pub fn into_parts(self) -> (Box<Head>, RequestBody, Arc<Connection>, Arc<Route>, usize) {
        (
            self.head,
            self.body,
            self.connection,
            self.route,
            self.prefix,
        )
    }
}

impl<S> Service<Authenticated> for MatchRoute<S>
where
    S: Service<Routed, Response = Box<Reply>, Error = Box<Failure>>,
{
    type Response = Box<Reply>;
    type Error = Box<Failure>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Authenticated) -> Self::Future {
        let (route, prefix) = match find(&request) {
            Ok(found) => found,
            Err(error) => {
                return ResponseFuture {
                    inner: Early::of(Err(error)),
                    route: None,
                    caller: Some(request.caller().clone()),
                    in_flight: None,
                };
            }
        };
        let received = request.received();
        let in_flight = InFlight::new(route.metrics.clone(), received);
        let searched = request.snapshot().placeholders;
        let permitted = route.allow.permits(request.caller());
        let (mut head, body, connection, caller) = request.into_parts();
        let per_subject = route
            .credential
            .as_ref()
            .is_some_and(|it| it.subject.is_some());
        let named = if per_subject {
            caller.clone()
        } else {
            Caller::Anonymous
        };
        let mut login = || {
            if !permitted {
                return Err(Error::CallerDenied);
            }
            // Before placeholders: a client that logs in again shows the one that has expired.
            let login = check_login(&route, &head, prefix)?;
            if login.is_some() && came_by_connect(&head) {
                return Err(Error::MethodRefused);
            }
            if searched && login.is_none() {
                take_placeholders(&route, &caller, &mut head)?;
            }
            Ok(login)
        };
        let inner = match login() {
            Ok(None) => Early::of(Ok(self.inner.call(Routed {
                head,
                body,
                connection,
                route: Arc::clone(&route),
                prefix,
                received,
                refused: None,
                died: false,
                caller: named,
                tried: Tried::default(),
            }))),
            Ok(Some(login)) => Early::Own {
                answer: Box::pin(answer(Arc::clone(&route), caller.clone(), login, body)),
            },
            Err(error) => Early::of(Err(error)),
        };
        ResponseFuture {
            inner,
            route: Some(route),
            caller: Some(caller),
            in_flight: Some(in_flight),
        }
    }
}

fn find(request: &Authenticated) -> Result<(Arc<Route>, usize), Error> {
    let head = request.head();
    let view = RequestView {
        host: head.authority.as_ref().map(|authority| authority.host()),
        path: head.target.path(),
        query: head.target.query(),
        method: &head.method,
        headers: &head.headers,
    };
    match request.snapshot().table.find(&view) {
        Found::Match {
            value, prefix_len, ..
        } => Ok((Arc::clone(value), prefix_len)),
        Found::NotFound => Err(Error::RouteNotFound),
        Found::Refused(refused) => Err(Error::PathRefused(refused.to_string())),
    }
}

pin_project! {
    /// The future of [`MatchRoute`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Early<F>,
        route: Option<Arc<Route>>,
        caller: Option<Caller>,
        in_flight: Option<InFlight>,
    }
}

impl<F: Future<Output = Outcome>> Future for ResponseFuture<F> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = self.project();
        let mut outcome = ready!(this.inner.poll(cx));
        let facts = Facts::of(&mut outcome);
        facts.route = this.route.take();
        facts.caller = this.caller.take();
        facts.in_flight = this.in_flight.take();
        Poll::Ready(outcome)
    }
}
