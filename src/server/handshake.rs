//! What comes before HTTP: who a balancer says the client is, and TLS.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{phase::FAREWELL, transport::Transport};
use crate::{
    downstream::{ClientCertificate, Proxied, ProxyHeaderError, read_header},
    layers::{ClientTls, Connection, Error, written},
};

/// A connection that speaks HTTP.
pub(super) struct Accepted {
    pub(super) transport: Transport,
    pub(super) spoken: Spoken,
    pub(super) connection: Connection,
}

/// What is known of the protocol before the first byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// Nothing: the first bytes tell.
    Either,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Why a client and we don't speak TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// It has gone before it said anything.
    #[error("the client left")]
    Left,
    #[error("the client did not finish in time")]
    Timeout,
    #[error("the client speaks no TLS")]
    Clear,
    #[error(transparent)]
    Tls(#[from] io::Error),
}

impl Accepted {
    /// A connection in clear.
    pub(super) fn clear(transport: Transport, connection: Connection) -> Self {
        Self {
            transport,
            spoken: Spoken::Either,
            connection,
        }
    }

    /// A connection whose balancer has said who its client is, within `limit`.
    ///
    /// Where it connected to is not asked: which hosts are answered depends on our own address.
    ///
    /// # Errors
    /// [`ProxyHeaderError`] where it has not.
    pub(super) async fn named(
        tcp: &mut TcpStream,
        connection: Connection,
        limit: Duration,
    ) -> Result<Connection, ProxyHeaderError> {
        let told = timeout(limit, read_header(tcp)).await;
        match told.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Proxied::For { client, .. } => Ok(connection.for_client(client)),
            Proxied::Itself => Ok(connection),
        }
    }

    /// A connection over TLS, once that is agreed on.
    ///
    /// # Errors
    /// [`HandshakeError`] where it is not, within `limit`.
    pub(super) async fn over_tls(
        tcp: TcpStream,
        connection: Connection,
        config: Arc<ServerConfig>,
        limit: Duration,
    ) -> Result<Self, HandshakeError> {
        let tls = timeout(limit, shake_hands(tcp, config))
            .await
            .map_err(|_| HandshakeError::Timeout)??;
        let session = tls.get_ref().1;
        let spoken = match session.alpn_protocol() {
            Some(b"h2") => Spoken::Http2,
            Some(_) => Spoken::Http1,
            None => Spoken::Either,
        };
        let certificate = session.peer_certificates().and_then(|shown| shown.first());
        let client = ClientTls {
            certificate: certificate.and_then(ClientCertificate::of).map(Arc::new),
        };
        Ok(Self {
            connection: connection.over_tls(client),
            transport: Transport::Tls(Box::new(tls)),
            spoken,
        })
    }
}

async fn shake_hands(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<TlsStream<TcpStream>, HandshakeError> {
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 {
        return Err(HandshakeError::Left);
    }
    if first != [HANDSHAKE] {
        if first[0].is_ascii_uppercase() {
            tell_of_tls(&mut tcp).await?;
        }
        return Err(HandshakeError::Clear);
    }
    Ok(TlsAcceptor::from(config).accept(tcp).await?)
}

/// Who speaks HTTP to a port that speaks TLS is told, in words that it understands.
async fn tell_of_tls(tcp: &mut TcpStream) -> io::Result<()> {
    let answer = written(Error::RequestInvalid(
        "this port speaks TLS: ask it by https://",
    ));
    tcp.write_all(&answer).await?;
    tcp.shutdown().await?;
    // What is left unread would make a reset of the end, and take the answer with it.
    let mut rest = tcp.take(LARGEST_REST);
    let mut nowhere = tokio::io::sink();
    let read = tokio::io::copy(&mut rest, &mut nowhere);
    let _ = timeout(FAREWELL, read).await;
    Ok(())
}

/// The type of a record that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// Bytes of a request in clear that are read away.
const LARGEST_REST: u64 = 64 * 1024;
