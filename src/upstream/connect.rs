//! Makes one connection: resolve, TCP, TLS, and the HTTP that both sides speak.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use hyper::client::conn::{
    http1::{Builder, SendRequest},
    http2,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Http2, OutgoingBody, SendError, Upstream, allowance::Allowance, bell::Bell, dial::dial,
    heard::Heard, http2::handshake as handshake_http2, metered::Metered,
};
use crate::clock::{Verdict, Watch};

/// A connection that speaks HTTP/2.
pub(super) struct Multiplexed {
    pub(super) sender: http2::SendRequest<OutgoingBody>,
    /// What its upstream says.
    pub(super) heard: Heard,
    /// Whom it is with, where that has an address.
    pub(super) peer: Option<SocketAddr>,
}

/// Dials `upstream` for HTTP/1.1 and spawns the task that drives the connection on this worker.
///
/// The connection, and whom it is with, where that has an address.
pub(super) async fn connect(
    upstream: &Upstream,
    watch: &Watch,
    allowance: &Allowance,
    bell: &Bell,
) -> Result<(SendRequest<OutgoingBody>, Option<SocketAddr>), SendError> {
    let socket = dial(upstream, upstream.tls().is_some()).await?;
    let peer = socket.peer();
    let made = match upstream.tls() {
        None => handshake(socket, watch, allowance, bell).await?,
        Some((connector, name)) => {
            let tls = connector
                .connect(name.clone(), socket)
                .await
                .map_err(SendError::Tls)?;
            handshake(tls, watch, allowance, bell).await?
        }
    };
    Ok((made, peer))
}

/// Dials `upstream` for HTTP/2; `None` where it speaks HTTP/1.1 alone.
pub(super) async fn connect_multiplexed(
    upstream: &Upstream,
    watch: &Watch,
) -> Result<Option<Multiplexed>, SendError> {
    let socket = dial(upstream, true).await?;
    let peer = socket.peer();
    let (sender, heard) = match upstream.tls_for_http2() {
        None => handshake_http2(socket, watch).await?,
        Some((connector, name)) => {
            let tls = connector
                .connect(name.clone(), socket)
                .await
                .map_err(SendError::Tls)?;
            let agreed = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            if !agreed && upstream.config().http2 != Http2::PriorKnowledge {
                return Ok(None);
            }
            handshake_http2(tls, watch).await?
        }
    };
    Ok(Some(Multiplexed {
        sender,
        heard,
        peer,
    }))
}

async fn handshake<I>(
    io: I,
    watch: &Watch,
    allowance: &Allowance,
    bell: &Bell,
) -> Result<SendRequest<OutgoingBody>, SendError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let meter = allowance.clone();
    let (sender, connection) = Builder::new()
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(Metered { io, meter }))
        .await
        .map_err(|error| SendError::Protocol(Some(error)))?;
    tokio::spawn(Watched {
        connection: connection.with_upgrades(),
        watch: watch.share(),
        bell: bell.clone(),
        waker: None,
    });
    Ok(sender)
}

/// Drives a connection until it ends, is switched to another protocol, or its watch says so; dropping it closes the
/// socket.
struct Watched<C> {
    connection: C,
    watch: Watch,
    bell: Bell,
    /// The bell's, once the task's is known.
    waker: Option<Waker>,
}

impl<C: Future + Unpin> Future for Watched<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = this.waker.get_or_insert_with(|| {
            // A task's waker stays the same for its life: told once is enough.
            this.watch.wakes(cx.waker());
            this.bell.waker(cx.waker())
        });
        if this.watch.verdict() != Verdict::Live {
            return Poll::Ready(());
        }
        // Its error reaches the request that it belongs to; an idle connection's is nobody's.
        let _ = ready!(Pin::new(&mut this.connection).poll(&mut Context::from_waker(waker)));
        Poll::Ready(())
    }
}

/// Largest response head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
