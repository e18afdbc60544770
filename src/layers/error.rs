//! Everything that can end a request of ours early: one closed enum, one code and status each.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::Facts;
use crate::{
    callers::{CallerUnknown, PlaceholderRefused},
    credentials::{CredentialError, CredentialErrorKind},
    upstream::SendError,
};

/// Why a request was not answered by its upstream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The head of the request is not one that may be passed on.
    #[error("{0}")]
    RequestInvalid(&'static str),
    /// More requests are under way than the limits allow.
    #[error("more requests are under way than this proxy takes at once")]
    Overloaded,
    /// The head has more fields than are taken.
    #[error("the head of the request has too many fields")]
    HeadTooLarge,
    /// The head did not come in time. Known to the connection alone, below which there is no request yet.
    #[error("the head of the request did not come in time")]
    HeadTimeout,
    /// CONNECT and TRACE are never passed on.
    #[error("this method is not served")]
    MethodRefused,
    /// The Host is not one that this listener answers to.
    #[error("this listener does not answer to that host; name it under `hosts:`")]
    HostUnknown,
    /// A browser sent it on behalf of another site.
    #[error("a web page of another origin may not use this proxy")]
    OriginRefused,
    /// The path may mean one thing to us and another to the upstream.
    #[error("{0}")]
    PathRefused(String),
    /// The request went through this proxy already.
    #[error("the request has been through this proxy before")]
    LoopDetected,
    /// The file has callers, and this is none of them.
    #[error(transparent)]
    CallerUnknown(CallerUnknown),
    /// A caller of the file, but not one that the route allows.
    #[error("this caller may not use the route")]
    CallerDenied,
    /// The path is one at which the vendor hands out tokens.
    #[error(
        "this is a token endpoint of the vendor, which clients may not use with the proxy's credential"
    )]
    TokenEndpointDenied,
    /// A placeholder that is not good for this request.
    #[error("{0}")]
    Placeholder(PlaceholderRefused),
    /// A placeholder where none is taken.
    #[error("{0}")]
    PlaceholderMisplaced(&'static str),
    /// The request does not say whose credential it is to carry, where it has to.
    #[error("{0}")]
    SubjectInvalid(&'static str),
    /// The caller may not say whose, or its token does not.
    #[error("{0}")]
    SubjectDenied(&'static str),
    /// No route matches.
    #[error("no route matches this request")]
    RouteNotFound,
    /// There is no credential to send.
    #[error("{}", .0.detail)]
    Credential(CredentialError),
    /// The credential can't be put on the request as the file says.
    #[error("the credential can't be injected: {0}")]
    Injection(String),
    /// The upstream refused the credential, and a renewed one too.
    #[error("{detail}")]
    CredentialRefused {
        /// The credential's name.
        credential: Arc<str>,
        /// What the upstream answered.
        received: StatusCode,
        /// Why no replay helped.
        detail: &'static str,
    },
    /// Nothing complete came back.
    #[error(transparent)]
    Upstream(#[from] SendError),
    /// A defect of ours.
    #[error("an unexpected condition in the proxy")]
    Internal,
}

/// An [`Error`] with what was learnt on the way.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// For the log and the body of the answer.
    pub facts: Facts,
}

impl From<Error> for Box<Failure> {
    fn from(error: Error) -> Self {
        Self::new(Failure {
            error,
            facts: Facts::default(),
        })
    }
}

/// How an [`Error`] looks to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appearance {
    /// The stable code of the contract.
    pub code: &'static str,
    /// Its HTTP status.
    pub status: StatusCode,
    /// One line for people, the same for each error of this code.
    pub title: &'static str,
    /// The error type of `Proxy-Status` (RFC 9209, 2.3).
    pub proxy_status: &'static str,
    /// Which conversation failed, where it was not the client's.
    pub details: Option<&'static str>,
}

impl Error {
    /// Its code, status and words. Exhaustive: an error without a status does not compile.
    #[rustfmt::skip]
    pub fn appearance(&self) -> Appearance {
        use StatusCode as S;
        let row = |code, status, title, proxy_status, details| {
            Appearance { code, status, title, proxy_status, details }
        };
        match self {
            Self::RequestInvalid(_) => row("request_invalid", S::BAD_REQUEST, "Invalid request", "http_request_error", None),
            Self::Overloaded => row("overloaded", S::SERVICE_UNAVAILABLE, "Too many requests at once", "connection_limit_reached", None),
            Self::HeadTooLarge => row("header_too_large", S::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head too large", "http_request_error", None),
            Self::HeadTimeout => row("request_timeout", S::REQUEST_TIMEOUT, "Request head too slow", "http_request_error", None),
            Self::MethodRefused => row("method_refused", S::METHOD_NOT_ALLOWED, "Method not served", "http_request_denied", None),
            Self::HostUnknown => row("host_unknown", S::MISDIRECTED_REQUEST, "Unknown host", "http_request_denied", None),
            Self::OriginRefused => row("origin_refused", S::FORBIDDEN, "Foreign origin", "http_request_denied", None),
            Self::PathRefused(_) => row("path_refused", S::BAD_REQUEST, "Ambiguous path", "http_request_error", None),
            Self::LoopDetected => row("loop_detected", S::LOOP_DETECTED, "Loop detected", "proxy_loop_detected", None),
            Self::CallerUnknown(CallerUnknown::NoKeys) => row("caller_unverified", S::SERVICE_UNAVAILABLE, "Caller can't be verified", "destination_unavailable", Some("key-set")),
            Self::CallerUnknown(_) => row("caller_unknown", S::UNAUTHORIZED, "Unknown caller", "http_request_denied", None),
            Self::SubjectInvalid(_) => row("request_invalid", S::BAD_REQUEST, "No usable subject", "http_request_error", None),
            Self::SubjectDenied(_) => row("caller_denied", S::FORBIDDEN, "Caller has no subject here", "http_request_denied", None),
            Self::CallerDenied => row("caller_denied", S::FORBIDDEN, "Caller not allowed", "http_request_denied", None),
            Self::Placeholder(why) if why.asks_for_login() => row("caller_unknown", S::UNAUTHORIZED, "Unknown caller", "http_request_denied", None),
            Self::Placeholder(_) | Self::PlaceholderMisplaced(_) => row("caller_denied", S::FORBIDDEN, "Caller not allowed", "http_request_denied", None),
            Self::TokenEndpointDenied => row("token_endpoint_denied", S::FORBIDDEN, "Token endpoint not for clients", "http_request_denied", None),
            Self::RouteNotFound => row("route_not_found", S::NOT_FOUND, "No route", "destination_not_found", None),
            Self::Credential(error) => credential(error.kind),
            Self::Injection(_) => row("internal", S::INTERNAL_SERVER_ERROR, "Credential can't be injected", "proxy_configuration_error", None),
            Self::CredentialRefused { .. } => row("credential_refused", S::BAD_GATEWAY, "Credential refused by the upstream", "http_request_denied", Some("upstream")),
            Self::Upstream(error) => upstream(error),
            Self::Internal => row("internal", S::INTERNAL_SERVER_ERROR, "Internal error", "proxy_internal_error", None),
        }
    }

    /// When a later try can help, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Credential(error) => error.retry_after,
            Self::CallerUnknown(CallerUnknown::NoKeys) => Some(Duration::from_secs(5)),
            Self::Overloaded | Self::Upstream(SendError::PoolFull) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// What a 401 asks for (RFC 6750, 3), where a token would do.
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::CallerUnknown(CallerUnknown::Absent { bearer: true }) => Some("Bearer"),
            Self::Placeholder(why) if why.asks_for_login() => {
                Some("Bearer error=\"invalid_token\"")
            }
            Self::CallerUnknown(CallerUnknown::BadToken(_)) => {
                Some("Bearer error=\"invalid_token\"")
            }
            _ => None,
        }
    }

    /// The upstream's status, where it answered.
    pub fn received_status(&self) -> Option<StatusCode> {
        match self {
            Self::CredentialRefused { received, .. } => Some(*received),
            _ => None,
        }
    }

    /// The credential that it is about.
    pub fn credential(&self) -> Option<&Arc<str>> {
        match self {
            Self::Credential(error) => Some(&error.credential),
            Self::CredentialRefused { credential, .. } => Some(credential),
            _ => None,
        }
    }
}

#[rustfmt::skip]
fn credential(kind: CredentialErrorKind) -> Appearance {
    use StatusCode as S;
    let row = |code, status, title, proxy_status| {
        Appearance { code, status, title, proxy_status, details: Some("token-endpoint") }
    };
    let unavailable = |proxy_status| row("token_unavailable", S::SERVICE_UNAVAILABLE, "No token to be had", proxy_status);
    match kind {
        CredentialErrorKind::Unavailable => unavailable("connection_refused"),
        CredentialErrorKind::Untrusted => unavailable("tls_certificate_error"),
        CredentialErrorKind::Failing => unavailable("destination_unavailable"),
        CredentialErrorKind::Interrupted => unavailable("connection_terminated"),
        CredentialErrorKind::Store => Appearance { details: Some("store"), ..unavailable("proxy_internal_error") },
        CredentialErrorKind::Internal => Appearance { details: None, ..unavailable("proxy_internal_error") },
        CredentialErrorKind::InDoubt => row("credential_in_doubt", S::SERVICE_UNAVAILABLE, "Refresh token in doubt", "destination_unavailable"),
        CredentialErrorKind::RateLimited => row("token_rate_limited", S::SERVICE_UNAVAILABLE, "Token endpoint limits us", "destination_unavailable"),
        CredentialErrorKind::Overloaded => row("overloaded", S::SERVICE_UNAVAILABLE, "Too many requests wait for a token", "connection_limit_reached"),
        CredentialErrorKind::Timeout => row("token_timeout", S::GATEWAY_TIMEOUT, "Token endpoint too slow", "connection_read_timeout"),
        CredentialErrorKind::Rejected => row("token_rejected", S::BAD_GATEWAY, "Token endpoint refused us", "proxy_configuration_error"),
        CredentialErrorKind::Malformed => row("token_malformed", S::BAD_GATEWAY, "Token endpoint's answer is unusable", "http_protocol_error"),
        CredentialErrorKind::Redirect => row("token_redirect", S::BAD_GATEWAY, "Token endpoint redirects", "http_protocol_error"),
    }
}

#[rustfmt::skip]
fn upstream(error: &SendError) -> Appearance {
    use StatusCode as S;
    let row = |code, status, title, proxy_status| {
        Appearance { code, status, title, proxy_status, details: Some("upstream") }
    };
    match error {
        SendError::Resolve(_) => row("upstream_refused", S::BAD_GATEWAY, "Upstream unreachable", "dns_error"),
        SendError::Refused(_) => row("upstream_refused", S::BAD_GATEWAY, "Upstream unreachable", "connection_refused"),
        SendError::Proxy(_) => row("upstream_refused", S::BAD_GATEWAY, "Upstream unreachable", "connection_refused"),
        SendError::ConnectTimeout => row("upstream_timeout", S::GATEWAY_TIMEOUT, "Upstream too slow", "connection_timeout"),
        SendError::Tls(_) => row("upstream_tls", S::BAD_GATEWAY, "Upstream not trusted", "tls_certificate_error"),
        SendError::PoolFull => row("overloaded", S::SERVICE_UNAVAILABLE, "Too many requests wait for the upstream", "connection_limit_reached"),
        SendError::Reset { .. } => row("upstream_reset", S::BAD_GATEWAY, "Upstream closed the connection", "connection_terminated"),
        SendError::Unprocessed(_) => row("upstream_reset", S::BAD_GATEWAY, "Upstream takes no requests", "connection_terminated"),
        SendError::HeadTimeout => row("upstream_timeout", S::GATEWAY_TIMEOUT, "Upstream too slow", "http_response_timeout"),
        SendError::Protocol(_) => row("upstream_protocol", S::BAD_GATEWAY, "Upstream's answer is invalid", "http_protocol_error"),
        SendError::ClientBody(_) => row("request_invalid", S::BAD_REQUEST, "Request body broke off", "http_request_error"),
    }
}
