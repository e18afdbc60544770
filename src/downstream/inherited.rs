//! Sockets that a service manager has opened for this program, by the names that it gives them.

use std::{io, net::SocketAddr, path::PathBuf};

use socket2::Socket;

/// What was passed at the start; nothing, as a rule.
#[derive(Debug, Default)]
pub struct Inherited(Vec<InheritedSocket>);

/// A socket that listens already. Several may have one name: those of one unit do.
#[derive(Debug)]
pub struct InheritedSocket {
    name: String,
    socket: Socket,
    address: InheritedAddress,
}

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InheritedAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket; the path is empty where it has none.
    Unix(PathBuf),
}

impl InheritedSocket {
    /// A socket of this name.
    ///
    /// # Errors
    /// Where it is no stream socket that listens.
    pub fn new(name: String, socket: Socket) -> io::Result<Self> {
        if !socket.is_listener()? {
            let text = "it does not listen: a socket unit needs `Accept=no`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let local = socket.local_addr()?;
        let address = match local.as_socket() {
            Some(address) => InheritedAddress::Tcp(address),
            None => InheritedAddress::Unix(local.as_pathname().unwrap_or("".as_ref()).into()),
        };
        socket.set_nonblocking(true)?;
        Ok(Self {
            name,
            socket,
            address,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> &InheritedAddress {
        &self.address
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Inherited {
    /// These, in the order in which they were passed.
    pub fn new(sockets: Vec<InheritedSocket>) -> Self {
        Self(sockets)
    }

    /// Those of one name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &InheritedSocket> {
        self.0.iter().filter(move |socket| socket.name == name)
    }

    /// Every name once, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.iter().map(|socket| &*socket.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
