//! What a client may not send on a route: whatever we inject, what let it in, and what the file adds.

use http::{HeaderMap, HeaderValue, header};

use super::{Cookies, Forwarded, RouteCredential};
use crate::{callers::Callers, injectors::Guarded};

/// More that the client may not send, from the file; names are compared folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strip {
    /// Header names.
    pub headers: Vec<String>,
    /// Query parameter names.
    pub query: Vec<String>,
}

/// The names that are taken out of a request before anything is put in.
#[derive(Debug)]
pub struct Guard {
    /// Headers.
    pub headers: Guarded,
    /// Query parameters.
    pub query: Guarded,
    cookies: Guarded,
    all_cookies: bool,
}

impl Guard {
    /// On a route with a credential the client's own Authorization, and whatever authenticated it to us,
    /// go too, whether or not the credential uses those names: what a caller holds is not the upstream's.
    pub fn new(
        credential: Option<&RouteCredential>,
        callers: &Callers,
        strip: &Strip,
        cookies: Cookies,
        forwarded: Forwarded,
    ) -> Self {
        let mut headers: Vec<&str> = strip.headers.iter().map(String::as_str).collect();
        let mut query: Vec<&str> = strip.query.iter().map(String::as_str).collect();
        let mut cookie_names = Vec::new();
        headers.extend(callers.header_names().map(|name| name.as_str()));
        if let Some(credential) = credential {
            headers.push("authorization");
            headers.extend(OTHER_PATHS);
            headers.extend(
                credential
                    .injection
                    .header_names()
                    .map(|name| name.as_str()),
            );
            // A client's own proof is for another URL, by another key.
            if credential.nonce.is_some() {
                headers.push("dpop");
            }
            let told_by = credential.subject.iter().flat_map(|it| it.header_names());
            headers.extend(told_by.map(|name| name.as_str()));
            query.extend(credential.injection.query_names());
            cookie_names.extend(credential.injection.cookie_names());
        }
        if forwarded != Forwarded::Pass {
            headers.extend(SAID_OF_CLIENT);
        }
        Self {
            headers: Guarded::new(headers),
            query: Guarded::new(query),
            cookies: Guarded::new(cookie_names),
            all_cookies: cookies == Cookies::Drop,
        }
    }

    /// Takes out the cookies that may not pass.
    pub fn strip_cookies(&self, headers: &mut HeaderMap) {
        if self.all_cookies {
            headers.remove(header::COOKIE);
        } else if !self.cookies.is_empty() && headers.contains_key(header::COOKIE) {
            let kept: Vec<HeaderValue> = headers
                .get_all(header::COOKIE)
                .iter()
                .filter_map(|value| {
                    let kept = self.cookies.strip_cookies(value.as_bytes());
                    HeaderValue::from_bytes(&kept)
                        .ok()
                        .filter(|kept| !kept.is_empty())
                })
                .collect();
            headers.remove(header::COOKIE);
            for value in kept {
                headers.append(header::COOKIE, value);
            }
        }
    }
}

/// What some servers take for the path that is asked for, whatever the request line says.
const OTHER_PATHS: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// What clients, and proxies before us, say about the client.
const SAID_OF_CLIENT: [&str; 10] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-original-url",
    "x-real-ip",
];
