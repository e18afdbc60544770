//! A strong, injective hash over a source's whole configuration: the identity of a slot.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::secret::Secret;

/// Identifies a configuration; never shown, since a weak secret could be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn into_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Some of its bits, as a number.
    pub(super) fn spread(&self) -> usize {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]) as usize
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(****)")
    }
}

/// Collects the fields of a configuration.
///
/// Each field is preceded by its length, so ("ab", "c") and ("a", "bc") differ.
#[derive(Clone)]
pub struct FingerprintBuilder(Context);

impl fmt::Debug for FingerprintBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintBuilder(****)")
    }
}

impl FingerprintBuilder {
    /// Begins with the grant's key.
    pub fn new(grant: &str) -> Self {
        Self(Context::new(&SHA256)).text(grant)
    }

    /// Adds a text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a secret.
    pub fn secret(self, secret: &Secret) -> Self {
        self.text(secret.expose())
    }

    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number.
    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Adds another configuration, by its fingerprint.
    pub fn fingerprint(self, other: Fingerprint) -> Self {
        self.bytes(&other.0)
    }

    /// Adds something that may be absent; absent and empty differ.
    pub fn option<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self.number(1), value),
            None => self.number(0),
        }
    }

    /// Adds a list, preceded by its length.
    pub fn list<T>(
        self,
        items: impl ExactSizeIterator<Item = T>,
        add: impl FnMut(Self, T) -> Self,
    ) -> Self {
        let begun = self.number(items.len() as u64);
        items.fold(begun, add)
    }

    /// Ends.
    pub fn finish(self) -> Fingerprint {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        Fingerprint(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str]) -> Fingerprint {
        fields
            .iter()
            .fold(FingerprintBuilder::new("g"), |b, f| b.text(f))
            .finish()
    }

    #[test]
    fn moving_a_border_between_fields_changes_it() {
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab", ""]), of(&["", "ab"]));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
    }

    #[test]
    fn absent_and_empty_differ() {
        let with = |o: Option<&str>| {
            FingerprintBuilder::new("g")
                .option(o, |b, t| b.text(t))
                .finish()
        };
        assert_ne!(with(None), with(Some("")));
    }

    #[test]
    fn lists_do_not_flow_into_one_another() {
        let with = |a: &[&str], b: &[&str]| {
            FingerprintBuilder::new("g")
                .list(a.iter(), |f, t| f.text(t))
                .list(b.iter(), |f, t| f.text(t))
                .finish()
        };
        assert_ne!(with(&["x", "y"], &[]), with(&["x"], &["y"]));
    }
}
