//! Sockets that accept: one for each worker, all on the same address.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}")]
pub struct BindError {
    /// The address of the file.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// One socket a worker for `address`; the kernel spreads connections over them.
///
/// # Errors
/// [`BindError`] where the address is in use or not ours.
pub(super) fn bind(
    address: SocketAddr,
    workers: usize,
) -> Result<Vec<std::net::TcpListener>, BindError> {
    let failed = |source| BindError { address, source };
    // With SO_REUSEPORT a second process of this user would get a share of our connections instead of an
    // error; an ordinary socket finds out first.
    let probe = socket(address, false).map_err(failed)?;
    let address = match address.port() {
        0 => probe
            .local_addr()
            .map_err(failed)?
            .as_socket()
            .unwrap_or(address),
        _ => address,
    };
    drop(probe);
    (0..workers)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect::<io::Result<_>>()
        .map_err(failed)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Hands a socket to the worker whose runtime this is called on.
pub(super) fn adopt(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    TcpListener::from_std(socket)
}

const BACKLOG: i32 = 4096;
