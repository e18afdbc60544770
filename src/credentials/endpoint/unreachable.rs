//! Why no answer came: what a failed exchange of bytes is called.

use crate::credentials::{FailureKind, FetchError};

/// What kept an answer away; reqwest's own text is not used, since it may quote what was sent.
pub(super) fn unreachable(error: &reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::transient(FailureKind::Timeout, "no connection in time")
            .before_sending();
    }
    let (kind, detail) = match root(error) {
        Root::Tls => (
            FailureKind::Untrusted,
            "its certificate is not trusted, or TLS is refused",
        ),
        Root::Refused => (FailureKind::Unreachable, "it refuses connections"),
        Root::Other if error.is_connect() => (FailureKind::Unreachable, "no connection to it"),
        Root::Other => (
            FailureKind::Interrupted,
            "it closed the connection before its answer was complete",
        ),
    };
    let failed = FetchError::transient(kind, detail);
    match error.is_connect() {
        true => failed.before_sending(),
        false => failed,
    }
}

enum Root {
    Tls,
    Refused,
    Other,
}

fn root(error: &(dyn std::error::Error + 'static)) -> Root {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return Root::Tls;
        }
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => return Root::Refused,
            // What it wraps, which its own `source` leaves out.
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    Root::Other
}
