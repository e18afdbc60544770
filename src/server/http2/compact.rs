//! Moves the values of an answer's fields into a block of their own.
//!
//! h2 compresses by a table of what it has sent (RFC 7541, 2.3.2), and keeps that as it was given: as slices of the buffers
//! that upstreams' answers were read into. A connection would hold a hundred of those, of 8 KiB and more, as long as it lives.

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue};

/// Has the values of `headers` hold on to nothing but themselves.
pub(in crate::server) fn compact(headers: &mut HeaderMap) {
    let length = headers.values().map(HeaderValue::len).sum();
    let mut block = BytesMut::with_capacity(length);
    for value in headers.values() {
        block.extend_from_slice(value.as_bytes());
    }
    let mut block = block.freeze();
    for value in headers.values_mut() {
        let moved = block.split_to(value.len());
        let mut moved =
            HeaderValue::from_maybe_shared(moved).expect("the same bytes were a value before");
        moved.set_sensitive(value.is_sensitive());
        *value = moved;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn values_stay_what_they_are_and_hold_no_buffer() {
        let read = Bytes::from(b"application/json secret a b".to_vec());
        let slice = |range| HeaderValue::from_maybe_shared(read.slice(range)).expect("a value");
        let mut headers = HeaderMap::new();
        headers.insert("content-type", slice(0..16));
        headers.append("x-many", slice(24..25));
        headers.append("x-many", slice(26..27));
        headers.insert("empty", slice(0..0));
        let mut secret = slice(17..23);
        secret.set_sensitive(true);
        headers.insert("x-secret", secret);
        let before = headers.clone();
        assert!(!read.is_unique());
        compact(&mut headers);
        assert_eq!(headers, before);
        assert!(headers["x-secret"].is_sensitive() && !headers["content-type"].is_sensitive());
        drop(before);
        assert!(read.is_unique(), "the buffer is held");
    }
}
