//! A request as the server hands it to the stack.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::Request;

use crate::{body::RequestBody, clock::Instant};

/// A request, and the connection that it came by.
#[derive(Debug)]
pub struct Inbound {
    /// What the client sent, as hyper parsed it.
    pub request: Request<RequestBody>,
    /// Who sent it, and where to.
    pub connection: Arc<Connection>,
    /// When its head was complete.
    pub received: Instant,
}

/// What is known of a client's connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// The listener's own address.
    pub local: SocketAddr,
    /// How a Host field names that address, canonical.
    pub local_host: Box<str>,
    /// How many fields the head of a request may have.
    pub fields: usize,
}

impl Connection {
    /// A connection of `peer` to `local`.
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let local_host = match local.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self {
            peer,
            local,
            local_host: local_host.into(),
            fields: usize::MAX,
        }
    }

    /// The same with a bound on the fields of a head, where hyper has none.
    pub fn with_fields(self, fields: usize) -> Self {
        Self { fields, ..self }
    }
}
