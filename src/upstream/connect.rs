//! Makes one connection: resolve, TCP, TLS, and the HTTP that both sides speak.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::client::conn::{
    http1::{Builder, SendRequest},
    http2,
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    Http2, OutgoingBody, SendError, Upstream,
    allowance::{Allowance, Allowed},
    http2::handshake as handshake_http2,
};
use crate::clock::{Verdict, Watch};

/// A connection that speaks HTTP/2, and how many streams its upstream takes at once.
pub(super) type Multiplexed = (http2::SendRequest<OutgoingBody>, Arc<AtomicUsize>);

/// Dials `upstream` for HTTP/1.1 and spawns the task that drives the connection on this worker.
pub(super) async fn connect(
    upstream: &Upstream,
    watch: &Watch,
    allowance: &Allowance,
) -> Result<SendRequest<OutgoingBody>, SendError> {
    let tcp = dial(upstream).await?;
    match upstream.tls() {
        None => handshake(tcp, watch, allowance).await,
        Some((connector, name)) => {
            let tls = connector
                .connect(name.clone(), tcp)
                .await
                .map_err(SendError::Tls)?;
            handshake(tls, watch, allowance).await
        }
    }
}

/// Dials `upstream` for HTTP/2; `None` where it speaks HTTP/1.1 alone.
pub(super) async fn connect_multiplexed(
    upstream: &Upstream,
    watch: &Watch,
) -> Result<Option<Multiplexed>, SendError> {
    let tcp = dial(upstream).await?;
    let Some((connector, name)) = upstream.tls_for_http2() else {
        return handshake_http2(tcp, watch).await.map(Some);
    };
    let tls = connector
        .connect(name.clone(), tcp)
        .await
        .map_err(SendError::Tls)?;
    let agreed = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    if agreed || upstream.config().http2 == Http2::PriorKnowledge {
        handshake_http2(tls, watch).await.map(Some)
    } else {
        Ok(None)
    }
}

async fn dial(upstream: &Upstream) -> Result<TcpStream, SendError> {
    let config = upstream.config();
    let addresses = tokio::net::lookup_host((config.host.as_str(), config.port))
        .await
        .map_err(SendError::Resolve)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.take(MAX_ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                set_options(&tcp);
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(SendError::Refused(last))
}

fn set_options(tcp: &TcpStream) {
    // Heads and small bodies go out in one write each: nothing for Nagle to gather.
    let _ = tcp.set_nodelay(true);
    // Finds a dead peer also where HTTP has nothing to say for minutes.
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
}

async fn handshake<I>(
    io: I,
    watch: &Watch,
    allowance: &Allowance,
) -> Result<SendRequest<OutgoingBody>, SendError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let allowance = allowance.clone();
    let (sender, connection) = Builder::new()
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(Allowed { io, allowance }))
        .await
        .map_err(|error| SendError::Protocol(Some(error)))?;
    tokio::spawn(Watched {
        connection: connection.with_upgrades(),
        watch: watch.share(),
        told: false,
    });
    Ok(sender)
}

/// Drives a connection until it ends, is switched to another protocol, or its watch says so; dropping it closes the
/// socket.
struct Watched<C> {
    connection: C,
    watch: Watch,
    told: bool,
}

impl<C: Future + Unpin> Future for Watched<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.told {
            // A task's waker stays the same for its life: told once is enough.
            self.watch.wakes(cx.waker());
            self.told = true;
        }
        if self.watch.verdict() != Verdict::Live {
            return Poll::Ready(());
        }
        // Its error reaches the request that it belongs to; an idle connection's is nobody's.
        let _ = ready!(Pin::new(&mut self.connection).poll(cx));
        Poll::Ready(())
    }
}

/// Addresses of one name that are tried in turn.
const MAX_ADDRESSES: usize = 8;
/// A connection on which nothing came for so long is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Largest response head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
