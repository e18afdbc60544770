//! HTTP/2 toward an upstream: the handshake, a request in its form, and what an error says about a request.

use std::{
    error::Error as _,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use http::{
    HeaderValue, Request, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{OutgoingBody, SendError, Upstream};
use crate::clock::{Verdict, Watch, now};

/// What an upstream has told of itself, as far as it has.
#[derive(Debug)]
pub(super) struct Told {
    /// Of the task that knows: hyper reads in another, which does not wake it for settings.
    waker: OnceLock<Waker>,
    /// How many streams it takes at once.
    most: AtomicUsize,
    /// Whether it takes extended CONNECT.
    connect: AtomicBool,
    /// Whether it has told anything.
    anything: AtomicBool,
}

impl Told {
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Whether it takes an extended CONNECT, which it says at the beginning or not at all (RFC 8441, 3).
    pub(super) async fn takes_connect(&self) -> bool {
        let until = now() + BEGINNING;
        while !self.anything.load(Ordering::Relaxed) && now() < until {
            if let Some(waker) = self.waker.get() {
                waker.wake_by_ref();
            }
            tokio::time::sleep(BEGINNING / 200).await;
        }
        self.connect.load(Ordering::Relaxed)
    }
}

/// Begins HTTP/2 on `io`, and spawns the task that drives it on this worker.
pub(super) async fn handshake<I>(
    io: I,
    watch: &Watch,
) -> Result<(SendRequest<OutgoingBody>, Arc<Told>), SendError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * MAX_STREAMS as u32)
        .initial_max_send_streams(UNTOLD)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| SendError::Protocol(Some(error)))?;
    let told = Arc::new(Told {
        waker: OnceLock::new(),
        most: AtomicUsize::new(MAX_STREAMS),
        connect: AtomicBool::new(false),
        anything: AtomicBool::new(false),
    });
    tokio::spawn(Watched {
        connection,
        upstream: Arc::clone(&told),
        watch: watch.share(),
        told: false,
    });
    Ok((sender, told))
}

/// Drives a connection until it ends or its watch says so; dropped, it takes no more requests, and ends with the last one.
struct Watched<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    connection: Connection<TokioIo<I>, OutgoingBody, TokioExecutor>,
    upstream: Arc<Told>,
    watch: Watch,
    told: bool,
}

impl<I> Future for Watched<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.told {
            self.watch.wakes(cx.waker());
            let _ = self.upstream.waker.set(cx.waker().clone());
            self.told = true;
        }
        if self.watch.verdict() != Verdict::Live {
            return Poll::Ready(());
        }
        let polled = Pin::new(&mut self.connection).poll(cx);
        let most = self.connection.current_max_send_streams();
        if most > UNTOLD {
            let connect = self.connection.is_extended_connect_protocol_enabled();
            let told = &self.upstream;
            told.most.store(most.min(MAX_STREAMS), Ordering::Relaxed);
            told.connect.store(connect, Ordering::Relaxed);
            told.anything.store(true, Ordering::Relaxed);
        }
        let _ = ready!(polled);
        Poll::Ready(())
    }
}

/// Gives a request the form that HTTP/2 wants: scheme and authority in the target, no field of a connection.
pub(super) fn convert(request: &mut Request<OutgoingBody>, upstream: &Upstream) {
    let headers = request.headers_mut();
    let host = headers.remove(header::HOST);
    headers.remove(header::TRANSFER_ENCODING);
    // The body is not held back here: hyper does not tell of a 100 in HTTP/2.
    headers.remove(header::EXPECT);
    let authority = host
        .filter(|host| host != upstream.authority())
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(match upstream.tls() {
        Some(_) => Scheme::HTTPS,
        None => Scheme::HTTP,
    });
    parts.authority = authority.or_else(|| upstream.uri_authority().cloned());
    parts.path_and_query = parts
        .path_and_query
        .or_else(|| Some(PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// Undoes [`convert`] for a request that goes over HTTP/1.1 after all.
pub(super) fn revert(request: &mut Request<OutgoingBody>) {
    let uri = std::mem::take(request.uri_mut()).into_parts();
    let host = uri
        .authority
        .and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = uri.path_and_query.map(Uri::from).unwrap_or_default();
}

/// Whether the upstream says that it did nothing with the request (RFC 9113, 8.7).
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|cause| {
        let refused = cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (cause.is_go_away() || (cause.is_reset() && refused))
    })
}

/// Whether the upstream wants the request by HTTP/1.1 (RFC 9113, 7).
pub(super) fn wants_older(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|cause| {
        cause.is_remote() && cause.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED)
    })
}

/// Whether what came is not HTTP/2, or not an answer.
pub(super) fn is_invalid(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|cause| cause.is_library() && !cause.is_io())
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// Streams before the upstream has said how many it takes: more might be refused. Others wait with hyper meanwhile, and not
/// for connections that won't be needed.
const UNTOLD: usize = 1;
/// How long an upstream may take to begin.
const BEGINNING: Duration = Duration::from_secs(1);
/// Streams of one connection at once, whatever more the upstream takes.
pub(super) const MAX_STREAMS: usize = 100;
/// What an upstream may send of one answer before it is read. All streams together have as much for each, so that
/// clients which don't read theirs never hold up the others.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Largest list of fields, in bytes as RFC 9113 counts them.
const MAX_HEAD: u32 = 64 * 1024;
/// Between two pings where nothing else comes. gRPC's servers end connections that ask more often than every five minutes;
/// the kernel's own keep-alive finds a dead one sooner.
const PING: Duration = Duration::from_secs(310);
const PONG: Duration = Duration::from_secs(20);
