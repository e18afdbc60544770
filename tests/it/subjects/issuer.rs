//! Who signs users' tokens, who publishes the keys, and who exchanges what came of it.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bearerd::clock::unix_time;
use serde_json::{Value, json};

use super::ISSUER;
use crate::support::{Exchange, Message, Upstream, token};

/// Signs with a key of its own.
pub struct Issuer(EcdsaKeyPair);

impl Issuer {
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// Its key, as it is published.
    pub fn keys(&self) -> String {
        let point = self.0.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        let key =
            json!({ "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "x": x, "y": y });
        json!({ "keys": [key] }).to_string()
    }

    /// A good token about this user.
    pub fn about(&self, user: &str) -> String {
        self.with(&json!({ "sub": user }))
    }

    /// A good token with these claims changed.
    pub fn with(&self, changes: &Value) -> String {
        let mut claims =
            json!({ "iss": ISSUER, "aud": "bearerd", "exp": at(600), "jti": token(90) });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "ES256", "kid": "one" });
        let text = format!(
            "{}.{}",
            encoded(header.to_string()),
            encoded(claims.to_string())
        );
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", encoded(signature.as_ref()))
    }
}

/// Seconds since 1970, so many from now.
pub fn at(seconds_from_now: i64) -> i64 {
    i64::try_from(unix_time().as_secs()).unwrap() + seconds_from_now
}

/// Publishes the issuer's keys.
pub fn keys(issuer: &Issuer) -> Upstream {
    let keys = issuer.keys();
    Upstream::start(move |exchange| exchange.answer(200, JSON, &keys))
}

/// The field of a request that shows this token.
pub fn bearer(jwt: &str) -> String {
    format!("Authorization: Bearer {jwt}\r\n")
}

/// The field of a request that shows this key.
pub fn key(key: &str) -> String {
    format!("X-Api-Key: {key}\r\n")
}

/// Exchanges tokens: each call gets one of its number that names the user.
pub struct Vendor {
    pub server: Upstream,
}

impl Vendor {
    /// Its tokens live for an hour.
    pub fn new() -> Self {
        Self::answering(|exchange, user| {
            let issued = issued(user, exchange.number + 1);
            let body = format!(
                r#"{{"access_token":"{issued}","token_type":"Bearer","expires_in":3600,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}}"#
            );
            exchange.answer(200, JSON, &body);
        })
    }

    /// Answers as the script does, which is told whom the exchanged token is about.
    pub fn answering(script: impl Fn(&mut Exchange<'_>, &str) + Send + Sync + 'static) -> Self {
        let script = Arc::new(script);
        let server = Upstream::start(move |exchange| {
            let user = user_of(&exchanged(&exchange.request));
            script(exchange, &user);
        });
        Self { server }
    }

    /// Whom the tokens were about that were exchanged.
    pub fn users(&self) -> Vec<String> {
        let requests = self.server.requests();
        requests.iter().map(|it| user_of(&exchanged(it))).collect()
    }
}

/// What the vendor's n-th call brings for this user.
pub fn issued(user: &str, call: usize) -> String {
    format!("{}-of-{user}", token(call))
}

/// The token that a call exchanges.
pub fn exchanged(call: &Message) -> String {
    let mut form = form_urlencoded::parse(&call.body);
    let found = form.find(|(name, _)| name == "subject_token");
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The SHA-256, in hexadecimal digits.
pub fn sha256(text: &str) -> String {
    let mut hex = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The `sub` of a token; what is none is its own name.
pub fn user_of(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    claims["sub"].as_str().unwrap_or(token).to_owned()
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub const JSON: &str = "Content-Type: application/json\r\n";
