//! API keys: the file holds their SHA-256, a request shows the key itself.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, PROXY_AUTHORIZATION},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A caller that shows a key in a header.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The caller's name in the file.
    pub name: Arc<str>,
    /// Where the key stands; in `Authorization` and `Proxy-Authorization` as `Bearer KEY`, or as Basic's password.
    pub header: HeaderName,
    /// What it hashes to.
    pub hash: KeyHash,
    /// Whether the users that it names are believed.
    pub may_name_users: bool,
}

/// The SHA-256 of a key. Keys are long and random, so no slower hash is called for.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// What is no hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not `sha256:` and 64 hexadecimal digits")]
pub struct KeyHashError;

impl KeyHash {
    /// Hashes a key.
    pub fn of(key: &Secret) -> Self {
        Self::of_bytes(key.expose().as_bytes())
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyHashError`], which does not quote the text: it may be the key itself.
    pub fn parse(text: &str) -> Result<Self, KeyHashError> {
        let digits = text.strip_prefix("sha256:").ok_or(KeyHashError)?.as_bytes();
        if digits.len() != 64 {
            return Err(KeyHashError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| char::from(digit).to_digit(16).ok_or(KeyHashError);
            *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
        }
        Ok(Self(hash))
    }

    fn of_bytes(key: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, key).as_ref());
        Self(hash)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(****)")
    }
}

/// The hash of the key that stands in this header, if one does.
pub(super) fn presented(name: &HeaderName, value: &HeaderValue) -> Option<KeyHash> {
    let bytes = value.as_bytes();
    if *name != AUTHORIZATION && *name != PROXY_AUTHORIZATION {
        return Some(KeyHash::of_bytes(bytes));
    }
    if let Some(key) = after_scheme(bytes, b"bearer ") {
        return Some(KeyHash::of_bytes(key));
    }
    let pair = Zeroizing::new(STANDARD.decode(after_scheme(bytes, b"basic ")?).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(KeyHash::of_bytes(&pair[colon + 1..]))
}

/// The caller whose key it is. Looks at every one of them, so that time tells nothing of which it was.
pub(super) fn find<'a, T: 'a>(
    keys: impl Iterator<Item = &'a (ApiKey, T)>,
    presented: KeyHash,
) -> Option<&'a T> {
    let mut found = None;
    for (key, whose) in keys {
        if bool::from(key.hash.0.ct_eq(&presented.0)) {
            found = Some(whose);
        }
    }
    found
}

pub(super) fn after_scheme<'a>(bytes: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}
