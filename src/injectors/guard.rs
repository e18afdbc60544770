//! What a client may not send: names compared folded, in every spelling that some server takes for the same.

use std::borrow::Cow;

use http::HeaderName;

use crate::percent;

/// Names of one kind (headers, query parameters or cookies) that are removed from a client's request.
///
/// Names are the same when they are in lower case and without `-` and `_`: CGI and its heirs do not tell
/// `Session_Token` from `session-token`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Folded.
    names: Vec<Box<[u8]>>,
    /// A bit for the first two bytes of each: settles most names of a request without comparing.
    beginnings: u128,
}

/// Whether two names are the same when folded.
pub fn fold_eq(one: &str, two: &str) -> bool {
    fold(one.as_bytes()).eq(fold(two.as_bytes()))
}

impl Guarded {
    /// Guards these names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut guarded = Self::default();
        for name in names {
            let folded: Box<[u8]> = fold(name.as_bytes()).collect();
            if !folded.is_empty() && !guarded.names.contains(&folded) {
                guarded.beginnings |= bit(folded.iter().copied());
                guarded.names.push(folded);
            }
        }
        guarded
    }

    /// Whether nothing is guarded.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a header of this name must go.
    pub fn is_guarded(&self, name: &HeaderName) -> bool {
        self.has(&fold(name.as_str().as_bytes()))
    }

    /// Removes the guarded parameters from a raw query, in every percent-spelling; all else stays byte for
    /// byte. Allocates only where something is removed.
    pub fn strip_query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        // `;` divides too for some servers: what hides behind it is seen as well.
        match self.strip(query.as_bytes(), |byte| matches!(byte, b'&' | b';')) {
            Some(kept) => Cow::Owned(String::from_utf8(kept).expect("cut at ASCII bytes only")),
            None => Cow::Borrowed(query),
        }
    }

    /// Removes the guarded cookies from the value of a `Cookie` field; empty when none is left.
    pub fn strip_cookies<'a>(&self, cookies: &'a [u8]) -> Cow<'a, [u8]> {
        match self.strip(cookies, |byte| byte == b';') {
            Some(kept) => Cow::Owned(kept),
            None => Cow::Borrowed(cookies),
        }
    }

    /// `None` where nothing is removed. What is removed takes the separator before it along.
    fn strip(&self, text: &[u8], separates: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
        let pieces = || text.split(|&byte| separates(byte));
        if self.is_empty() || !pieces().any(|piece| self.has_parameter(piece)) {
            return None;
        }
        let mut kept = Vec::with_capacity(text.len());
        let mut start = 0;
        let mut is_first = true;
        for piece in pieces() {
            let end = start + piece.len();
            if !self.has_parameter(piece) {
                let from = if is_first { start } else { start - 1 };
                kept.extend_from_slice(&text[from..end]);
                is_first = false;
            }
            start = end + 1;
        }
        let blank = kept.iter().take_while(|byte| **byte == b' ').count();
        kept.drain(..blank);
        Some(kept)
    }

    fn has_parameter(&self, piece: &[u8]) -> bool {
        let name = piece.split(|&byte| byte == b'=').next().unwrap_or_default();
        let Some(once) = percent::decode(name) else {
            return self.has_mangled(name);
        };
        // Decoded once is what servers do; twice covers a gateway before them.
        self.has_mangled(&once)
            || percent::decode(&once).is_some_and(|name| self.has_mangled(&name))
    }

    /// PHP takes `a.b`, `a b` and `a[x]` for `a_b`, `a_b` and `a`; Rails takes the last so as well.
    fn has_mangled(&self, name: &[u8]) -> bool {
        let name = name.split(|&byte| byte == b'[').next().unwrap_or_default();
        let dropped = |byte: &u8| matches!(byte, b'.' | b' ' | b'+' | b'\t');
        self.has(&fold(name).filter(|byte| !dropped(byte)))
    }

    fn has(&self, folded: &(impl Iterator<Item = u8> + Clone)) -> bool {
        self.beginnings & bit(folded.clone()) != 0
            && self
                .names
                .iter()
                .any(|guarded| folded.clone().eq(guarded.iter().copied()))
    }
}

fn fold(name: &[u8]) -> impl Iterator<Item = u8> + Clone {
    let kept = name.iter().filter(|byte| !matches!(byte, b'-' | b'_'));
    kept.map(u8::to_ascii_lowercase)
}

fn bit(mut folded: impl Iterator<Item = u8>) -> u128 {
    let first = folded.next().unwrap_or_default();
    let second = folded.next().unwrap_or_default();
    // Two letters are 5 bits each: the sum keeps apart what either alone would not.
    1 << (first.wrapping_mul(5).wrapping_add(second) & 127)
}

#[cfg(test)]
mod tests;
