//! Fields that belong to one connection (RFC 9110, 7.6.1): taken out of every message before anything is added.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

use super::fields::{self, Fields};

/// Takes out the connection's own fields and those that `Connection` names.
///
/// Framing and Host are ours: naming them in `Connection` removes nothing. `TE: trailers` and the
/// announcement of trailers are kept, since trailers are passed on.
pub(super) fn strip(headers: &mut HeaderMap, fields: Fields) {
    if fields.any(fields::CONNECTION) {
        // Looked up once: nearly always it is there once, and names nothing.
        let only = match headers.entry(header::CONNECTION) {
            Entry::Occupied(entry) if entry.iter().nth(1).is_none() => {
                is_option(entry.get()).then(|| entry.remove())
            }
            _ => None,
        };
        if only.is_none() {
            for name in named_in_connection(headers) {
                headers.remove(name);
            }
            headers.remove(header::CONNECTION);
        }
    }
    if fields.any(fields::HOP_BY_HOP) {
        for name in FIELDS {
            headers.remove(name);
        }
    }
    if fields.any(fields::TRANSFER_ENCODING) {
        headers.remove(header::TRANSFER_ENCODING);
    }
    if fields.any(fields::TE)
        && let Some(te) = headers.remove(header::TE)
        && te == "trailers"
    {
        headers.insert(header::TE, te);
    }
}

/// Whether `Connection` names fields that are to go.
pub(super) fn names_any(headers: &HeaderMap) -> bool {
    !named_in_connection(headers).is_empty()
}

/// Whether the message has no transfer coding, or exactly the one that everyone reads alike.
pub(super) fn is_plainly_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut named = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        if is_option(value) {
            continue;
        }
        let names = value
            .as_bytes()
            .split(|byte| *byte == b',')
            .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
        named.extend(names.filter(|name| !KEPT.contains(name)));
    }
    named
}

/// Nearly always `Connection` has one of these alone, and names no field with it.
fn is_option(value: &HeaderValue) -> bool {
    // Written so by nearly everybody.
    value == "keep-alive"
        || value == "close"
        || OPTIONS
            .iter()
            .any(|option| value.as_bytes().eq_ignore_ascii_case(option))
}

const OPTIONS: [&[u8]; 2] = [b"keep-alive", b"close"];

const FIELDS: [HeaderName; 7] = [
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    header::UPGRADE,
];

/// Not removed for being named in `Connection`.
const KEPT: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::CONNECTION,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn strip_all(headers: &mut HeaderMap) {
        strip(headers, Fields::of(headers));
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn what_connection_names_goes_with_it() {
        let mut it = headers(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("x-kept", "2"),
        ]);
        strip_all(&mut it);
        assert_eq!(it, headers(&[("x-kept", "2")]));
    }

    #[test]
    fn an_option_alone_goes_and_takes_nothing_along() {
        for option in ["keep-alive", "Close"] {
            let mut it = headers(&[("connection", option), ("close", "1"), ("keep-alive", "5")]);
            strip_all(&mut it);
            assert_eq!(it, headers(&[("close", "1")]));
        }
    }

    #[test]
    fn what_a_second_connection_field_names_goes_with_it() {
        let mut it = headers(&[("connection", "close"), ("x-secret", "1")]);
        it.append("connection", HeaderValue::from_static("x-secret"));
        strip_all(&mut it);
        assert!(it.is_empty());
    }

    #[test]
    fn connection_cannot_take_host_or_framing() {
        let mut it = headers(&[
            ("connection", "host, content-length, \t, ,"),
            ("host", "a"),
            ("content-length", "3"),
        ]);
        strip_all(&mut it);
        assert_eq!(it, headers(&[("host", "a"), ("content-length", "3")]));
    }

    #[test]
    fn only_trailers_survive_in_te() {
        let mut it = headers(&[("te", "trailers"), ("upgrade", "h2c"), ("keep-alive", "5")]);
        strip_all(&mut it);
        assert_eq!(it, headers(&[("te", "trailers")]));
        let mut it = headers(&[("te", "gzip")]);
        strip_all(&mut it);
        assert!(it.is_empty());
    }
}
