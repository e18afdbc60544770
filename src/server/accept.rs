//! Sockets of a worker that accept, and what is known of whoever comes.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::{listener::Listening, transport::Transport};
use crate::layers::Connection;

/// A socket that accepts, of a worker's runtime.
#[derive(Debug)]
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client that has connected.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) transport: Transport,
    pub(super) connection: Connection,
}

impl Accepting {
    /// Hands a socket to the worker whose runtime this is called on.
    pub(super) fn adopt(socket: Listening) -> io::Result<Self> {
        Ok(match socket {
            Listening::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket)?),
            Listening::Unix(socket) => Self::Unix(UnixListener::from_std(socket)?),
        })
    }

    /// Waits for the next client.
    ///
    /// # Errors
    /// What the system says; for want of descriptors, above all.
    pub(super) async fn accept(&self) -> io::Result<Arrived> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, peer) = listener.accept().await?;
                Ok(Arrived::by_tcp(tcp, peer))
            }
            Self::Unix(listener) => Arrived::by_unix(listener.accept().await?.0),
        }
    }

    /// The clients that wait in the kernel's queue: with the socket they would be reset.
    pub(super) fn into_rest(self) -> Box<dyn Iterator<Item = Arrived>> {
        // As the kernel has them: the runtime may not have heard of them yet.
        match self {
            Self::Tcp(listener) => {
                let listener = listener.into_std();
                Box::new(std::iter::from_fn(move || {
                    let (tcp, peer) = listener.as_ref().ok()?.accept().ok()?;
                    tcp.set_nonblocking(true).ok()?;
                    Some(Arrived::by_tcp(TcpStream::from_std(tcp).ok()?, peer))
                }))
            }
            Self::Unix(listener) => {
                let listener = listener.into_std();
                Box::new(std::iter::from_fn(move || {
                    let (unix, _) = listener.as_ref().ok()?.accept().ok()?;
                    unix.set_nonblocking(true).ok()?;
                    Arrived::by_unix(UnixStream::from_std(unix).ok()?).ok()
                }))
            }
        }
    }
}

impl Arrived {
    fn by_tcp(tcp: TcpStream, peer: SocketAddr) -> Self {
        // Fails only for one that is gone already.
        let local = tcp.local_addr().unwrap_or(peer);
        let _ = tcp.set_nodelay(true);
        Self {
            transport: Transport::Tcp(tcp),
            connection: Connection::new(peer, local),
        }
    }

    fn by_unix(unix: UnixStream) -> io::Result<Self> {
        let peer = unix.peer_cred()?;
        Ok(Self {
            transport: Transport::Unix(unix),
            connection: Connection::of_unix(peer.uid(), peer.gid()),
        })
    }
}
