//! What a stand-in reads of a request: strictly, since the real services are strict.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use serde_json::{Map, Value};

/// Parameters by name; none where one stands there twice.
pub(super) type Parameters = HashMap<String, String>;

/// The form of a POST; none where it is something else.
pub(super) fn form(request: &Request<Bytes>) -> Option<Parameters> {
    let is_form = media_type(request) == Some("application/x-www-form-urlencoded");
    (request.method() == Method::POST && is_form)
        .then(|| parameters(request.body()))
        .flatten()
}

/// The JSON object of a POST; none where it is something else.
pub(super) fn object(request: &Request<Bytes>) -> Option<Map<String, Value>> {
    let is_json = media_type(request) == Some("application/json");
    (request.method() == Method::POST && is_json)
        .then(|| serde_json::from_slice(request.body()).ok())
        .flatten()
}

/// The parameters of the URL's query.
pub(super) fn query(request: &Request<Bytes>) -> Option<Parameters> {
    parameters(request.uri().query().unwrap_or_default().as_bytes())
}

/// The media type of the body, without its parameters.
pub(super) fn media_type(request: &Request<Bytes>) -> Option<&str> {
    let value = only(request.headers(), header::CONTENT_TYPE.as_str())?;
    value.split(';').next().map(str::trim)
}

/// The value of a field that is there exactly once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut fields = headers.get_all(name).iter();
    let first = fields.next()?;
    fields.next().is_none().then(|| first.to_str().ok())?
}

/// The bearer token of a request that carries exactly one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    only(headers, "authorization")?.strip_prefix("Bearer ")
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = only(headers, "cookie")?.split(';');
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// The client's id and secret in HTTP Basic: base64 of both, form-encoded each, joined by a colon.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let field = only(headers, "authorization")?;
    let text = BASE64_STANDARD.decode(field.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decode(id), decode(secret)))
}

fn decode(text: &str) -> String {
    // A name without a value decodes as a form's value would.
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

fn parameters(text: &[u8]) -> Option<Parameters> {
    let mut all = Parameters::new();
    for (name, value) in form_urlencoded::parse(text) {
        if all.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(all)
}
