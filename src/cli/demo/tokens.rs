//! Stand-ins for two token services: Bright Pattern's, and a standard authorization server that is strict.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};

use super::stand_in::{Answer, json};

/// The client that a token service knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) id: &'static str,
    pub(super) secret: &'static str,
}

/// What a token service issued and what was asked of it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Issuer(Arc<Mutex<Issued>>);

#[derive(Debug, Default)]
struct Issued {
    valid: HashSet<String>,
    calls: usize,
}

impl Issuer {
    /// How many tokens were asked for so far.
    pub(super) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Takes back every token, as an operator of the upstream might.
    pub(super) fn revoke_all(&self) {
        self.lock().valid.clear();
    }

    /// Whether a request carries a token that is valid now.
    pub(super) fn accepts(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let token = fields
            .next()
            .and_then(|field| field.to_str().ok()?.strip_prefix("Bearer "));
        fields.next().is_none() && token.is_some_and(|token| self.lock().valid.contains(token))
    }

    fn issue(&self) -> String {
        let token = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        self.lock().valid.insert(token.clone());
        token
    }

    fn lock(&self) -> MutexGuard<'_, Issued> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bright Pattern's `POST /configapi/v2/oauth/token`: everything in the form, the tenant as scope; the
/// answer has its life as a string and the comma too many of the vendor's documentation.
pub(super) fn bright_pattern(
    issuer: &Issuer,
    client: Client,
    tenant: &str,
    request: &Request<Bytes>,
) -> Answer {
    issuer.lock().calls += 1;
    let Some(form) = form(request) else {
        return json(StatusCode::UNSUPPORTED_MEDIA_TYPE, "");
    };
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", client.id),
        ("client_secret", client.secret),
        ("scope", tenant),
    ];
    if expected
        .iter()
        .any(|(name, value)| form.get(*name).map(String::as_str) != Some(value))
    {
        return json(StatusCode::UNAUTHORIZED, "");
    }
    let token = issuer.issue();
    json(
        StatusCode::OK,
        format!(
            "{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"scope\":\"{tenant}\",\"expires_in\":\"3599\",}}"
        ),
    )
}

/// A standard token endpoint (RFC 6749 section 4.4) that decodes Basic as section 2.3.1 asks for.
pub(super) fn standard(issuer: &Issuer, client: Client, request: &Request<Bytes>) -> Answer {
    issuer.lock().calls += 1;
    let error = |status, code| json(status, format!("{{\"error\":\"{code}\"}}"));
    let Some(form) = form(request) else {
        return error(StatusCode::BAD_REQUEST, "invalid_request");
    };
    if basic(request.headers()) != Some((client.id.into(), client.secret.into())) {
        return error(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
        return error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let token = issuer.issue();
    json(
        StatusCode::OK,
        format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":300}}"),
    )
}

/// The form of a POST; none where it is something else or a name is there twice.
fn form(request: &Request<Bytes>) -> Option<HashMap<String, String>> {
    let media_type = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    let is_form = media_type.split(';').next()?.trim() == "application/x-www-form-urlencoded";
    if request.method() != Method::POST || !is_form {
        return None;
    }
    let mut form = HashMap::new();
    for (name, value) in form_urlencoded::parse(request.body()) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(form)
}

/// The client's id and secret: base64 of both, form-encoded each, joined by a colon.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let field = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Client = Client {
        id: "batch 1",
        secret: "50% off: + & =",
    };

    fn post(authorization: &str, form: &str) -> Request<Bytes> {
        Request::post("/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", authorization)
            .body(Bytes::copy_from_slice(form.as_bytes()))
            .expect("a good request")
    }

    fn basic_of(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn the_strict_server_wants_basic_in_form_encoding() {
        let issuer = Issuer::default();
        let grant = "grant_type=client_credentials";
        let raw = post(&basic_of("batch 1:50% off: + & ="), grant);
        assert_eq!(standard(&issuer, CLIENT, &raw).status(), 401);
        let encoded = post(&basic_of("batch+1:50%25+off%3A+%2B+%26+%3D"), grant);
        assert_eq!(standard(&issuer, CLIENT, &encoded).status(), 200);
        assert_eq!(issuer.calls(), 2);
    }

    #[test]
    fn bright_pattern_wants_everything_in_the_form() {
        let issuer = Issuer::default();
        let good = "grant_type=client_credentials&client_id=batch+1&client_secret=50%25+off%3A+%2B+%26+%3D&scope=t.example";
        let ask =
            |form: &str| bright_pattern(&issuer, CLIENT, "t.example", &post("", form)).status();
        assert_eq!(ask(good), 200);
        assert_eq!(ask(&good.replace("scope=t", "tenant=t")), 401);
        assert_eq!(ask(&good.replace("50", "60")), 401);
        assert_eq!(ask(&format!("{good}&scope=other")), 415);
    }

    #[test]
    fn a_revoked_token_is_refused() {
        let issuer = Issuer::default();
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {}", issuer.issue());
        headers.insert("authorization", value.parse().expect("a good value"));
        assert!(issuer.accepts(&headers));
        issuer.revoke_all();
        assert!(!issuer.accepts(&headers));
    }
}
