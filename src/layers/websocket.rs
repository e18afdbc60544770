//! The one upgrade that is passed on: WebSocket (RFC 6455). Of any other nothing goes further, least of all h2c.

use http::{HeaderMap, HeaderValue, Method, Version, header};

use super::{Head, fields};

/// Whether `head`, whose request has no body where `empty`, asks for a WebSocket.
///
/// Everything else with an `Upgrade` is a request like any other, without it (RFC 9110, 7.8).
pub(super) fn is_asked_for(head: &Head, empty: bool) -> bool {
    head.fields.any(fields::UPGRADE)
        && head.method == Method::GET
        && head.version == Version::HTTP_11
        && empty
        && names(&head.headers, header::UPGRADE, b"websocket")
        && names(&head.headers, header::CONNECTION, b"upgrade")
}

/// Says so toward the next hop; fields of the last one are gone.
pub(super) fn put(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// The same in an answer that agrees. No 1xx has a length (RFC 9110, 8.6).
pub(super) fn put_in_answer(headers: &mut HeaderMap) {
    put(headers);
    headers.remove(header::CONTENT_LENGTH);
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
