//! The one upgrade that is passed on: WebSocket (RFC 6455). Of any other nothing goes further, least of all h2c.
//!
//! A client of HTTP/2 asks by extended CONNECT (RFC 8441). That is turned into the handshake that it stands for.

use http::{
    Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{self, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY},
};
use hyper::ext::Protocol;

use super::{Error, Head, ReplyBody, fields};
pub(super) use crate::upstream::websocket::put;
use crate::upstream::{
    SendError,
    websocket::{accept, new_key},
};

/// Whether a head that came by HTTP/2 asks for a WebSocket.
pub(super) fn is_connect(method: &Method, extensions: &Extensions) -> bool {
    let protocol = extensions.get::<Protocol>();
    *method == Method::CONNECT && protocol.is_some_and(|it| it.as_str() == "websocket")
}

/// Whether it came by extended CONNECT: its success would be a tunnel and nothing else.
pub(super) fn came_by_connect(head: &Head) -> bool {
    // h2 refuses the field: it is ours.
    head.version == Version::HTTP_2 && head.fields.any(fields::UPGRADE)
}

/// Whether `head`, whose request has no body where `empty`, asks for a WebSocket.
///
/// Everything else with an `Upgrade` is a request like any other, without it (RFC 9110, 7.8).
pub(super) fn is_asked_for(head: &Head, empty: bool) -> bool {
    head.fields.any(fields::UPGRADE)
        && head.method == Method::GET
        && matches!(head.version, Version::HTTP_11 | Version::HTTP_2)
        && empty
        && names(&head.headers, header::UPGRADE, b"websocket")
        && names(&head.headers, header::CONNECTION, b"upgrade")
}

/// Gives a handshake a key where its client has none. What the upstream has to say to it.
pub(super) fn put_key(headers: &mut HeaderMap, version: Version) -> Option<Box<HeaderValue>> {
    if version != Version::HTTP_2 {
        return None;
    }
    let key = new_key();
    let expected = Box::new(accept(&key));
    headers.insert(SEC_WEBSOCKET_KEY, key);
    Some(expected)
}

/// Makes the answer to a handshake the client's; `expected` where that came by extended CONNECT.
///
/// # Errors
/// Where it would be taken for a tunnel, and is none.
pub(super) fn answer(
    response: &mut Response<ReplyBody>,
    expected: Option<&HeaderValue>,
) -> Result<(), Error> {
    let agreed = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if agreed {
        // No 1xx has a length, and no 2xx to a CONNECT (RFC 9110, 8.6).
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let Some(expected) = expected else {
        if agreed {
            put(response.headers_mut());
        }
        return Ok(());
    };
    let accepted = response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    if agreed && accepted.as_ref() == Some(expected) {
        *response.status_mut() = StatusCode::OK;
        Ok(())
    } else if agreed || response.status().is_success() {
        Err(Error::Upstream(SendError::Protocol(None)))
    } else {
        Ok(())
    }
}

/// Whether a list of tokens holds this one, in whatever case.
fn names(headers: &HeaderMap, field: header::HeaderName, token: &[u8]) -> bool {
    headers
        .get_all(field)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|it| it.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;
    use crate::layers::Fields;

    fn head(lines: &[(&'static str, &'static str)]) -> Head {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Head {
            method: Method::GET,
            authority: None,
            target: PathAndQuery::from_static("/"),
            version: Version::HTTP_11,
            fields: Fields::of(&headers),
            headers,
        }
    }

    #[test]
    fn it_is_asked_for_by_both_fields_of_a_get_in_http_1_1() {
        let asks = head(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
        ]);
        assert!(is_asked_for(&asks, true));
        assert!(!is_asked_for(&asks, false), "with a body");
        let chosen = head(&[("connection", "upgrade"), ("upgrade", "h2c, websocket")]);
        assert!(is_asked_for(&chosen, true), "one of several");
        for other in [
            Head {
                version: Version::HTTP_10,
                ..asks.clone()
            },
            Head {
                method: Method::POST,
                ..asks
            },
            head(&[("connection", "upgrade"), ("upgrade", "h2c")]),
            head(&[("connection", "upgrade"), ("upgrade", "websocket/13")]),
            head(&[("connection", "close"), ("upgrade", "websocket")]),
            head(&[("upgrade", "websocket")]),
            head(&[("connection", "upgrade")]),
        ] {
            assert!(!is_asked_for(&other, true), "{other:?}");
        }
    }
}
