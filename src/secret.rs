//! Text that must never be seen: wiped when dropped, `****` in Debug, no Display, no Serialize.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text, cheap to clone, wiped when its last owner drops it.
///
/// What it can't promise: copies made by others (a `HeaderValue`, a TLS buffer) are theirs and are not wiped.
#[derive(Clone)]
pub struct Secret {
    text: Text,
    /// Where it begins in the text.
    from: usize,
}

#[derive(Clone)]
struct Text(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes ownership of `text`; the caller's buffer becomes the secret's.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: Text(Arc::new(Zeroizing::new(text.into()))),
            from: 0,
        }
    }

    /// The same after `prefix` as bytes for the wire, and the same again: one text is behind both.
    ///
    /// It is wiped when the last owner of either drops it.
    pub fn after(&self, prefix: &str) -> (Bytes, Self) {
        // Of its full size at once: a text that grows leaves its beginnings behind.
        let mut text = String::with_capacity(prefix.len() + self.expose().len());
        text.push_str(prefix);
        text.push_str(self.expose());
        let rest = Self {
            from: prefix.len(),
            ..Self::new(text)
        };
        (Bytes::from_owner(rest.text.clone()), rest)
    }

    /// Shows the secret. Each call site is a place to review: it may go to the wire, nowhere else.
    pub fn expose(&self) -> &str {
        &self.text.0[self.from..]
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// Compares in constant time (the length may show).
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose()
            .as_bytes()
            .ct_eq(other.expose().as_bytes())
            .into()
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "****");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(****)");
    }

    #[test]
    fn a_secret_after_a_prefix_is_the_same_secret() {
        let (whole, rest) = Secret::new("t\u{f6}ken").after("Bearer ");
        assert_eq!(whole, "Bearer t\u{f6}ken".as_bytes());
        assert_eq!(rest, Secret::new("t\u{f6}ken"));
        assert_eq!(
            rest.after("DPoP ").0,
            "DPoP t\u{f6}ken".as_bytes(),
            "without the first prefix"
        );
        assert!(Secret::new("").after("Bearer ").1.is_empty());
    }

    #[test]
    fn both_halves_of_a_secret_after_a_prefix_own_one_text() {
        let (whole, rest) = Secret::new("token").after("Bearer ");
        let text = Arc::downgrade(&rest.text.0);
        assert_eq!(whole["Bearer ".len()..].as_ptr(), rest.expose().as_ptr());
        drop(rest);
        assert!(text.upgrade().is_some(), "on its way to the wire");
        drop(whole);
        assert!(text.upgrade().is_none(), "wiped with the last owner");
    }

    #[test]
    fn equality_is_by_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
