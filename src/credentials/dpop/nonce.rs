//! What a server wants to see in the next proof (RFC 9449 8 and 9).

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderName};

/// The header by which a server gives a nonce.
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The newest nonce of one server. Of two that come at once either stays: the other's request costs one more try.
#[derive(Debug, Default)]
pub struct Nonce(ArcSwapOption<Box<str>>);

impl Nonce {
    /// The newest, if the server ever gave one.
    pub fn get(&self) -> Option<Arc<Box<str>>> {
        self.0.load_full()
    }

    /// Keeps the one that an answer holds. Whether it holds one that can be used.
    pub fn hear(&self, headers: &HeaderMap) -> bool {
        let Some(nonce) = headers.get(DPOP_NONCE) else {
            return false;
        };
        // It goes into what we sign: nothing but text, and not much of it.
        let usable = nonce.to_str().ok().filter(|text| {
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let Some(nonce) = usable else {
            return false;
        };
        // Most servers repeat theirs on every answer.
        if self
            .0
            .load()
            .as_ref()
            .is_none_or(|known| ***known != *nonce)
        {
            self.0.store(Some(Arc::new(nonce.into())));
        }
        true
    }
}

/// In bytes. Servers give some forty.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(nonce: &[u8]) -> HeaderMap {
        let value = HeaderValue::from_bytes(nonce).unwrap();
        HeaderMap::from_iter([(DPOP_NONCE, value)])
    }

    fn kept(nonce: &Nonce) -> Option<String> {
        nonce.get().map(|text| text.to_string())
    }

    #[test]
    fn the_newest_nonce_stays() {
        let nonce = Nonce::default();
        assert_eq!(kept(&nonce), None);
        assert!(nonce.hear(&answer(b"one")) && nonce.hear(&answer(b"two")));
        assert!(!nonce.hear(&HeaderMap::new()));
        assert_eq!(kept(&nonce).as_deref(), Some("two"));
    }

    #[test]
    fn what_is_no_nonce_is_not_kept() {
        let nonce = Nonce::default();
        nonce.hear(&answer(b"good"));
        let long = [b'n'; LONGEST + 1];
        for bad in [&b""[..], b"a b", b"caf\xc3\xa9", b"\xff", b"a\tb", &long] {
            assert!(!nonce.hear(&answer(bad)), "{bad:?}");
        }
        assert_eq!(kept(&nonce).as_deref(), Some("good"));
        assert!(nonce.hear(&answer(&long[1..])));
    }
}
