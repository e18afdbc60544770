//! Which trailer fields are passed on (RFC 9110, 6.5.1): none that frames, routes or authenticates.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use http_body::Frame;

/// Takes out of a frame of trailers what would be read as part of a head, or as a credential.
pub fn clean(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        strip(trailers);
    }
    frame
}

fn strip(trailers: &mut HeaderMap) {
    for name in REFUSED {
        trailers.remove(name);
    }
}

const REFUSED: [HeaderName; 19] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::WWW_AUTHENTICATE,
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn neither_framing_nor_credentials_pass_as_trailers() {
        let mut trailers = HeaderMap::new();
        for name in [
            "content-length",
            "authorization",
            "cookie",
            "host",
            "grpc-status",
        ] {
            trailers.insert(name, HeaderValue::from_static("1"));
        }
        let frame = clean(Frame::trailers(trailers));
        let left = frame.into_trailers().expect("it stays a frame of trailers");
        assert_eq!(left.keys().collect::<Vec<_>>(), ["grpc-status"]);
    }
}
