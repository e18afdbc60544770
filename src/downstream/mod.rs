//! What is known of a client's connection before its first request: who is at its other end, and what TLS tells.

use std::{fmt, net::SocketAddr};

mod certificate;
mod inherited;
mod name;
mod proxy_protocol;
mod tls;

pub use self::{
    certificate::ClientCertificate,
    inherited::{Inherited, InheritedAddress, InheritedSocket},
    proxy_protocol::{Proxied, ProxyHeaderError, read_header},
    tls::{Certificate, ServerTls, ServerTlsError, TlsServers, TlsSettings, Versions},
};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program on some machine.
    Ip(SocketAddr),
    /// A program on this machine, by a unix socket: as whom it runs, as the kernel says.
    Unix {
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

impl Peer {
    /// Its address; none for a unix socket.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix { .. } => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { uid, gid } => write!(f, "unix (user {uid}, group {gid})"),
        }
    }
}
