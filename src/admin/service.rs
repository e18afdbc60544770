//! The answers of the listeners for operators.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, uri::Authority};
use http_body_util::Full;
use serde::Serialize;
use tower::{Service, ServiceBuilder};
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use super::{CredentialJson, Readiness, RouteJson, Status, Surface, rotate, views::upstreams};
use crate::{routes, telemetry::metrics};

/// Answers one connection's requests; `own` is the address it came in at, none for a unix socket.
pub(super) fn service<B: Send + 'static>(
    status: Status,
    surface: Surface,
    own: Option<SocketAddr>,
) -> impl Service<
    Request<B>,
    Response = Response<impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        // A fault in a view must not end the connection's task without a word.
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            ANSWER,
        ))
        .service_fn(move |request: Request<B>| {
            let status = status.clone();
            // The body is nobody's business, and need not be `Sync`.
            let request = request.map(|_| ());
            async move { Ok::<_, Infallible>(answer(&status, surface, own, &request).await) }
        })
}

async fn answer(
    status: &Status,
    surface: Surface,
    own: Option<SocketAddr>,
    request: &Request<()>,
) -> Response<Full<Bytes>> {
    let known = own.is_none_or(|own| is_own_name(host(request), own));
    if surface == Surface::Admin && !known {
        return text(
            StatusCode::MISDIRECTED_REQUEST,
            "this listener does not answer to that Host\n",
        );
    }
    if let (Surface::Admin, Some(name)) = (surface, rotate::asked(request)) {
        return rotate::rotate(status, name, request.headers()).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match (request.uri().path(), surface) {
        ("/livez", _) => text(StatusCode::OK, "alive\n"),
        ("/readyz", _) => match status.readiness() {
            Readiness::Ready => text(StatusCode::OK, "ready\n"),
            Readiness::Warming => text(StatusCode::SERVICE_UNAVAILABLE, "obtaining credentials\n"),
            Readiness::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        },
        ("/metrics", _) => typed(
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            status.metrics().encode(),
        ),
        ("/api/routes", Surface::Admin) => json(
            &status
                .routes()
                .iter()
                .map(|it| RouteJson::from(&**it))
                .collect::<Vec<_>>(),
        ),
        ("/api/upstreams", Surface::Admin) => json(&upstreams(&status.routes())),
        ("/api/credentials", Surface::Admin) => {
            let views = status.credentials().views();
            json(
                &views
                    .into_iter()
                    .map(CredentialJson::from)
                    .collect::<Vec<_>>(),
            )
        }
        _ => text(StatusCode::NOT_FOUND, "no such page\n"),
    }
}

/// The authority that a request is for: the target's where it has one, else Host, if there is just one.
fn host(request: &Request<()>) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none())?;
    Authority::try_from(host.as_bytes()).ok()
}

/// Whether `host` means this machine, at the listener's port or without one: what a page that had its own
/// name resolve to this machine (DNS rebinding) can't say.
fn is_own_name(host: Option<Authority>, own: SocketAddr) -> bool {
    let Some(host) = host else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let here = name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|ip| ip == own.ip() || routes::is_loopback(ip));
    here && host.port_u16().is_none_or(|port| port == own.port()) && !host.as_str().contains('@')
}

fn json<T: Serialize>(value: &T) -> Response<Full<Bytes>> {
    json_with(StatusCode::OK, value)
}

pub(super) fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => typed(status, "application/json", body),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "that can't be shown\n"),
    }
}

pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let fields = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fields {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long an answer may take; a token call can be part of it.
const ANSWER: Duration = Duration::from_secs(30);
