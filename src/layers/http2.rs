//! What a head that came by HTTP/2 needs before it is a head like any other.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};

use super::{
    Error,
    fields::{self, Fields},
};

/// Makes it one that means the same in HTTP/1.1.
///
/// h2 has refused fields of the connection (RFC 9113, 8.2.2) and names in capitals; fields that it leaves as they are
/// would frame the message anew upstream.
///
/// # Errors
/// [`Error::RequestInvalid`] where nobody can say how long the body is.
pub(super) fn plain(headers: &mut HeaderMap, fields: Fields) -> Result<(), Error> {
    if fields.any(fields::CONTENT_LENGTH) {
        let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
        let is_number = |it: &HeaderValue| it.as_bytes().iter().all(u8::is_ascii_digit);
        let first = lengths.next();
        if !first.is_some_and(is_number) || lengths.next().is_some() {
            return Err(Error::RequestInvalid("Content-Length is not one number"));
        }
    }
    if fields.any(fields::COOKIE) {
        join_cookies(headers);
    }
    Ok(())
}

/// Cookies may come one a field, for the sake of compression; elsewhere they are one field (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(_)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let mut joined = BytesMut::from(first.as_bytes());
    for cookie in headers.get_all(header::COOKIE).iter().skip(1) {
        joined.put_slice(b"; ");
        joined.put_slice(cookie.as_bytes());
    }
    if let Ok(mut value) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        value.set_sensitive(true);
        headers.insert(header::COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(name: &header::HeaderName, values: &[&'static str]) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        let fields = Fields::of(&headers);
        plain(&mut headers, fields).map(|()| headers)
    }

    #[test]
    fn cookies_become_one_field() {
        let headers = plain_of(&header::COOKIE, &["a=1", "b=2; c=3", "d=4"]).expect("good cookies");
        let cookies: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d=4"]);
    }

    #[test]
    fn a_length_is_one_number() {
        assert!(plain_of(&header::CONTENT_LENGTH, &["3"]).is_ok());
        for lengths in [&["3", "3"][..], &["3, 3"], &["+3"], &["3", "5"]] {
            assert!(
                plain_of(&header::CONTENT_LENGTH, lengths).is_err(),
                "{lengths:?}"
            );
        }
    }
}
