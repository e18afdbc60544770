//! A request as the server hands it to the stack.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::Request;

use crate::{
    body::RequestBody,
    callers::Shown,
    clock::Instant,
    downstream::{ClientCertificate, Peer},
    routes::is_loopback,
};

/// A request, and the connection that it came by.
#[derive(Debug)]
pub struct Inbound {
    /// What the client sent, as hyper parsed it.
    pub request: Request<RequestBody>,
    /// Who sent it, and where to.
    pub connection: Arc<Connection>,
    /// When its head was complete.
    pub received: Instant,
    /// Whether more requests are under way than are taken at once.
    pub too_many: bool,
}

/// What is known of a client's connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who is at its other end.
    pub peer: Peer,
    /// The listener's own address; none of a unix socket.
    pub local: Option<SocketAddr>,
    /// How a Host field names that address, canonical.
    pub local_host: Box<str>,
    /// What TLS tells of the client; none in clear.
    pub tls: Option<ClientTls>,
    /// How many fields the head of a request may have.
    pub fields: usize,
}

/// What TLS tells of a client.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// The certificate that it showed, verified.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Connection {
    /// A connection of `peer` to `local`, in clear.
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let local_host = match local.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self {
            peer: Peer::Ip(peer),
            local: Some(local),
            local_host: local_host.into(),
            tls: None,
            fields: usize::MAX,
        }
    }

    /// A connection by a unix socket, of a program that runs as this user and group.
    pub fn of_unix(uid: u32, gid: u32) -> Self {
        Self {
            peer: Peer::Unix { uid, gid },
            local: None,
            local_host: "localhost".into(),
            tls: None,
            fields: usize::MAX,
        }
    }

    /// The same with a bound on the fields of a head, where hyper has none.
    pub fn with_fields(self, fields: usize) -> Self {
        Self { fields, ..self }
    }

    /// The same on behalf of a client that a balancer has named.
    pub fn for_client(self, client: SocketAddr) -> Self {
        Self {
            peer: Peer::Ip(client),
            ..self
        }
    }

    /// The same over TLS.
    pub fn over_tls(self, tls: ClientTls) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// Whether only programs of this machine can have made it.
    pub fn is_local(&self) -> bool {
        self.local.is_none_or(|local| is_loopback(local.ip()))
    }

    /// How a client names us that knows nothing but where it connected to.
    pub fn own_host(&self) -> String {
        self.local
            .map_or_else(|| "localhost".to_owned(), |local| local.to_string())
    }

    /// The scheme by which the client reached us.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// What of it tells who calls.
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            certificate: self.tls.as_ref().and_then(|tls| tls.certificate.as_deref()),
            peer: Some(self.peer),
        }
    }
}
