//! Serves one client's connection: hyper frames it, the stack answers it, its watch ends it.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tower::Service;

use super::io::{ClientIo, ClientTimeouts, Phase};
use crate::{
    body::RequestBody,
    clock::{Verdict, Watch, now},
    layers::{Connection, Error, Inbound, ReplyBody, written},
    telemetry::metrics::Metrics,
    upstream::ResponseBodyError,
};

/// What every connection of a worker shares.
#[derive(Clone, Debug)]
pub(super) struct Serving<S> {
    pub(super) stack: S,
    pub(super) limits: HeadLimits,
    pub(super) timeouts: ClientTimeouts,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) metrics: Metrics,
}

/// How large the head of a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes, request line included.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// Serves `tcp` to its end.
pub(super) async fn serve<S>(
    serving: Serving<S>,
    tcp: TcpStream,
    connection: Connection,
    watch: Watch,
) where
    S: Service<Inbound, Response = Response<ReplyBody>, Error = Infallible, Future: Send>,
{
    let _ = tcp.set_nodelay(true);
    let phase = Phase::new(watch, serving.timeouts);
    let io = TokioIo::new(ClientIo::new(tcp, Arc::clone(&phase)));
    let handler = Handler {
        stack: Mutex::new(serving.stack),
        connection: Arc::new(connection),
        phase: Arc::clone(&phase),
    };
    let mut builder = http1::Builder::new();
    if serving.limits.fields != HYPER_FIELDS {
        // Told its own default, hyper would still move from arrays on the stack to filled ones.
        builder.max_headers(serving.limits.fields);
    }
    let hyper = builder
        // The watch keeps this deadline, without a timer per request.
        .header_read_timeout(None)
        .max_header_size(serving.limits.bytes)
        .serve_connection(io, handler);
    let driven = Driven {
        hyper: Some(hyper),
        phase,
        draining: serving.draining,
        told: false,
        closing: false,
    };
    match driven.await {
        End::Closed(Ok(())) => {}
        End::Closed(Err(_)) => {
            serving.metrics.process().connection_errors.inc();
        }
        End::HeadTimeout(mut io) => {
            serving.metrics.process().connection_errors.inc();
            // hyper can't say it: it has no request to answer.
            let answer = written(Error::HeadTimeout);
            let told = io.write_all(&answer);
            let _ = tokio::time::timeout(FAREWELL, told).await;
            let _ = tokio::time::timeout(FAREWELL, io.shutdown()).await;
        }
    }
}

type Hyper<S> = http1::Connection<TokioIo<ClientIo>, Handler<S>>;

/// Drives hyper until the connection ends, its watch ends it, or the worker drains.
struct Driven<S>
where
    S: Service<Inbound, Response = Response<ReplyBody>, Error = Infallible>,
{
    hyper: Option<Hyper<S>>,
    phase: Arc<Phase>,
    draining: Arc<AtomicBool>,
    told: bool,
    closing: bool,
}

enum End {
    Closed(hyper::Result<()>),
    /// The socket, to say so.
    HeadTimeout(ClientIo),
}

impl<S> Future for Driven<S>
where
    S: Service<Inbound, Response = Response<ReplyBody>, Error = Infallible>,
{
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = &mut *self;
        if !this.told {
            this.phase.watch().wakes(cx.waker());
            this.told = true;
        }
        let Some(hyper) = &mut this.hyper else {
            return Poll::Ready(End::Closed(Ok(())));
        };
        if this.phase.watch().verdict() != Verdict::Live {
            return Poll::Ready(match this.hyper.take() {
                Some(hyper) if this.phase.is_in_head() => {
                    End::HeadTimeout(hyper.into_parts().io.into_inner())
                }
                _ => End::Closed(Ok(())),
            });
        }
        if !this.closing && this.draining.load(Ordering::Relaxed) {
            this.closing = true;
            Pin::new(&mut *hyper).graceful_shutdown();
        }
        Poll::Ready(End::Closed(ready!(Pin::new(hyper).poll(cx))))
    }
}

/// The stack as hyper calls it.
struct Handler<S> {
    /// Requests of one connection come one after the other: the lock is never waited for.
    stack: Mutex<S>,
    connection: Arc<Connection>,
    phase: Arc<Phase>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Handler<S>
where
    S: Service<Inbound, Response = Response<ReplyBody>, Error = Infallible>,
{
    type Response = Response<ServedBody>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.phase.called();
        let knows_chunks = request.version() != Version::HTTP_10;
        let inbound = Inbound {
            request: request.map(RequestBody::new),
            connection: Arc::clone(&self.connection),
            received: now(),
        };
        // The stack is always ready.
        let mut stack = self.stack.lock().unwrap_or_else(PoisonError::into_inner);
        Answering {
            inner: stack.call(inbound),
            knows_chunks,
            phase: Some(Arc::clone(&self.phase)),
        }
    }
}

pin_project! {
    /// The future of one answer.
    struct Answering<F> {
        #[pin]
        inner: F,
        knows_chunks: bool,
        phase: Option<Arc<Phase>>,
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<ReplyBody>, Infallible>>,
{
    type Output = Result<Response<ServedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let phase = this.phase.take();
        let open_ended = !*this.knows_chunks && response.body().size_hint().exact().is_none();
        if open_ended && let Some(phase) = &phase {
            phase.set_open_ended(true);
        }
        Poll::Ready(Ok(response.map(|body| ServedBody {
            body,
            open_ended,
            phase,
        })))
    }
}

/// Tells the connection when the answer is complete: hyper drops the body then.
struct ServedBody {
    body: ReplyBody,
    /// Only the connection's end delimits it.
    open_ended: bool,
    phase: Option<Arc<Phase>>,
}

impl Drop for ServedBody {
    fn drop(&mut self) {
        if let Some(phase) = &self.phase {
            phase.answered();
        }
    }
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let ended = match &frame {
            None => true,
            Some(Ok(_)) => this.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if this.open_ended
            && ended
            && let Some(phase) = &this.phase
        {
            phase.set_open_ended(false);
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

/// How many fields hyper takes unless it is told otherwise.
const HYPER_FIELDS: usize = 100;
/// For saying so.
const FAREWELL: Duration = Duration::from_secs(1);
