//! Sends one request to a listener of this machine, on a connection of its own.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

/// What the listener answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// The answer, if it is whole within `patience`.
pub(super) async fn send(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> io::Result<Answer> {
    time::timeout(patience, exchange(address, request)).await?
}

async fn exchange(address: SocketAddr, mut request: Request<Full<Bytes>>) -> io::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let host = HeaderValue::try_from(address.to_string()).map_err(io::Error::other)?;
    request.headers_mut().insert(header::HOST, host);
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(io::Error::other)?.into_parts();
    let body = Limited::new(body, LARGEST).collect().await;
    connection.abort();
    Ok(Answer {
        status: head.status,
        body: body.map_err(io::Error::other)?.to_bytes(),
    })
}

const LARGEST: usize = 16 * 1024 * 1024;
