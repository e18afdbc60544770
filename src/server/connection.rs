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
    load::Load,
    phase::{ClientTimeouts, FAREWELL, Phase},
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
    let io = ClientIo::new(transport, spoken, Arc::clone(&phase));
    let handler = Handler::new(serving.stack, connection, Arc::clone(&phase));
    let driven = Driven {
        hyper: Hyper::Resting(Box::new((io, handler))),
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
        // Boxed: every connection would carry the room for what few need.
        End::HeadTimeout(io) => {
            serving.metrics.process().connection_errors.inc();
            Box::pin(tell_of_timeout(io)).await;
        }
        End::Idle(mut hyper) => {
            // The client is told that no request of its got lost.
            Pin::new(&mut *hyper).graceful_shutdown();
            let _ = Box::pin(tokio::time::timeout(FAREWELL, hyper)).await;
        }
    }
}

/// hyper can't say it: it has no request to answer.
async fn tell_of_timeout(mut io: ClientIo) {
    let answer = written(Error::HeadTimeout);
    let told = io.write_all(&answer);
    let _ = tokio::time::timeout(FAREWELL, told).await;
    let _ = tokio::time::timeout(FAREWELL, io.shutdown()).await;
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

/// The connection as hyper has it. Each begins as HTTP/1.1, unless TLS has agreed on HTTP/2.
///
/// hyper keeps its buffers, 16 KiB and more, also while nothing comes: most of what an idle connection would cost. So
/// by HTTP/1.1 it is there only from a request's first byte until a while after its answer.
enum Hyper<S: Stack> {
    Resting(Box<(ClientIo, Handler<S>)>),
    Http1(Box<Http1<S>>),
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
            // It is hyper that knows how a connection ends.
            this.begin();
        }
        loop {
            match &mut this.hyper {
                // What TLS has agreed on is known before anything is read.
                Hyper::Resting(_) if this.phase.speaks_http2() => this.upgrade(),
                Hyper::Resting(resting) => {
                    ready!(resting.0.poll_readable(cx));
                    this.begin();
                }
                Hyper::Http1(hyper) => {
                    if closing {
                        Pin::new(&mut **hyper).graceful_shutdown();
                    }
                    if let Poll::Ready(ended) = Pin::new(hyper).poll(cx) {
                        return Poll::Ready(this.ended(ended));
                    }
                    if this.phase.speaks_http2() {
                        this.upgrade();
                    } else if this.phase.may_rest() && !this.closing {
                        this.rest();
                    } else {
                        return Poll::Pending;
                    }
                }
                Hyper::Http2(hyper) => {
                    if this.closing {
                        // Once more does no harm: it may have become HTTP/2 only now.
                        Pin::new(&mut **hyper).graceful_shutdown();
                    }
                    return Poll::Ready(End::Closed(ready!(Pin::new(hyper).poll(cx))));
                }
                Hyper::Ended => return Poll::Ready(End::Closed(Ok(()))),
            }
        }
    }
}

impl<S: Stack> Driven<S> {
    /// Takes hyper for what comes, where the connection rests.
    fn begin(&mut self) {
        self.hyper = match std::mem::replace(&mut self.hyper, Hyper::Ended) {
            Hyper::Resting(resting) if !self.phase.speaks_http2() => {
                let (io, handler) = *resting;
                Hyper::Http1(Box::new(http1(io, handler, self.limits)))
            }
            other => other,
        };
    }

    /// Gives hyper up until something comes.
    fn rest(&mut self) {
        self.hyper = match std::mem::replace(&mut self.hyper, Hyper::Ended) {
            Hyper::Http1(hyper) => {
                let parts = hyper.into_parts();
                let mut io = parts.io.into_inner();
                // The beginning of a head that came with the request before it.
                io.put_back(&parts.read_buf);
                Hyper::Resting(Box::new((io, parts.service)))
            }
            other => other,
        };
    }

    /// Goes on as HTTP/2: the client has begun so, or TLS has agreed on it.
    fn upgrade(&mut self) {
        let (io, handler) = match std::mem::replace(&mut self.hyper, Hyper::Ended) {
            Hyper::Resting(resting) => *resting,
            Hyper::Http1(hyper) => {
                let parts = hyper.into_parts();
                (parts.io.into_inner(), parts.service)
            }
            other => return self.hyper = other,
        };
        let streams = Streams::default();
        let handler = handler.with_streams(streams.clone());
        let io = TokioIo::new(io.into_http2());
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

fn http1<S: Stack>(io: ClientIo, handler: Handler<S>, limits: HeadLimits) -> Http1<S> {
    let mut builder = http1::Builder::new();
    if limits.fields != HYPER_FIELDS {
        // Told its own default, hyper would still move from arrays on the stack to filled ones.
        builder.max_headers(limits.fields);
    }
    builder
        // The watch keeps this deadline, without a timer per request.
        .header_read_timeout(None)
        .max_header_size(limits.bytes)
        .serve_connection(TokioIo::new(io), handler)
}

/// How many fields hyper takes unless it is told otherwise.
const HYPER_FIELDS: usize = 100;
