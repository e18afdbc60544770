//! How an endpoint refuses: the vendors' own error shapes, as the few kinds of failure that there are.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

use crate::credentials::{
    FailureKind, FetchError, Refused, Retry,
    token_json::{self, Field, Fields},
};

/// How an answer says that the endpoint is in trouble, whoever calls it; none where it is about what was sent.
pub(in crate::credentials) fn trouble(status: StatusCode, body: &[u8]) -> Option<FailureKind> {
    let in_trouble = |kind| matches!(kind, FailureKind::Timeout | FailureKind::Failing);
    if !in_trouble(kind_of(status)) {
        return None;
    }
    let code = token_json::with_fields(body, |fields| refusal(&fields)).flatten();
    Some(failure(status, code.as_ref(), None).kind).filter(|kind| in_trouble(*kind))
}

/// Whether an answer refuses a proof for want of the server's nonce (RFC 9449 8).
pub(in crate::credentials) fn asks_nonce(status: StatusCode, body: &[u8]) -> bool {
    let error = |fields: Fields<'_>| match &fields.error {
        Field::Text(code) => code == "use_dpop_nonce",
        _ => false,
    };
    status.is_client_error() && token_json::with_fields(body, error).unwrap_or_default()
}

/// What an answer says against us, if it does.
pub(super) enum Code {
    Known(&'static str, FailureKind),
    Status(StatusCode),
    Other,
}

pub(super) fn refusal(fields: &Fields<'_>) -> Option<Code> {
    match &fields.error {
        Field::Text(text) if text.is_empty() => None,
        Field::Text(text) => Some(known_code(text)),
        Field::Number(number) => Some(status_code(*number).unwrap_or(Code::Other)),
        Field::Object { code } => Some(code.and_then(status_code).unwrap_or(Code::Other)),
        Field::List(_) => Some(Code::Other),
        Field::Null | Field::Bool(false) => match (&fields.access_token, &fields.code) {
            // `{code, message}` with a status of 200.
            (Field::Null, Field::Number(number)) => status_code(*number),
            (Field::Null, Field::Text(text)) => text.parse().ok().and_then(status_code),
            _ => None,
        },
        Field::Bool(true) => Some(Code::Other),
    }
}

fn known_code(text: &str) -> Code {
    CODES
        .iter()
        .find(|(code, _)| *code == text)
        .map_or(Code::Other, |(code, kind)| Code::Known(code, *kind))
}

fn status_code(number: f64) -> Option<Code> {
    // Only whole statuses of errors; any other number is a vendor's own.
    let whole =
        (number.fract() == 0.0 && (400.0..600.0).contains(&number)).then_some(number as u16)?;
    StatusCode::from_u16(whole).ok().map(Code::Status)
}

/// A refusal of which only the status matters.
pub(in crate::credentials) fn refused(
    status: StatusCode,
    headers: &HeaderMap,
    wall: Duration,
    detail: String,
) -> FetchError {
    let status = if status.is_success() || status.is_informational() {
        StatusCode::NOT_FOUND
    } else {
        status
    };
    FetchError {
        detail: detail.into(),
        refusal: None,
        ..failure(status, None, retry_after(headers, wall))
    }
}

pub(super) fn failure(
    status: StatusCode,
    code: Option<&Code>,
    after: Option<Duration>,
) -> FetchError {
    let answered = format!("answered {}", status.as_u16());
    let (kind, detail) = match code {
        Some(Code::Known(name, kind)) => (*kind, format!("{answered} with error {name}")),
        Some(Code::Status(inner)) if status.is_success() => (
            kind_of(*inner),
            format!("{answered} with code {} inside", inner.as_u16()),
        ),
        Some(Code::Other) if status.is_success() => {
            (FailureKind::Rejected, format!("{answered} with an error"))
        }
        _ => (kind_of(status), answered),
    };
    let retry = match kind {
        FailureKind::Rejected => Retry::Permanent,
        _ => Retry::Transient { after },
    };
    let name = match code {
        Some(Code::Known(name, _)) => Some(*name),
        _ => None,
    };
    FetchError {
        kind,
        retry,
        detail: detail.into(),
        refusal: Some(Refused {
            status: status.as_u16(),
            code: name,
        }),
        unsent: false,
    }
}

fn kind_of(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        300..400 => FailureKind::Redirect,
        408 => FailureKind::Timeout,
        429 => FailureKind::RateLimited,
        421 | 425 | 500.. => FailureKind::Failing,
        _ => FailureKind::Rejected,
    }
}

/// Seconds or a date (RFC 9110 10.2.3).
pub(in crate::credentials) fn retry_after(headers: &HeaderMap, wall: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(wall))
}

/// Error codes that mean something to us. Only these are ever shown: any other text could be an echo of the secret.
const CODES: &[(&str, FailureKind)] = &[
    ("invalid_client", FailureKind::Rejected),
    ("invalid_grant", FailureKind::Rejected),
    ("unauthorized_client", FailureKind::Rejected),
    ("invalid_scope", FailureKind::Rejected),
    ("invalid_request", FailureKind::Rejected),
    ("invalid_target", FailureKind::Rejected),
    ("unsupported_grant_type", FailureKind::Rejected),
    ("access_denied", FailureKind::Rejected),
    ("authorization_pending", FailureKind::Rejected),
    ("expired_token", FailureKind::Rejected),
    ("invalid_dpop_proof", FailureKind::Rejected),
    // Nonces pass: the next call brings the one that came with this answer.
    ("use_dpop_nonce", FailureKind::Failing),
    ("temporarily_unavailable", FailureKind::Failing),
    ("server_error", FailureKind::Failing),
    ("slow_down", FailureKind::RateLimited),
    ("rate_limited", FailureKind::RateLimited),
    ("rate_limit_exceeded", FailureKind::RateLimited),
    ("too_many_requests", FailureKind::RateLimited),
];
