//! Placeholders: what a client that insists on a token holds instead of one, worthless to everybody but us.
//!
//! A placeholder is a JWT in form, as many clients look into theirs for its `exp`. It is signed (HS256) over one
//! caller and one credential of the file, *not* one route: a vendor's login, its key manager and its API are often
//! several routes, and what the login hands out must be good on the others. It opens nothing that the caller could
//! not reach without it, for each route still asks who calls.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA256, SHA256_OUTPUT_LEN, digest},
    hmac, rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::Caller;
use crate::secret::Secret;

/// Issues the placeholders of one credential, and knows them again.
pub struct Placeholders {
    credential: Arc<str>,
    key: hmac::Key,
    lifetime: Duration,
}

/// Why a placeholder is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderRefused {
    /// Not signed with this key: altered, or of a process before a restart.
    #[error("this placeholder is not known here (any more): log in again")]
    Unknown,
    /// Its time is over.
    #[error("this placeholder has expired: log in again")]
    Expired,
    /// Issued to somebody else.
    #[error("this placeholder was issued to another caller")]
    OtherCaller,
    /// Issued for another credential.
    #[error("this placeholder was issued for the routes of another credential")]
    OtherCredential,
}

impl PlaceholderRefused {
    /// Whether another login would bring a good one.
    pub fn asks_for_login(self) -> bool {
        matches!(self, Self::Unknown | Self::Expired)
    }
}

#[derive(Serialize, Deserialize)]
struct Claims<'a> {
    /// First, as [`MARK`] is what a placeholder is recognised by.
    iss: Cow<'a, str>,
    /// The credential.
    aud: Cow<'a, str>,
    /// The caller, where the file has callers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sub: Option<Cow<'a, str>>,
    /// The hash of whom the caller's token is for, where it shows one: they are many.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    usr: Option<String>,
    iat: u64,
    exp: u64,
}

impl Placeholders {
    /// Those for `credential`, good for `lifetime`. Signed with `secret`, so that a restart and other replicas know
    /// them, else with a key that this process alone has.
    pub fn new(credential: &str, secret: Option<&Secret>, lifetime: Duration) -> Self {
        static OWN: OnceLock<hmac::Key> = OnceLock::new();
        let key = match secret {
            // Not the secret itself: it may sign other things elsewhere.
            Some(secret) => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
                let derived = hmac::sign(&secret, ISSUER.as_bytes());
                hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
            }
            None => OWN.get_or_init(random_key).clone(),
        };
        Self {
            credential: credential.into(),
            key,
            lifetime,
        }
    }

    /// How long they are good.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// One for `caller`, at `now` since 1970.
    pub fn issue(&self, caller: &Caller, now: Duration) -> Secret {
        let claims = Claims {
            iss: ISSUER.into(),
            aud: (&*self.credential).into(),
            sub: caller.name().map(|name| (&**name).into()),
            usr: user(caller),
            iat: now.as_secs(),
            exp: (now + self.lifetime).as_secs(),
        };
        let claims = serde_json::to_vec(&claims).expect("names and numbers are JSON");
        let mut token = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Secret::new(token)
    }

    /// Whether `token` was issued here, to this caller, and is still good.
    ///
    /// # Errors
    /// [`PlaceholderRefused`] with the first reason; the signature, compared in constant time, comes first.
    pub fn check(
        &self,
        token: &[u8],
        caller: &Caller,
        now: Duration,
    ) -> Result<(), PlaceholderRefused> {
        let claims = self.signed(token).ok_or(PlaceholderRefused::Unknown)?;
        let claims: Claims<'_> =
            serde_json::from_slice(&claims).map_err(|_| PlaceholderRefused::Unknown)?;
        if claims.aud != *self.credential {
            return Err(PlaceholderRefused::OtherCredential);
        }
        let name = caller.name().map(|name| &**name);
        if claims.sub.as_deref() != name || claims.usr != user(caller) {
            return Err(PlaceholderRefused::OtherCaller);
        }
        if claims.exp <= now.as_secs() {
            return Err(PlaceholderRefused::Expired);
        }
        Ok(())
    }

    /// The claims of a token with our header and our signature.
    fn signed(&self, token: &[u8]) -> Option<Vec<u8>> {
        if token.len() > MOST_BYTES {
            return None;
        }
        let dot = token.iter().rposition(|byte| *byte == b'.')?;
        let (signed, signature) = (&token[..dot], &token[dot + 1..]);
        // The header is compared, never read: there is no algorithm to choose.
        let claims = signed.strip_prefix(HEADER.as_bytes())?.strip_prefix(b".")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.key, signed, &signature).ok()?;
        URL_SAFE_NO_PAD.decode(claims).ok()
    }
}

/// Every text in `value` that is a placeholder or pretends to be one, in whatever it is embedded.
pub fn find(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dots = value.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    // Most values are shorter, and so not even searched.
    let dots = dots.take(if value.len() < MARK.len() {
        0
    } else {
        usize::MAX
    });
    dots.filter(|(dot, _)| value[dot + 1..].starts_with(MARK.as_bytes()))
        .map(|(dot, _)| {
            let begin = value[..dot].iter().rposition(|byte| !is_of_token(*byte));
            let end = value[dot..]
                .iter()
                .position(|byte| !is_of_token(*byte) && *byte != b'.');
            let end = end.map_or(value.len(), |end| dot + end);
            &value[begin.map_or(0, |begin| begin + 1)..end]
        })
}

/// One of the many whom a caller with tokens stands for. Hashed: it may be long, and is nobody's business.
fn user(caller: &Caller) -> Option<String> {
    let Caller::Known(identity) = caller else {
        return None;
    };
    let hash = digest(&SHA256, identity.subject.as_ref()?.as_bytes());
    Some(URL_SAFE_NO_PAD.encode(hash))
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn random_key() -> hmac::Key {
    let mut bytes = zeroize::Zeroizing::new([0; SHA256_OUTPUT_LEN]);
    rand::fill(&mut *bytes).expect("the system has randomness");
    hmac::Key::new(hmac::HMAC_SHA256, &*bytes)
}

impl fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placeholders")
            .field("credential", &self.credential)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

const ISSUER: &str = "urn:bearerd:placeholder";
/// `{"alg":"HS256","typ":"JWT"}`
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// How all claims begin: `{"iss":"urn:bearerd:placeholder",` has a multiple of three bytes.
const MARK: &str = "eyJpc3MiOiJ1cm46YmVhcmVyZDpwbGFjZWhvbGRlciIs";
/// Names of credentials and callers have up to 100 bytes each.
const MOST_BYTES: usize = 2048;

#[cfg(test)]
mod tests;
