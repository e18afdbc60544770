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

use bytes::Bytes;
use http::{Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::{Facts, Inbound, MeteredBody, Reply, record_metrics::Metered};
use crate::{
    callers::Caller,
    clock::Instant,
    telemetry::access::{self, AccessRecord, Outcome},
    upstream::ResponseBodyError,
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
    type Response = Response<LoggedBody>;
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
    type Output = Result<Response<LoggedBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Reply { response, facts } = ready!(this.inner.poll(cx))?;
        let mut line = this.line.take();
        if let Some(line) = &mut line {
            line.record.status = Some(response.status());
            line.learn(facts);
        }
        Poll::Ready(Ok(response.map(|body| LoggedBody::new(body, line))))
    }
}

/// A line in the making; written when it is dropped, whatever became of the request.
#[derive(Debug)]
struct Line {
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
        record.client = Some(inbound.connection.peer);
        let received = request.body_mut().count();
        Self {
            record: Box::new(record),
            since: inbound.received,
            received,
        }
    }

    fn learn(&mut self, facts: Facts) {
        let record = &mut self.record;
        record.code = facts.code;
        record.upstream_status = facts.upstream_status;
        record.upstream_duration = facts.upstream_duration;
        record.attempts = facts.attempts;
        record.waited = facts.waited;
        if let Some(Caller::Named(name)) = facts.caller {
            record.caller = Some(name);
        }
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

/// Lets the line know how much was sent, and whether all of it was.
#[derive(Debug)]
pub struct LoggedBody {
    body: MeteredBody,
    line: Option<Line>,
}

impl LoggedBody {
    fn new(body: MeteredBody, line: Option<Line>) -> Self {
        let mut body = Self { body, line };
        body.look();
        body
    }

    fn look(&mut self) {
        if self.body.is_end_stream() {
            self.complete();
        }
    }

    fn complete(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.record.outcome = Outcome::Complete;
        }
    }
}

impl Body for LoggedBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(line), Some(data)) = (&mut this.line, frame.data_ref()) {
                    line.record.bytes_out += data.len() as u64;
                }
                this.look();
            }
            Some(Err(_)) => this.line = None,
            None => this.complete(),
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
