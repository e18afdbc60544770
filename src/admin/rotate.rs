//! `POST /api/credentials/NAME/rotate`: renews a credential now.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::{
    Status,
    service::{json_with, text},
};
use crate::credentials::Rotation;

/// The field that a request to change something has: a web page can't send it without asking first (a preflight,
/// which is refused).
pub const ASKED: &str = "x-bearerd";

/// What came of it.
#[derive(Debug, Serialize)]
struct Rotated<'a> {
    credential: &'a str,
    /// `ok`, or why it was not renewed.
    outcome: String,
    /// Where each user has a token of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Users>,
}

/// How many tokens were renewed, for how many there was none, and how many were not reached in time.
#[derive(Debug, Serialize)]
struct Users {
    renewed: usize,
    failed: usize,
    left: usize,
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
    let Some(rotation) = status.credentials().rotate(name).await else {
        return text(StatusCode::NOT_FOUND, "no such credential\n");
    };
    let code = match rotation.is_complete() {
        true => StatusCode::OK,
        false => StatusCode::BAD_GATEWAY,
    };
    let outcome = match &rotation.failure {
        Some(error) => error.detail.to_string(),
        None if rotation.left > 0 => "there was no time for all".to_owned(),
        None => "ok".to_owned(),
    };
    let Rotation {
        renewed,
        failed,
        left,
        ..
    } = rotation;
    tracing::info!(
        credential = name,
        outcome,
        renewed,
        failed,
        left,
        "renewed as an operator asked"
    );
    let users = rotation.per_subject.then_some(Users {
        renewed,
        failed,
        left,
    });
    json_with(
        code,
        &Rotated {
            credential: name,
            outcome,
            users,
        },
    )
}
