//! gRPC's own way to say how a call ended: a status of 200, and the outcome in trailers or, where nothing else is said, in
//! the head ("trailers-only"). Whichever version of HTTP carries it.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use super::fields::{self, Fields};

/// Where the outcome stands.
pub(super) const STATUS: &str = "grpc-status";

/// Its sentence, percent-encoded.
pub(super) const MESSAGE: &str = "grpc-message";

/// The credentials of a call were not accepted: nothing of it was done.
pub(super) const UNAUTHENTICATED: u8 = 16;

/// The type of a call, as an answer to it has it; none for what is no call.
pub(super) fn answer_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let given = headers.get(CONTENT_TYPE)?;
    is_grpc(given).then(|| given.clone())
}

/// The outcome of a call that was answered with nothing else.
pub(super) fn trailers_only<B>(response: &Response<B>) -> Option<u8> {
    let headers = response.headers();
    let status = headers.get(STATUS)?;
    let is_answer = response.status() == StatusCode::OK;
    let is_grpc = is_answer && headers.get(CONTENT_TYPE).is_some_and(is_grpc);
    status.to_str().ok()?.parse().ok().filter(|_| is_grpc)
}

/// Whether an outcome says nothing of the credentials: unknown, deadline exceeded, internal, unavailable, data loss.
pub(super) fn is_fault(status: u8) -> bool {
    matches!(status, 2 | 4 | 13 | 14 | 15)
}

/// Whether a request is a call that is made for HTTP/2: those all say `te: trailers`.
pub(super) fn is_call(fields: Fields, headers: &HeaderMap) -> bool {
    fields.any(fields::TE)
        && headers
            .get(CONTENT_TYPE)
            .and_then(after_its_name)
            // Not gRPC-Web, which is made for HTTP/1.1.
            .is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

/// With a suffix or a parameter, and what browsers speak (`-web`).
fn is_grpc(kind: &HeaderValue) -> bool {
    after_its_name(kind).is_some_and(|rest| matches!(rest, [] | [b'+' | b'-' | b';', ..]))
}

/// What follows `application/grpc`; none in other types.
fn after_its_name(kind: &HeaderValue) -> Option<&[u8]> {
    const NAME: &[u8] = b"application/grpc";
    let (start, rest) = kind.as_bytes().split_at_checked(NAME.len())?;
    start.eq_ignore_ascii_case(NAME).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_types_are_known_in_every_spelling() {
        for (kind, is) in [
            ("application/grpc", true),
            ("Application/GRPC+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web-text+proto", true),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(&HeaderValue::from_static(kind)), is, "{kind}");
        }
    }

    #[test]
    fn a_call_is_known_by_both_its_fields() {
        let is_one = |te: bool, kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            if te {
                headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
            }
            is_call(Fields::of(&headers), &headers)
        };
        for kind in [
            "application/grpc",
            "Application/GRPC+proto",
            "application/grpc;x=y",
        ] {
            assert!(is_one(true, kind), "{kind}");
            assert!(!is_one(false, kind), "{kind}");
        }
        for kind in ["application/grpc-web", "application/json"] {
            assert!(!is_one(true, kind), "{kind}");
        }
    }

    #[test]
    fn an_outcome_in_the_head_is_grpcs_alone() {
        let of = |status: u16, kind: &str, grpc: &str| {
            let response = Response::builder().status(status);
            let response = response.header(CONTENT_TYPE, kind).header(STATUS, grpc);
            trailers_only(&response.body(()).unwrap())
        };
        assert_eq!(of(200, "application/grpc", "16"), Some(16));
        assert_eq!(of(200, "application/grpc", "x"), None);
        assert_eq!(of(200, "application/grpc", "300"), None);
        assert_eq!(of(200, "text/html", "16"), None);
        assert_eq!(of(503, "application/grpc", "16"), None);
    }
}
