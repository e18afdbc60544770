//! Follows the frames that come in, to know whether a header block has begun and is not complete.
//!
//! A block holds up its whole connection (RFC 9113, 4.3), and h2 waits for its end without a deadline.

use crate::frames::{CONTINUATION, END_HEADERS, Frames, HEADERS, Part};

/// Where in its frames a connection is.
#[derive(Debug, Default)]
pub(in crate::server) struct Blocks {
    frames: Frames,
    /// A block is open: its last frame has not ended.
    open: bool,
    /// The frame that comes is the block's last.
    last: bool,
}

impl Blocks {
    /// Frames begin after so many bytes: the connection's preface is none.
    pub(in crate::server) fn after(preface: usize) -> Self {
        Self {
            frames: Frames::after(preface),
            ..Self::default()
        }
    }

    /// Reads on.
    pub(in crate::server) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(part) = self.frames.next(&mut bytes) {
            if let Part::Header { kind, flags, .. } = part
                && matches!(kind, HEADERS | CONTINUATION)
            {
                self.open = true;
                self.last = flags & END_HEADERS != 0;
            }
            if self.frames.is_complete() && self.last {
                self.open = false;
                self.last = false;
            }
        }
    }

    /// Whether a block is under way, or a frame of which is not known yet whether it begins one.
    pub(in crate::server) fn in_block(&self) -> bool {
        self.open || self.frames.in_header()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::HEADER;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    /// Whether a block is open behind each byte.
    fn states(bytes: &[u8]) -> Vec<bool> {
        let mut blocks = Blocks::default();
        bytes
            .iter()
            .map(|byte| {
                blocks.read(&[*byte]);
                blocks.in_block()
            })
            .collect()
    }

    #[test]
    fn a_block_is_open_until_its_last_byte() {
        let mut bytes = frame(HEADERS, 0, b"abc");
        bytes.extend(frame(CONTINUATION, 0, b""));
        bytes.extend(frame(CONTINUATION, END_HEADERS, b"d"));
        let states = states(&bytes);
        let (last, before) = states.split_last().expect("there are bytes");
        assert!(before.iter().all(|open| *open), "{before:?}");
        assert!(!last);
        let mut at_once = Blocks::default();
        at_once.read(&bytes);
        assert!(!at_once.in_block());
    }

    #[test]
    fn other_frames_open_none() {
        let data = frame(0, END_HEADERS, b"abc");
        assert!(states(&data)[HEADER - 1..].iter().all(|open| !open));
        let settings = frame(4, 0, b"");
        assert!(!states(&settings)[HEADER - 1]);
    }

    #[test]
    fn an_empty_block_ends_with_its_frames_header() {
        let states = states(&frame(HEADERS, END_HEADERS, b""));
        assert!(states[HEADER - 2] && !states[HEADER - 1]);
    }
}
