//! Follows the frames of HTTP/2 as they pass, in whatever pieces they come (RFC 9113, 4.1).

/// Where in its frames one direction of a connection is.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// A frame's header, as far as it has come.
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the frame's payload that are still to come.
    left: usize,
}

/// The next thing that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A frame begins.
    Header {
        /// Its type.
        kind: u8,
        /// Its flags.
        flags: u8,
        /// Bytes of its payload.
        length: usize,
    },
    /// A piece of its payload.
    Payload(&'a [u8]),
}

impl Frames {
    /// Frames begin after so many bytes: the connection's preface is none.
    pub(crate) fn after(preface: usize) -> Self {
        Self {
            left: preface,
            ..Self::default()
        }
    }

    /// Takes the next part off `bytes`; `None` where they don't complete one.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Part<'a>> {
        if self.left > 0 {
            let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
            *bytes = rest;
            self.left -= piece.len();
            return (!piece.is_empty()).then_some(Part::Payload(piece));
        }
        let (piece, rest) = bytes.split_at((HEADER - self.have).min(bytes.len()));
        *bytes = rest;
        self.header[self.have..][..piece.len()].copy_from_slice(piece);
        self.have += piece.len();
        if self.have < HEADER {
            return None;
        }
        self.have = 0;
        let [high, middle, low, kind, flags, ..] = self.header;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some(Part::Header {
            kind,
            flags,
            length: self.left,
        })
    }

    /// Whether a frame's header has begun and is not complete.
    pub(crate) fn in_header(&self) -> bool {
        self.have > 0
    }

    /// Whether the payload of the frame that began last is complete.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }
}

/// Bytes of a frame's header.
pub(crate) const HEADER: usize = 9;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const CONTINUATION: u8 = 9;
/// A flag of SETTINGS.
pub(crate) const ACK: u8 = 1;
/// A flag of HEADERS and CONTINUATION.
pub(crate) const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `bytes` in pieces of `size`: headers, and the payload's bytes one by one.
    fn parts(bytes: &[u8], size: usize) -> Vec<(u8, usize)> {
        let mut frames = Frames::after(3);
        let mut parts = Vec::new();
        for mut piece in bytes.chunks(size) {
            while let Some(part) = frames.next(&mut piece) {
                match part {
                    Part::Header { kind, length, .. } => parts.push((kind, length)),
                    Part::Payload(bytes) => parts.extend(bytes.iter().map(|byte| (*byte, 0))),
                }
            }
            assert!(piece.is_empty());
        }
        assert!(frames.is_complete() && !frames.in_header());
        parts
    }

    #[test]
    fn pieces_of_any_size_are_the_same_frames() {
        let bytes = b"PRE\0\0\x02\x07\x01\0\0\0\x01ab\0\0\0\x08\0\0\0\0\0\0\0\x01\x09\0\0\0\0\0c";
        let whole = parts(bytes, bytes.len());
        let preface = [b'P', b'R', b'E'].map(|byte| (byte, 0));
        let frames = [(7, 2), (b'a', 0), (b'b', 0), (8, 0), (9, 1), (b'c', 0)];
        assert_eq!(whole, [&preface[..], &frames].concat());
        for size in 1..12 {
            assert_eq!(parts(bytes, size), whole, "{size}");
        }
    }
}
