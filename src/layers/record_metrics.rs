//! Counts: requests in flight, answers by class, how long they took.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::StatusCode;
use pin_project_lite::pin_project;
use tower::Service;

use super::{Inbound, Reply};
use crate::{
    clock::Instant,
    telemetry::metrics::{Metrics, RouteMetrics},
};

/// Counts every request once, when its answer's body has ended or its client has left.
#[derive(Clone, Debug)]
pub struct RecordMetrics<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> RecordMetrics<S> {
    /// Counts into `metrics`.
    pub fn new(inner: S, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }
}

/// A request in flight on a route. Dropped before it was answered, it counts as aborted.
#[derive(Debug)]
pub struct InFlight {
    metrics: RouteMetrics,
    since: Instant,
    answered: Option<StatusCode>,
}

impl InFlight {
    pub(super) fn new(metrics: RouteMetrics, since: Instant) -> Self {
        metrics.started();
        Self {
            metrics,
            since,
            answered: None,
        }
    }

    /// Its answer is complete.
    pub(super) fn answered(mut self, status: StatusCode) {
        self.answered = Some(status);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let duration = self.since.elapsed();
        match self.answered {
            Some(status) => self.metrics.finished(status, duration),
            None => self.metrics.aborted(duration),
        }
    }
}

/// A reply whose body is counted.
#[derive(Debug)]
pub struct Metered(Box<Reply>);

impl Metered {
    /// The reply.
    pub fn into_reply(self) -> Box<Reply> {
        self.0
    }
}

impl<S> Service<Inbound> for RecordMetrics<S>
where
    S: Service<Inbound, Response = Box<Reply>>,
{
    type Response = Metered;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Inbound) -> Self::Future {
        let since = request.received;
        ResponseFuture {
            inner: self.inner.call(request),
            metrics: self.metrics.clone(),
            since,
        }
    }
}

pin_project! {
    /// The future of [`RecordMetrics`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        metrics: Metrics,
        since: Instant,
    }
}

impl<F, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Box<Reply>, E>>,
{
    type Output = Result<Metered, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut reply = ready!(this.inner.poll(cx))?;
        let facts = &mut reply.facts;
        let in_flight = facts
            .in_flight
            .take()
            .unwrap_or_else(|| InFlight::new(this.metrics.unrouted().clone(), *this.since));
        if let Some(code) = facts.code {
            in_flight.metrics.error(code);
        }
        if let Some(duration) = facts.upstream_duration {
            in_flight.metrics.upstream(duration);
        }
        if facts.attempts > 1 {
            this.metrics.process().replays.inc();
        }
        let status = reply.response.status();
        reply.response.body_mut().count(in_flight, status);
        Poll::Ready(Ok(Metered(reply)))
    }
}
