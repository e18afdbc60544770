//! Makes one connection: resolve, TCP, TLS, HTTP/1.1.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    OutgoingBody, SendError, Upstream,
    allowance::{Allowance, Allowed},
};
use crate::clock::{Verdict, Watch};

/// Dials `upstream` and spawns the task that drives the connection on this worker.
pub(super) async fn connect(
    upstream: &Upstream,
    watch: &Watch,
    allowance: &Allowance,
) -> Result<SendRequest<OutgoingBody>, SendError> {
    let tcp = dial(upstream).await?;
    // Heads and small bodies go out in one write each: nothing for Nagle to gather.
    let _ = tcp.set_nodelay(true);
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

async fn dial(upstream: &Upstream) -> Result<TcpStream, SendError> {
    let config = upstream.config();
    let addresses = tokio::net::lookup_host((config.host.as_str(), config.port))
        .await
        .map_err(SendError::Resolve)?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.take(MAX_ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(SendError::Refused(last))
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
/// Largest response head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
