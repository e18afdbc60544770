//! Writes one line per request when its answer's body has ended. Sees everything, our own errors too.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::{Response, header};
use pin_project_lite::pin_project;
use tower::Service;

use super::{Facts, Inbound, Reply, ReplyBody, record_metrics::Metered};
use crate::{
    callers::Caller,
    clock::Instant,
    telemetry::access::{self, AccessRecord, Outcome},
    upstream::Carried,
};

/// Does nothing where nobody reads the access log.
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
}

impl<S> AccessLog<S> {
    /// Stands before `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Inbound> for AccessLog<S>
where
    S: Service<Inbound, Response = Metered>,
{
    type Response = Response<ReplyBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Inbound) -> Self::Future {
        let line = access::access_enabled().then(|| Line::of(&mut request));
        ResponseFuture {
            inner: self.inner.call(request),
            line,
        }
    }
}

pin_project! {
    /// The future of [`AccessLog`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        line: Option<Line>,
    }
}

impl<F, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Metered, E>>,
{
    type Output = Result<Response<ReplyBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Reply {
            mut response,
            facts,
        } = *ready!(this.inner.poll(cx))?.into_reply();
        if let Some(mut line) = this.line.take() {
            line.record.status = Some(response.status());
            line.learn(facts);
            response.body_mut().log(line);
        }
        Poll::Ready(Ok(response))
    }
}

/// A line in the making; written when it is dropped, whatever became of the request.
#[derive(Debug)]
pub(super) struct Line {
    record: Box<AccessRecord>,
    since: Instant,
    received: Option<Arc<AtomicU64>>,
}

impl Line {
    fn of(inbound: &mut Inbound) -> Self {
        let request = &mut inbound.request;
        let host = request
            .uri()
            .authority()
            .map(|authority| authority.as_str());
        let host = host.or_else(|| request.headers().get(header::HOST)?.to_str().ok());
        let mut record = AccessRecord::new(request.method().clone(), request.uri(), host);
        record.client = inbound.connection.peer.address();
        let received = request.body_mut().count();
        Self {
            record: Box::new(record),
            since: inbound.received,
            received,
        }
    }

    /// So much of the answer was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.record.bytes_out += bytes as u64;
    }

    /// The request became a tunnel, which has ended.
    pub(super) fn carried(mut self, carried: &Carried) {
        self.record.bytes_in = carried.up;
        self.record.bytes_out = carried.down;
        if carried.whole {
            self.record.outcome = Outcome::Complete;
        }
    }

    /// All of the answer was sent.
    pub(super) fn complete(mut self) {
        self.record.outcome = Outcome::Complete;
    }

    fn learn(&mut self, facts: Facts) {
        let record = &mut self.record;
        record.code = facts.code;
        record.upstream_status = facts.upstream_status;
        record.upstream_duration = facts.upstream_duration;
        record.attempts = facts.attempts;
        record.waited = facts.waited;
        record.caller = facts.caller.as_ref().and_then(Caller::name).cloned();
        if let Some(route) = facts.route {
            record.route = Some(Arc::clone(&route.name));
            record.credential = route
                .credential
                .as_ref()
                .map(|it| Arc::clone(it.handle.name()));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.record.duration = self.since.elapsed();
        if let Some(received) = &self.received {
            self.record.bytes_in = received.load(Ordering::Relaxed);
        }
        access::emit(&self.record);
    }
}
