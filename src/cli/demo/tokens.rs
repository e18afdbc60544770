//! What a stand-in issued: which tokens are good, for whom, until when.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::clock::{self, Instant};

/// The tokens of one kind, and how often somebody asked for one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(Arc<Mutex<Issued>>);

#[derive(Debug, Default)]
struct Issued {
    tokens: HashMap<String, Token>,
    calls: usize,
}

#[derive(Debug)]
struct Token {
    holder: String,
    ends: Instant,
}

/// What a service makes of a token that it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Issued here, and good until its end: whose it is, and how long it has left.
    Good { holder: String, left: Duration },
    /// Issued here once.
    Expired,
    /// Never issued here, or taken back.
    Unknown,
}

impl Tokens {
    /// Notes that somebody asks for a token, whatever comes of it.
    pub(super) fn asked(&self) {
        self.lock().calls += 1;
    }

    /// How many tokens were asked for so far.
    pub(super) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Issues `token` to `holder`.
    pub(super) fn issue(&self, token: String, holder: &str, life: Duration) -> String {
        let issued = Token {
            holder: holder.into(),
            ends: clock::now() + life,
        };
        self.lock().tokens.insert(token.clone(), issued);
        token
    }

    /// Takes back every token, as an operator of the upstream might.
    pub(super) fn revoke_all(&self) {
        self.lock().tokens.clear();
    }

    /// Ends every token now, as if its time had passed.
    pub(super) fn expire_all(&self) {
        let now = clock::now();
        for token in self.lock().tokens.values_mut() {
            token.ends = now;
        }
    }

    pub(super) fn standing(&self, token: &str) -> Standing {
        let now = clock::now();
        match self.lock().tokens.get(token) {
            None => Standing::Unknown,
            Some(token) if token.ends <= now => Standing::Expired,
            Some(token) => Standing::Good {
                holder: token.holder.clone(),
                left: token.ends - now,
            },
        }
    }

    /// Whether `token` is good now.
    pub(super) fn accepts(&self, token: &str) -> bool {
        matches!(self.standing(token), Standing::Good { .. })
    }

    /// Whether an `Authorization` field holds a good token.
    pub(super) fn accepts_bearer(&self, field: &str) -> bool {
        field
            .strip_prefix("Bearer ")
            .is_some_and(|token| self.accepts(token))
    }

    /// Whose token it is, if it is good.
    pub(super) fn holder(&self, token: &str) -> Option<String> {
        match self.standing(token) {
            Standing::Good { holder, .. } => Some(holder),
            Standing::Expired | Standing::Unknown => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Issued> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that tells nothing: 32 hexadecimal digits.
pub(super) fn opaque() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// A JWT, as most vendors issue them; signed with a key that nobody has.
pub(super) fn jwt(issuer: &str, subject: &str, life: Duration) -> String {
    let now = clock::unix_time();
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = json!({
        "iss": issuer,
        "sub": subject,
        "iat": now.as_secs(),
        "exp": (now + life).as_secs(),
        "jti": opaque(),
    });
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, opaque().as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_until_its_end() {
        let tokens = Tokens::default();
        let token = tokens.issue(opaque(), "alice", HOUR);
        assert_eq!(tokens.holder(&token).as_deref(), Some("alice"));
        tokio::time::advance(HOUR).await;
        assert_eq!(tokens.standing(&token), Standing::Expired);
        assert!(!tokens.accepts(&token));
    }

    #[tokio::test]
    async fn a_token_taken_back_was_never_issued() {
        let tokens = Tokens::default();
        let token = tokens.issue(opaque(), "", HOUR);
        assert!(tokens.accepts(&token));
        tokens.revoke_all();
        assert_eq!(tokens.standing(&token), Standing::Unknown);
    }

    #[test]
    fn two_jwts_of_one_second_differ() {
        assert_ne!(jwt("pod", "bot", HOUR), jwt("pod", "bot", HOUR));
    }
}
