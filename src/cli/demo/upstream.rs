//! A stand-in for an upstream: demands a valid token and answers with what arrived, the token shortened.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::{
    stand_in::{Answer, json},
    tokens::Issuer,
};

/// What an upstream saw of a request.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Arrived {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body_bytes: usize,
}

/// Answers 200 and what arrived, or 401 without a valid token.
pub(super) fn echo(issuer: &Issuer, request: &Request<Bytes>) -> Answer {
    if !issuer.accepts(request.headers()) {
        let mut answer = json(
            StatusCode::UNAUTHORIZED,
            "{\"error\":\"a valid token, please\"}\n",
        );
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        return answer;
    }
    let arrived = Arrived {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| shown(name, value))
            .collect(),
        body_bytes: request.body().len(),
    };
    let body = serde_json::to_string_pretty(&arrived).unwrap_or_default();
    json(StatusCode::OK, body + "\n")
}

fn shown(name: &header::HeaderName, value: &HeaderValue) -> (String, String) {
    let value = String::from_utf8_lossy(value.as_bytes());
    let shown = match value.strip_prefix("Bearer ") {
        Some(token) if name == header::AUTHORIZATION => {
            format!("Bearer {}...", token.chars().take(6).collect::<String>())
        }
        _ => value.into_owned(),
    };
    (name.to_string(), shown)
}
