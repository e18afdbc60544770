//! Follows the frames that come in, to know whether a header block has begun and is not complete.
//!
//! A block holds up its whole connection (RFC 9113, 4.3), and h2 waits for its end without a deadline.

/// Where in its frames a connection is.
#[derive(Debug, Default)]
pub(in crate::server) struct Blocks {
    /// A frame's header, as far as it has come.
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the frame's payload that are still to come.
    left: usize,
    /// A block is open: its last frame has not ended.
    open: bool,
    /// The frame that comes is the block's last.
    last: bool,
}

impl Blocks {
    /// Frames begin after so many bytes: the connection's preface is none.
    pub(in crate::server) fn after(preface: usize) -> Self {
        Self {
            left: preface,
            ..Self::default()
        }
    }

    /// Reads on.
    pub(in crate::server) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                bytes = &bytes[taken..];
                self.left -= taken;
            } else {
                let taken = (HEADER - self.have).min(bytes.len());
                self.header[self.have..][..taken].copy_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                self.have += taken;
                if self.have < HEADER {
                    return;
                }
                self.have = 0;
                self.begin_frame();
            }
            if self.left == 0 && self.last {
                self.open = false;
                self.last = false;
            }
        }
    }

    /// Whether a block is under way, or a frame of which is not known yet whether it begins one.
    pub(in crate::server) fn in_block(&self) -> bool {
        self.open || self.have > 0
    }

    fn begin_frame(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.open = true;
            self.last = flags & END_HEADERS != 0;
        }
    }
}

const HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

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
