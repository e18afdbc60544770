//! HTTP/2 toward an upstream: the handshake, a request in its form, and what an error says about a request.

use std::{
    error::Error as _,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{
    HeaderValue, Request, Uri, header,
    uri::{self, Authority, PathAndQuery},
};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{OutgoingBody, SendError, Upstream, heard::Heard, metered::Metered};
use crate::clock::{Verdict, Watch};

/// Begins HTTP/2 on `io`, and spawns the task that drives it on this worker.
pub(super) async fn handshake<I>(
    io: I,
    watch: &Watch,
) -> Result<(SendRequest<OutgoingBody>, Heard), SendError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (heard, meter) = Heard::new();
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * MAX_STREAMS as u32)
        .initial_max_send_streams(UNTOLD)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .handshake(TokioIo::new(Metered { io, meter }))
        .await
        .map_err(|error| SendError::Protocol(Some(error)))?;
    tokio::spawn(Watched {
        connection,
        watch: watch.share(),
        told: false,
    });
    Ok((sender, heard))
}

/// Drives a connection until it ends or its watch says so; dropped, it takes no more requests, and ends with the last one.
struct Watched<C> {
    connection: C,
    watch: Watch,
    told: bool,
}

impl<C: Future + Unpin> Future for Watched<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.told {
            self.watch.wakes(cx.waker());
            self.told = true;
        }
        if self.watch.verdict() != Verdict::Live {
            return Poll::Ready(());
        }
        let _ = ready!(Pin::new(&mut self.connection).poll(cx));
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
        Some(_) => uri::Scheme::HTTPS,
        None => uri::Scheme::HTTP,
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

/// Streams before the upstream has said how many it takes: more might be refused.
pub(super) const UNTOLD: usize = 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        body::RequestBody,
        upstream::{Scheme, UpstreamConfig, Upstreams},
    };

    #[test]
    fn a_request_that_was_not_sent_goes_over_http_1_1_as_it_was() {
        let config = UpstreamConfig::new(Scheme::Http, "example.com", 8080);
        let upstream = Upstreams::default().intern(config).expect("a host");
        for host in ["example.com:8080", "another.example"] {
            let request = Request::get("/a?b=c").header(header::HOST, host);
            let body = OutgoingBody::new(RequestBody::empty());
            let mut request = request.body(body).expect("a request");
            convert(&mut request, &upstream);
            assert_eq!(
                request.uri().to_string(),
                format!("http://{host}/a?b=c"),
                "the form of HTTP/2"
            );
            assert!(request.headers().is_empty());
            revert(&mut request);
            assert_eq!(request.uri(), "/a?b=c");
            assert_eq!(request.headers()[header::HOST], host);
        }
    }
}
