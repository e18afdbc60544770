//! What is agreed for one request on its way out: its deadlines, the protocol that it asks for, when its answer must end.

use http::{HeaderMap, header};

use super::{
    Credentialed,
    fields::{self, Fields},
};
use crate::{
    clock::Instant,
    routes::{OnExpiry, Route},
    upstream::Terms,
};

/// The terms of a request with these `headers`, as they will be sent.
pub(super) fn terms(
    route: &Route,
    fields: Fields,
    headers: &HeaderMap,
    websocket: bool,
    until: Option<Instant>,
) -> Terms {
    let mut timeouts = route.timeouts;
    let grpc = is_grpc(fields, headers);
    if grpc {
        // Its streams may be silent for long, even before the head; its callers bring deadlines of their own.
        timeouts.response_head = timeouts.idle_stream;
        timeouts.idle_body = timeouts.idle_stream;
    }
    Terms {
        timeouts,
        websocket,
        grpc,
        until,
        fresh: false,
    }
}

/// When the answer must have ended: with the credential, where the route says so.
pub(super) fn until(request: &Credentialed) -> Option<Instant> {
    match request.route().on_expiry {
        OnExpiry::Keep => None,
        OnExpiry::Close => request.lease()?.expires(),
    }
}

/// Whether it is a call of gRPC's, which all say `te: trailers`.
pub(super) fn is_grpc(fields: Fields, headers: &HeaderMap) -> bool {
    fields.any(fields::TE)
        && headers
            .get(header::CONTENT_TYPE)
            .and_then(|it| it.as_bytes().strip_prefix(b"application/grpc"))
            // Not gRPC-Web, which is made for HTTP/1.1.
            .is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_call_of_grpcs_is_known_by_both_its_fields() {
        let is_one = |te: bool, media: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            if te {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
            is_grpc(Fields::of(&headers), &headers)
        };
        for media in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            assert!(is_one(true, media), "{media}");
            assert!(!is_one(false, media), "{media}");
        }
        for media in ["application/grpc-web", "application/json"] {
            assert!(!is_one(true, media), "{media}");
        }
    }
}
