//! What the upstream is told of the client: `X-Forwarded-*`, or `Forwarded` (RFC 7239).

use http::{HeaderMap, HeaderValue};

use super::Connection;
use crate::routes::{Forwarded, Route, host::Authority};

/// What the client says of itself is guarded; what we say of it is ours alone.
pub(super) fn tell_of_client(
    headers: &mut HeaderMap,
    route: &Route,
    connection: &Connection,
    authority: Option<&Authority<'_>>,
) {
    let peer = connection.peer.ip();
    match route.forwarded {
        Forwarded::Drop | Forwarded::Pass => {}
        Forwarded::XForwarded => {
            put_text(headers, "x-forwarded-for", peer.to_string());
            put_text(headers, "x-forwarded-proto", "http".into());
            if let Some(authority) = authority {
                put_text(headers, "x-forwarded-host", authority.to_string());
            }
        }
        Forwarded::Forwarded => {
            // RFC 7239, 6: an IPv6 address is bracketed, and so quoted.
            let client = if peer.is_ipv6() {
                format!("\"[{peer}]\"")
            } else {
                peer.to_string()
            };
            let host = authority
                .map(|it| format!(";host=\"{it}\""))
                .unwrap_or_default();
            put_text(
                headers,
                "forwarded",
                format!("for={client}{host};proto=http"),
            );
        }
    }
}

fn put_text(headers: &mut HeaderMap, name: &'static str, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}
