//! The two ways to open a WebSocket: the handshake of HTTP/1.1 (RFC 6455), and extended CONNECT in HTTP/2 (RFC 8441).
//!
//! Within the proxy each is the first; whoever speaks HTTP/2 turns it into the second, or the second into it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
};
use hyper::ext::Protocol;

use super::OutgoingBody;

/// A key for a handshake whose client has none: in HTTP/2 there are no keys.
pub fn new_key() -> HeaderValue {
    let nonce: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    header_value(BASE64_STANDARD.encode(nonce))
}

/// What shows that a handshake with this key was understood (RFC 6455, 4.2.2).
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let whole = [key.as_bytes(), GUID].concat();
    header_value(BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &whole)))
}

fn header_value(base64: String) -> HeaderValue {
    HeaderValue::try_from(base64).expect("base64 is text")
}

/// Says in the head of a request or of its answer what the connection becomes.
pub fn put(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Makes a handshake an extended CONNECT.
pub(super) fn convert(request: &mut Request<OutgoingBody>) {
    *request.method_mut() = Method::CONNECT;
    request
        .extensions_mut()
        .insert(Protocol::from_static("websocket"));
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    headers.remove(SEC_WEBSOCKET_KEY);
}

/// Undoes [`convert`] in the answer that agrees.
pub(super) fn revert<B>(response: &mut Response<B>, accept: Option<HeaderValue>) {
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    put(headers);
    if let Some(accept) = accept {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_rfc_has_it() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(new_key().len(), 24);
        assert_ne!(new_key(), new_key());
    }
}
