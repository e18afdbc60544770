//! Serves one client's connection: hyper frames it, the stack answers it, its watch ends it.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tower::Service;

use super::{
    handler::Handler,
    handshake::Accepted,
    http2::{self as ours, Streams},
    io::ClientIo,
    phase::{ClientTimeouts, FAREWELL, Load, Phase},
};
use crate::{
    clock::{Verdict, Watch},
    layers::{Error, Inbound, ReplyBody, Tunnel, written},
    telemetry::metrics::Metrics,
};

/// What every connection of a worker shares.
#[derive(Clone, Debug)]
pub(super) struct Serving<S> {
    pub(super) stack: S,
    pub(super) limits: HeadLimits,
    pub(super) streams: u32,
    pub(super) timeouts: ClientTimeouts,
    pub(super) load: Arc<Load>,
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

/// Serves a connection to its end.
pub(super) async fn serve<S: Stack>(serving: Serving<S>, accepted: Accepted, watch: Watch) {
    let Accepted {
        transport,
        spoken,
        connection,
    } = accepted;
    let phase = Phase::new(watch, serving.timeouts, serving.load);
    let io = TokioIo::new(ClientIo::new(transport, spoken, Arc::clone(&phase)));
    let handler = Handler::new(serving.stack, connection, Arc::clone(&phase));
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
        hyper: Hyper::Http1(hyper),
        phase,
        limits: serving.limits,
        streams: serving.streams,
        draining: serving.draining,
        told: false,
        closing: false,
    };
    match driven.await {
        End::Closed(Ok(())) => {}
        End::Switched(switched) => {
            let Switched {
                tunnel,
                io,
                early,
                phase,
            } = *switched;
            // Boxed: few connections become tunnels, and each would carry the room for it.
            Box::pin(tunnel.run(io, early, phase.watch())).await;
        }
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
        End::Idle(mut hyper) => {
            // The client is told that no request of its got lost.
            Pin::new(&mut *hyper).graceful_shutdown();
            let _ = tokio::time::timeout(FAREWELL, hyper).await;
        }
    }
}

/// What answers requests.
pub(super) trait Stack:
    Service<Inbound, Response = Response<ReplyBody>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Stack for S where
    S: Service<Inbound, Response = Response<ReplyBody>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

type Http1<S> = http1::Connection<TokioIo<ClientIo>, Handler<S>>;
type Http2<S> = http2::Connection<TokioIo<ClientIo>, Handler<S>, Streams>;

/// The connection as hyper has it. Each begins as HTTP/1.1, which costs nothing until something is read.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one: an allocation less for each connection"
)]
enum Hyper<S: Stack> {
    Http1(Http1<S>),
    Http2(Box<Http2<S>>),
    Ended,
}

/// Drives hyper until the connection ends, its watch ends it, or the worker drains.
struct Driven<S: Stack> {
    hyper: Hyper<S>,
    phase: Arc<Phase>,
    limits: HeadLimits,
    streams: u32,
    draining: Arc<AtomicBool>,
    told: bool,
    closing: bool,
}

enum End<S: Stack> {
    Closed(hyper::Result<()>),
    /// hyper is done with it: what follows is another protocol.
    Switched(Box<Switched>),
    /// The socket, to say so.
    HeadTimeout(ClientIo),
    /// HTTP/2 has a goodbye.
    Idle(Box<Http2<S>>),
}

struct Switched {
    tunnel: Box<Tunnel>,
    io: ClientIo,
    /// What came behind the request.
    early: Bytes,
    phase: Arc<Phase>,
}

impl<S: Stack> Future for Driven<S> {
    type Output = End<S>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End<S>> {
        let this = &mut *self;
        if !this.told {
            this.phase.watch().wakes(cx.waker());
            this.told = true;
        }
        if this.phase.watch().verdict() != Verdict::Live {
            return Poll::Ready(this.expired());
        }
        let closing = !this.closing && this.draining.load(Ordering::Relaxed);
        if closing {
            this.closing = true;
            this.phase.drain();
        }
        // What TLS has agreed on is known before anything is read.
        this.upgrade();
        if let Hyper::Http1(hyper) = &mut this.hyper {
            if closing {
                Pin::new(&mut *hyper).graceful_shutdown();
            }
            if let Poll::Ready(ended) = Pin::new(hyper).poll(cx) {
                return Poll::Ready(this.ended(ended));
            }
            this.upgrade();
        }
        let Hyper::Http2(hyper) = &mut this.hyper else {
            return Poll::Pending;
        };
        if this.closing {
            // Once more does no harm: it may have become HTTP/2 only now.
            Pin::new(&mut **hyper).graceful_shutdown();
        }
        Poll::Ready(End::Closed(ready!(Pin::new(hyper).poll(cx))))
    }
}

impl<S: Stack> Driven<S> {
    /// Goes on as HTTP/2 where the client has begun so.
    fn upgrade(&mut self) {
        if !self.phase.speaks_http2() || !matches!(self.hyper, Hyper::Http1(_)) {
            return;
        }
        let Hyper::Http1(hyper) = std::mem::replace(&mut self.hyper, Hyper::Ended) else {
            return;
        };
        let parts = hyper.into_parts();
        let streams = Streams::default();
        let handler = parts.service.with_streams(streams.clone());
        let io = TokioIo::new(parts.io.into_inner().into_http2());
        let hyper = ours::builder(streams, self.limits, self.streams).serve_connection(io, handler);
        self.hyper = Hyper::Http2(Box::new(hyper));
    }

    /// Where hyper is done because another protocol follows: that.
    fn ended(&mut self, ended: hyper::Result<()>) -> End<S> {
        let tunnel = self.phase.take_tunnel().filter(|_| ended.is_ok());
        let Some(tunnel) = tunnel else {
            return End::Closed(ended);
        };
        let Hyper::Http1(hyper) = std::mem::replace(&mut self.hyper, Hyper::Ended) else {
            return End::Closed(ended);
        };
        let parts = hyper.into_parts();
        End::Switched(Box::new(Switched {
            tunnel,
            io: parts.io.into_inner(),
            early: parts.read_buf,
            phase: Arc::clone(&self.phase),
        }))
    }

    fn expired(&mut self) -> End<S> {
        let expired = self.phase.watch().verdict() == Verdict::Expired;
        match std::mem::replace(&mut self.hyper, Hyper::Ended) {
            Hyper::Http1(hyper) if self.phase.is_in_head() => {
                End::HeadTimeout(hyper.into_parts().io.into_inner())
            }
            Hyper::Http2(hyper) if expired && self.phase.is_idle() => End::Idle(hyper),
            _ => End::Closed(Ok(())),
        }
    }
}

/// How many fields hyper takes unless it is told otherwise.
const HYPER_FIELDS: usize = 100;
