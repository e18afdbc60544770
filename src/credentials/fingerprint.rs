//! Strong, injective hashes over a source's configuration: over the whole, and over what its credentials are for.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::secret::Secret;

/// Identifies a configuration; never shown, since a weak secret could be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    whole: [u8; 32],
    purpose: [u8; 32],
}

impl Fingerprint {
    /// What a builder makes of these fields and no others, in one pass: a request may wait for it.
    pub(super) fn of(fields: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for field in fields {
            add(&mut context, field);
        }
        let whole = finished(context);
        Self {
            whole,
            purpose: whole,
        }
    }

    pub(super) fn into_bytes(self) -> [u8; 32] {
        self.whole
    }

    /// Of all but the [authentication](FingerprintBuilder::authentication): equal where credentials are for the same,
    /// whoever can prove a claim to them.
    pub(super) fn purpose(self) -> Self {
        Self {
            whole: self.purpose,
            purpose: self.purpose,
        }
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
pub struct FingerprintBuilder {
    whole: Context,
    purpose: Context,
}

impl fmt::Debug for FingerprintBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintBuilder(****)")
    }
}

impl FingerprintBuilder {
    /// Begins with the grant's key.
    pub fn new(grant: &str) -> Self {
        Self {
            whole: Context::new(&SHA256),
            purpose: Context::new(&SHA256),
        }
        .text(grant)
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
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.both(bytes, bytes)
    }

    /// Adds a number.
    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Adds another configuration, by its fingerprint.
    pub fn fingerprint(self, other: Fingerprint) -> Self {
        self.both(&other.whole, &other.purpose)
    }

    /// Adds what shows the server that the account is ours, and says nothing of which account or what for.
    ///
    /// A change of it alone is tried out before it replaces anything, and the old token is sent meanwhile. So what is
    /// in doubt stays outside: a change of that takes effect at once.
    pub fn authentication(self, add: impl FnOnce(Self) -> Self) -> Self {
        let purpose = self.purpose.clone();
        Self {
            purpose,
            ..add(self)
        }
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
        Fingerprint {
            whole: finished(self.whole),
            purpose: finished(self.purpose),
        }
    }

    fn both(mut self, whole: &[u8], purpose: &[u8]) -> Self {
        add(&mut self.whole, whole);
        add(&mut self.purpose, purpose);
        self
    }
}

fn add(context: &mut Context, field: &[u8]) {
    context.update(&(field.len() as u64).to_be_bytes());
    context.update(field);
}

fn finished(context: Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_one_pass_are_what_the_builder_makes_of_them() {
        let built = FingerprintBuilder::new("user").text("name").number(1);
        let fields: [&[u8]; 3] = [b"user", b"name", &1_u64.to_be_bytes()];
        assert_eq!(Fingerprint::of(&fields), built.finish());
    }

    #[test]
    fn authentication_changes_the_whole_and_not_the_purpose() {
        let with = |scope: &str, secret: &str| {
            FingerprintBuilder::new("g")
                .authentication(|b| b.text(secret))
                .text(scope)
                .finish()
        };
        assert_ne!(with("a", "one"), with("a", "two"));
        assert_eq!(with("a", "one").purpose(), with("a", "two").purpose());
        assert_ne!(with("a", "one").purpose(), with("b", "one").purpose());
        let around = |secret| {
            FingerprintBuilder::new("h")
                .fingerprint(with("a", secret))
                .finish()
        };
        assert_ne!(around("one"), around("two"));
        assert_eq!(around("one").purpose(), around("two").purpose());
    }

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
