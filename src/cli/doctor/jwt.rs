//! What a token that is a JWT says of itself. Nothing is verified: it is for reading, not for trusting.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Header and claims of a JWT, as far as they may be shown.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Jwt {
    pub(super) alg: Option<String>,
    /// The values of those that say whose it is, for whom and for how long.
    pub(super) claims: BTreeMap<String, Value>,
    /// The names of all others.
    pub(super) other_claims: Vec<String>,
}

impl Jwt {
    /// None where `token` is no JWT. A scheme before it is no part of it.
    pub(super) fn read(token: &str) -> Option<Self> {
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let mut parts = token.split('.');
        let (header, claims) = (part(parts.next()?)?, part(parts.next()?)?);
        parts.next()?;
        if parts.next().is_some() {
            return None;
        }
        let (known, others): (Vec<_>, Vec<_>) = claims
            .into_iter()
            .partition(|(name, _)| HARMLESS.contains(&name.as_str()));
        let shown = |(name, value)| Some((name, shown(value)?));
        Some(Self {
            alg: header.get("alg").and_then(Value::as_str).map(clean),
            claims: known.into_iter().filter_map(shown).collect(),
            other_claims: others
                .iter()
                .take(MOST_NAMES)
                .map(|(name, _)| clean(name))
                .collect(),
        })
    }
}

fn part(text: &str) -> Option<Map<String, Value>> {
    let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?);
    serde_json::from_slice(&bytes).ok()
}

/// Texts, numbers, and lists of these.
fn shown(value: Value) -> Option<Value> {
    match value {
        Value::String(text) => Some(Value::String(clean(&text))),
        Value::Number(_) | Value::Bool(_) => Some(value),
        Value::Array(list) => {
            let flat = list
                .into_iter()
                .filter(|it| !it.is_array())
                .take(MOST_NAMES);
            Some(Value::Array(flat.filter_map(shown).collect()))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// Text of others for a terminal: no control characters, no end without end.
pub(super) fn clean(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(LONGEST).map(visible).collect()
}

/// Whose, from whom, for whom, until when, for what. Any other value may be private.
const HARMLESS: [&str; 8] = ["iss", "aud", "sub", "exp", "iat", "nbf", "scope", "scp"];
const MOST_NAMES: usize = 32;
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&json!({ "alg": "RS256" })), part(claims))
    }

    #[test]
    fn the_harmless_claims_are_shown_and_the_others_named() {
        let claims = json!({ "iss": "pod", "exp": 7, "aud": ["a", "b"], "email": "canary@x" });
        let jwt = Jwt::read(&token(&claims)).expect("a JWT");
        assert_eq!(jwt.alg.as_deref(), Some("RS256"));
        assert_eq!(jwt.claims["aud"], json!(["a", "b"]));
        assert_eq!(jwt.other_claims, ["email"]);
        assert!(!format!("{jwt:?}").contains("canary"));
        assert_eq!(Jwt::read(&format!("Bearer {}", token(&claims))), Some(jwt));
    }

    #[test]
    fn what_is_no_jwt_is_none() {
        for text in ["", "opaque", "a.b.c", "e30.e30", "e30.e30.e30.e30"] {
            assert_eq!(Jwt::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_claim_can_not_drive_the_terminal() {
        let claims = json!({ "sub": "a\u{1b}[2Jb", "iss": "x".repeat(5000), "aud": { "k": 1 } });
        let jwt = Jwt::read(&token(&claims)).expect("a JWT");
        assert_eq!(jwt.claims["sub"], json!("a?[2Jb"));
        assert_eq!(jwt.claims["iss"].as_str().map(str::len), Some(LONGEST));
        assert!(!jwt.claims.contains_key("aud"));
    }
}
