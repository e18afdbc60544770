//! Tells HTTP/2 from HTTP/1.1 by the first bytes of a connection in clear (RFC 9113, 3.3 and 3.4).

use super::http2::PREFACE;

/// The first bytes, while they may still become the preface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sniff {
    /// So many bytes of the preface have come.
    seen: usize,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// Nothing yet: all that came may begin a preface.
    Undecided,
    /// It is HTTP/2.
    Http2,
    /// It is anything else, for HTTP/1.1 to take or to refuse.
    Other,
}

impl Sniff {
    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Sniffed {
        let rest = &PREFACE[self.seen..];
        let shared = rest.len().min(bytes.len());
        if bytes[..shared] != rest[..shared] {
            return Sniffed::Other;
        }
        if shared == rest.len() {
            return Sniffed::Http2;
        }
        self.seen += shared;
        Sniffed::Undecided
    }

    /// What was held back until it was known.
    pub(super) fn held(self) -> &'static [u8] {
        &PREFACE[..self.seen]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_tells_most_requests() {
        for head in ["GET / HTTP/1.1", "\x16\x03\x01", "\0", "DELETE"] {
            assert_eq!(Sniff::default().read(head.as_bytes()), Sniffed::Other);
        }
        assert_eq!(Sniff::default().read(b"POST / HTTP/1.1"), Sniffed::Other);
    }

    #[test]
    fn a_preface_may_come_byte_by_byte() {
        let mut sniff = Sniff::default();
        let (last, before) = PREFACE.split_last().expect("it is not empty");
        for byte in before {
            assert_eq!(sniff.read(&[*byte]), Sniffed::Undecided);
        }
        assert_eq!(sniff.held(), before);
        assert_eq!(sniff.read(&[*last, 0, 0]), Sniffed::Http2);
    }

    #[test]
    fn what_turns_out_otherwise_is_all_there() {
        let mut sniff = Sniff::default();
        assert_eq!(sniff.read(b"PRI * HTTP/"), Sniffed::Undecided);
        assert_eq!(sniff.read(b"1.1\r\n"), Sniffed::Other);
        assert_eq!(sniff.held(), b"PRI * HTTP/");
    }
}
