//! An `application/x-www-form-urlencoded` text that may hold secrets: wiped when dropped.

use zeroize::Zeroizing;

/// Names and values, encoded as they are added.
#[derive(Default)]
pub(super) struct Form(Zeroizing<String>);

impl Form {
    /// Continues a text that is encoded already, such as a URL's own query.
    pub(super) fn after(encoded: &str) -> Self {
        let mut form = Self::default();
        form.push(encoded);
        form
    }

    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.push("&");
        }
        for piece in form_urlencoded::byte_serialize(name.as_bytes()) {
            self.push(piece);
        }
        self.push("=");
        for piece in form_urlencoded::byte_serialize(value.as_bytes()) {
            self.push(piece);
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Grows by hand: the buffer that a String leaves behind when it grows is not wiped.
    fn push(&mut self, piece: &str) {
        let needed = self.0.len() + piece.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(needed.max(256) * 2));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        self.0.push_str(piece);
    }
}
