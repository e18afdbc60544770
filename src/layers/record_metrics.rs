//! Counts: requests in flight, answers by class, how long they took.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::{Inbound, Reply, ReplyBody};
use crate::{
    clock::Instant,
    telemetry::metrics::{Metrics, RouteMetrics},
    upstream::ResponseBodyError,
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

    fn answered(mut self, status: StatusCode) {
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
pub type Metered = Reply<MeteredBody>;

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
        let Reply {
            response,
            mut facts,
        } = *ready!(this.inner.poll(cx))?;
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
        let status = response.status();
        let response: Response<_> = response.map(|body| MeteredBody::new(body, in_flight, status));
        Poll::Ready(Ok(Reply { response, facts }))
    }
}

/// Tells the metrics when it has ended.
#[derive(Debug)]
pub struct MeteredBody {
    body: ReplyBody,
    in_flight: Option<InFlight>,
    status: StatusCode,
}

impl MeteredBody {
    fn new(body: ReplyBody, in_flight: InFlight, status: StatusCode) -> Self {
        let mut body = Self {
            body,
            in_flight: Some(in_flight),
            status,
        };
        body.look();
        body
    }

    /// hyper does not ask a body that says it has ended.
    fn look(&mut self) {
        if self.body.is_end_stream()
            && let Some(in_flight) = self.in_flight.take()
        {
            in_flight.answered(self.status);
        }
    }
}

impl Body for MeteredBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => this.look(),
            None => {
                if let Some(in_flight) = this.in_flight.take() {
                    in_flight.answered(this.status);
                }
            }
            Some(Err(_)) => this.in_flight = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
