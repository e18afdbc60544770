//! A request as the server hands it to the stack.

use std::{net::SocketAddr, sync::Arc};

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
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// The listener's own address.
    pub local: SocketAddr,
}
