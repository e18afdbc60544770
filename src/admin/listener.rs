//! Accepts and serves connections of operators, few at a time and not for long.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    time,
};

use super::{Status, Surface, service::service};

/// A bound listener for operators.
#[derive(Debug)]
pub enum Listener {
    /// An address.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// Serves `surface` at `listener`, for as long as it is polled.
///
/// Connections are tasks of the current runtime, 64 at most, each with a limited life.
pub async fn serve(listener: Listener, status: Status, surface: Surface) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let served = match listener.accept().await {
            Ok(Accepted::Tcp(stream, own)) => {
                spawn(stream, status.clone(), surface, Some(own), permit)
            }
            Ok(Accepted::Unix(stream)) => spawn(stream, status.clone(), surface, None, permit),
            Err(error) => {
                tracing::warn!("an operator's connection was not accepted: {error}");
                // Out of file descriptors, most likely: trying again at once would burn a core.
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        drop(served);
    }
}

fn spawn(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    status: Status,
    surface: Surface,
    own: Option<SocketAddr>,
    permit: impl Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(16 << 10)
        .serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(service(status, surface, own)),
        );
    tokio::spawn(async move {
        let _permit = permit;
        // How it ends concerns nobody: these are probes.
        let _ = time::timeout(LIFE, connection).await;
    })
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let own = stream.local_addr()?;
                Ok(Accepted::Tcp(stream, own))
            }
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

enum Accepted {
    Tcp(tokio::net::TcpStream, SocketAddr),
    Unix(tokio::net::UnixStream),
}

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// How long a client may take over a request's head, also between two requests.
const HEAD: Duration = Duration::from_secs(15);
/// How long a connection may last: scrapers come again.
const LIFE: Duration = Duration::from_secs(120);
