//! `POST /api/credentials/NAME/rotate`: renews a credential now.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::{
    Status,
    service::{json_with, text},
};

/// The field that a request to change something has: a web page can't send it without asking first (a preflight,
/// which is refused).
pub const ASKED: &str = "x-bearerd";

/// What came of it.
#[derive(Debug, Serialize)]
struct Rotated<'a> {
    credential: &'a str,
    /// `ok`, or why it was not renewed.
    outcome: String,
}

/// The credential that is to be renewed; none where the request is for something else.
pub(super) fn asked<B>(request: &Request<B>) -> Option<&str> {
    let name = request.uri().path().strip_prefix("/api/credentials/")?;
    let name = name.strip_suffix("/rotate")?;
    (*request.method() == Method::POST && !name.contains('/')).then_some(name)
}

pub(super) async fn rotate(
    status: &Status,
    name: &str,
    headers: &HeaderMap,
) -> Response<Full<Bytes>> {
    let from_a_page =
        headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    if from_a_page || !headers.contains_key(ASKED) {
        return text(
            StatusCode::FORBIDDEN,
            "not for web pages; others say so by the header `X-Bearerd: 1`\n",
        );
    }
    let (code, outcome) = match status.credentials().rotate(name).await {
        None => return text(StatusCode::NOT_FOUND, "no such credential\n"),
        Some(Ok(())) => (StatusCode::OK, "ok".to_owned()),
        Some(Err(error)) => (StatusCode::BAD_GATEWAY, error.detail.to_string()),
    };
    tracing::info!(credential = name, outcome, "renewed as an operator asked");
    let credential = name;
    json_with(
        code,
        &Rotated {
            credential,
            outcome,
        },
    )
}
