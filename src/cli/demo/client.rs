//! The legacy client of the demo: plain requests, no credential.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

/// What the client sends.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) body: Bytes,
}

/// What the client gets.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Sends one request on a connection of its own.
pub(super) async fn send(proxy: SocketAddr, plain: Plain) -> io::Result<Got> {
    let answer = time::timeout(PATIENCE, exchange(proxy, plain)).await;
    answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn exchange(proxy: SocketAddr, plain: Plain) -> io::Result<Got> {
    let stream = TcpStream::connect(proxy).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Full::new(plain.body));
    *request.method_mut() = plain.method;
    *request.uri_mut() = plain.path.parse().map_err(io::Error::other)?;
    let host = HeaderValue::try_from(proxy.to_string()).map_err(io::Error::other)?;
    request.headers_mut().insert(header::HOST, host);
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?
        .into_parts();
    let body = Limited::new(body, 1 << 20)
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    connection.abort();
    Ok(Got {
        status: head.status,
        body,
    })
}

const PATIENCE: Duration = Duration::from_secs(20);
