//! A small HTTP server on a free port of this machine: what the demo's other parties are made of.

use std::{convert::Infallible, io, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// What a stand-in answers.
pub(super) type Answer = Response<Full<Bytes>>;

/// Starts a server that answers with `handler`; it ends with the runtime.
pub(super) async fn start<H>(handler: H) -> io::Result<SocketAddr>
where
    H: Fn(&Request<Bytes>) -> Answer + Clone + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let answer = answer(request, handler.clone());
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { connection.await.unwrap_or_default() });
        }
    });
    Ok(address)
}

async fn answer<H: Fn(&Request<Bytes>) -> Answer>(
    request: Request<Incoming>,
    handler: H,
) -> Answer {
    let (head, body) = request.into_parts();
    match Limited::new(body, 1 << 20).collect().await {
        Ok(body) => handler(&Request::from_parts(head, body.to_bytes())),
        Err(_) => json(StatusCode::PAYLOAD_TOO_LARGE, "{}"),
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}
