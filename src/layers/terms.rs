//! What is agreed for one request on its way out: its deadlines, the protocol that it asks for, when its answer must end.

use http::HeaderMap;

use super::{Credentialed, fields::Fields, grpc};
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
    let grpc = grpc::is_call(fields, headers);
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
