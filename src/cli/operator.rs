//! Asks the admin listener of a running proxy.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

use super::{file, output::Failure, small_runtime};
use crate::{admin::ASKED, compile};

/// What the listener answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Asks the proxy that runs with this file.
pub(super) fn ask(config: Option<&Path>, method: Method, path: &str) -> Result<Answer, Failure> {
    let file = file::find(config);
    let runtime = small_runtime()?;
    let compiled = file::look(&file, &runtime, compile::load_file_without_secrets)?;
    let Some(address) = compiled.settings.admin else {
        let message = format!("{} has no `admin` listener to ask", file.display());
        return Err(Failure::usage(message).hint("give it one: `admin: 127.0.0.1:9901`"));
    };
    let asking = async { time::timeout(PATIENCE, exchange(address, method, path)).await };
    let answer = runtime.block_on(asking);
    answer
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| {
            Failure::failed(format!("no proxy answers at {address}"))
                .because(&error)
                .hint(format!("does `bearerd run {}` run?", file.display()))
        })
}

async fn exchange(address: SocketAddr, method: Method, path: &str) -> io::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(io::Error::other)?;
    let host = HeaderValue::try_from(address.to_string()).map_err(io::Error::other)?;
    request.headers_mut().insert(header::HOST, host);
    let asked = HeaderValue::from_static("1");
    request.headers_mut().insert(ASKED, asked);
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(io::Error::other)?.into_parts();
    let body = Limited::new(body, LARGEST).collect().await;
    connection.abort();
    Ok(Answer {
        status: head.status,
        body: body.map_err(io::Error::other)?.to_bytes(),
    })
}

/// Beyond what the listener itself takes.
const PATIENCE: Duration = Duration::from_secs(40);
const LARGEST: usize = 16 * 1024 * 1024;
