//! Where the frames of a WebSocket end (RFC 6455, 5.2), seen from outside: so that one of ours can be put between two.

/// One direction of a WebSocket, passed on unread.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The head of the frame that has begun, as far as it has come.
    head: Vec<u8>,
    /// Bytes of its payload that are still to come.
    payload: u64,
    /// The direction was closed: nothing may follow.
    closed: bool,
}

impl Frames {
    /// These bytes pass.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.payload -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if let Some(payload) = payload(&self.head) {
                self.closed |= self.head[0] & OPCODE == CLOSE;
                self.payload = payload;
                self.head.clear();
            }
        }
    }

    /// A frame that closes the WebSocket, from a server; none where it would stand within another frame.
    pub(super) fn close(&self) -> Option<Vec<u8>> {
        self.is_between()
            .then(|| vec![FINAL | CLOSE, 2, POLICY[0], POLICY[1]])
    }

    /// The same from a client (5.3).
    pub(super) fn masked_close(&self) -> Option<Vec<u8>> {
        let mask = fastrand::u32(..).to_be_bytes();
        let masked = [POLICY[0] ^ mask[0], POLICY[1] ^ mask[1]];
        self.is_between()
            .then(|| [&[FINAL | CLOSE, MASKED | 2][..], &mask, &masked].concat())
    }

    fn is_between(&self) -> bool {
        self.head.is_empty() && self.payload == 0 && !self.closed
    }
}

/// The length of a frame's payload, once its head is complete.
fn payload(head: &[u8]) -> Option<u64> {
    let (_, rest) = head.split_first()?;
    let (length, rest) = rest.split_first()?;
    let mask = if length & MASKED == 0 { 0 } else { 4 };
    let (length, extended) = match length & !MASKED {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u16::from_be_bytes(*length).into(), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        length => (length.into(), rest),
    };
    (extended.len() == mask).then_some(length)
}

const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 8;
const MASKED: u8 = 0x80;
/// 1008, policy violation.
const POLICY: [u8; 2] = 1008_u16.to_be_bytes();

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of every form, each with its payload.
    fn frames() -> Vec<Vec<u8>> {
        let long = |head: &[u8], length: usize| [head, &vec![0x88; length]].concat();
        vec![
            long(&[0x81, 5], 5),
            long(&[0x82, 0], 0),
            long(&[0x02, 0x80 | 3, 1, 2, 3, 4], 3),
            long(&[0x80, 126, 1, 0], 256),
            long(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
            long(&[0x82, 0x80 | 126, 0, 200, 1, 2, 3, 4], 200),
        ]
    }

    #[test]
    fn a_frame_of_ours_stands_between_two_and_never_within_one() {
        let mut seen = Frames::default();
        for frame in frames() {
            for byte in &frame {
                let before = seen.close().is_some();
                seen.pass(&[*byte]);
                assert!(!before || seen.close().is_none());
            }
            assert_eq!(seen.close(), Some(vec![0x88, 2, 0x03, 0xf0]), "{frame:?}");
        }
        seen = Frames::default();
        seen.pass(&frames().concat());
        assert!(seen.close().is_some());
    }

    #[test]
    fn nothing_follows_a_close() {
        let mut seen = Frames::default();
        seen.pass(&[0x88, 2, 3, 232]);
        assert_eq!((seen.close(), seen.masked_close()), (None, None));
    }

    #[test]
    fn a_clients_close_is_masked() {
        let frame = Frames::default()
            .masked_close()
            .expect("no frame has begun");
        let (head, rest) = frame.split_at(2);
        assert_eq!(head, [0x88, 0x82]);
        assert_eq!(payload(&frame[..6]), Some(2));
        let code = [rest[4] ^ rest[0], rest[5] ^ rest[1]];
        assert_eq!(u16::from_be_bytes(code), 1008);
    }
}
