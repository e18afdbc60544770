//! What the upstream is told of the client: `X-Forwarded-*`, or `Forwarded` (RFC 7239).

use std::net::IpAddr;

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
    let peer = connection.peer.address().map(|address| address.ip());
    let scheme = connection.scheme();
    match route.forwarded {
        Forwarded::Drop | Forwarded::Pass => {}
        Forwarded::XForwarded => {
            if let Some(peer) = peer {
                put_text(headers, "x-forwarded-for", peer.to_string());
            }
            put_text(headers, "x-forwarded-proto", scheme.into());
            if let Some(authority) = authority {
                put_text(headers, "x-forwarded-host", authority.to_string());
            }
        }
        Forwarded::Forwarded => {
            // RFC 7239, 6: an IPv6 address is bracketed, and so quoted.
            let client = match peer {
                None => "unknown".to_owned(),
                Some(IpAddr::V6(peer)) => format!("\"[{peer}]\""),
                Some(IpAddr::V4(peer)) => peer.to_string(),
            };
            let host = authority
                .map(|it| format!(";host=\"{it}\""))
                .unwrap_or_default();
            put_text(
                headers,
                "forwarded",
                format!("for={client}{host};proto={scheme}"),
            );
        }
    }
}

fn put_text(headers: &mut HeaderMap, name: &'static str, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}
