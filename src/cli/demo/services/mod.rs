//! Stand-ins of the token services, each with the APIs that its tokens open, and each refusing what its vendor refuses.

pub(super) mod aicrisk;
pub(super) mod bright_pattern;
pub(super) mod iceberg;
pub(super) mod standard;
pub(super) mod symbl;
pub(super) mod symphony;

/// The client that a token service knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) id: &'static str,
    pub(super) secret: &'static str,
}

#[cfg(test)]
mod testing {
    //! Requests as the tests of the stand-ins send them, and what comes back.

    use std::future::Future as _;

    use bytes::Bytes;
    use http::{HeaderMap, Request};
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use crate::cli::demo::stand_in::Answer;

    pub(super) fn get(target: &str, headers: &[(&str, &str)]) -> Request<Bytes> {
        request("GET", target, headers, "")
    }

    pub(super) fn form(target: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
        let form = ("content-type", "application/x-www-form-urlencoded");
        request("POST", target, &[&[form], headers].concat(), body)
    }

    pub(super) fn json(target: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
        let json = ("content-type", "application/json");
        request("POST", target, &[&[json], headers].concat(), body)
    }

    pub(super) fn request(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Request<Bytes> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .expect("a good request")
    }

    /// What a test looks at.
    #[derive(Debug)]
    pub(super) struct Seen {
        pub(super) status: u16,
        pub(super) headers: HeaderMap,
        pub(super) text: String,
    }

    impl Seen {
        pub(super) fn json(&self) -> Value {
            serde_json::from_str(&self.text).expect("a JSON answer")
        }

        pub(super) fn field(&self, name: &str) -> String {
            match &self.json()[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }
        }

        pub(super) fn is(&self, status: u16, text: &str) -> bool {
            self.status == status && self.text.contains(text)
        }
    }

    pub(super) fn seen(answer: Answer) -> Seen {
        let (head, body) = answer.into_parts();
        let mut body = std::pin::pin!(body.collect());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // The body of a stand-in is there at once.
        let std::task::Poll::Ready(Ok(body)) = body.as_mut().poll(&mut context) else {
            panic!("a body that is not there");
        };
        Seen {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(body.to_bytes().to_vec()).expect("text"),
        }
    }
}
