//! What an HTTP/2 connection hears of its upstream and hyper does not tell: whether anything comes at all, how many streams
//! it takes, and how much comes before the heads of answers.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::{SendError, allowance::Allowance, http2::MAX_STREAMS, metered::Meter};
use crate::frames::{ACK, CONTINUATION, Frames, HEADER, HEADERS, Part, SETTINGS};

/// What is known of one connection.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    frames: Arc<AtomicUsize>,
    heads: Allowance,
    most: watch::Receiver<Option<usize>>,
    connect: Arc<AtomicBool>,
    alert: Arc<OnceLock<rustls::Error>>,
}

/// Listens to it.
#[derive(Debug)]
pub(super) struct Ear {
    frames: Frames,
    /// A SETTINGS frame is under way.
    settings: bool,
    /// One of its entries, as far as it has come.
    entry: Vec<u8>,
    /// How many streams this frame says.
    said: Option<usize>,
    count: Arc<AtomicUsize>,
    heads: Allowance,
    most: watch::Sender<Option<usize>>,
    connect: Arc<AtomicBool>,
    alert: Arc<OnceLock<rustls::Error>>,
}

impl Heard {
    /// Nothing yet, and who listens.
    pub(super) fn new() -> (Self, Ear) {
        let count = Arc::<AtomicUsize>::default();
        let heads = Allowance::new();
        let (sender, receiver) = watch::channel(None);
        let connect = Arc::<AtomicBool>::default();
        let alert = Arc::<OnceLock<_>>::default();
        let ear = Ear {
            frames: Frames::default(),
            settings: false,
            entry: Vec::with_capacity(ENTRY),
            said: None,
            count: Arc::clone(&count),
            heads: heads.clone(),
            most: sender,
            connect: Arc::clone(&connect),
            alert: Arc::clone(&alert),
        };
        let heard = Self {
            frames: count,
            heads,
            most: receiver,
            connect,
            alert,
        };
        (heard, ear)
    }

    /// How many frames came so far.
    pub(super) fn frames(&self) -> usize {
        self.frames.load(Ordering::Relaxed)
    }

    /// How many streams the upstream takes at once; `None` while it has not said so.
    pub(super) fn most(&self) -> Option<usize> {
        *self.most.borrow()
    }

    /// Waits until the upstream says how many streams it takes; `false` where the connection ended instead.
    pub(super) async fn told(&mut self) -> bool {
        self.most.changed().await.is_ok()
    }

    /// Whether it takes an extended CONNECT, which it says at the beginning or not at all (RFC 8441, 3).
    pub(super) async fn takes_connect(&self) -> bool {
        let mut most = self.most.clone();
        let told = most.wait_for(Option::is_some);
        let _ = timeout(BEGINNING, told).await;
        self.connect.load(Ordering::Relaxed)
    }

    /// Why the connection ended before anything was said.
    pub(super) fn end(&self) -> SendError {
        match self.alert() {
            Some(alert) => SendError::Tls(alert),
            None if self.frames() == 0 => SendError::Refused(io::ErrorKind::UnexpectedEof.into()),
            None => SendError::Protocol(None),
        }
    }

    /// Why the upstream ended TLS: in 1.3 it judges our certificate after the handshake.
    pub(super) fn alert(&self) -> Option<io::Error> {
        let alert = self.alert.get()?.clone();
        Some(io::Error::new(io::ErrorKind::InvalidData, alert))
    }

    /// Another stream has begun, or the head of an answer has come: so much may come before the next.
    pub(super) fn expect_heads(&self) {
        self.heads.begin(HEADS);
    }

    /// Whether more came.
    pub(super) fn is_flooded(&self) -> bool {
        self.heads.is_spent()
    }
}

impl Ear {
    fn begin(&mut self, kind: u8, flags: u8, length: usize) -> io::Result<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.settings = kind == SETTINGS && flags & ACK == 0;
        self.entry.clear();
        self.said = None;
        match kind {
            HEADERS | CONTINUATION => self.heads.take(HEADER + length),
            _ => Ok(()),
        }
    }

    /// RFC 9113, 6.5.1.
    fn read_settings(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at((ENTRY - self.entry.len()).min(bytes.len()));
            bytes = rest;
            self.entry.extend_from_slice(piece);
            if let [a, b, value @ ..] = &*self.entry
                && let Ok(value) = <[u8; 4]>::try_from(value)
            {
                let value = usize::try_from(u32::from_be_bytes(value)).unwrap_or(MAX_STREAMS);
                match u16::from_be_bytes([*a, *b]) {
                    MAX_CONCURRENT_STREAMS => self.said = Some(value.min(MAX_STREAMS)),
                    ENABLE_CONNECT_PROTOCOL => self.connect.store(value == 1, Ordering::Relaxed),
                    _ => {}
                }
                self.entry.clear();
            }
        }
    }
}

impl Meter for Ear {
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(part) = self.frames.next(&mut bytes) {
            match part {
                Part::Header {
                    kind,
                    flags,
                    length,
                } => self.begin(kind, flags, length)?,
                Part::Payload(bytes) if self.settings => self.read_settings(bytes),
                Part::Payload(_) => {}
            }
            if self.settings && self.frames.is_complete() {
                self.settings = false;
                // The first that does not speak of it: as many as we like.
                let before = *self.most.borrow();
                let most = self.said.or(before).unwrap_or(MAX_STREAMS);
                self.most.send_replace(Some(most));
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: &io::Error) {
        if let Some(alert) = alert(error) {
            let _ = self.alert.set(alert);
        }
    }
}

/// What the other side of TLS says for itself.
pub(super) fn alert(error: &io::Error) -> Option<rustls::Error> {
    let found = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(found, rustls::Error::AlertReceived(_)).then(|| found.clone())
}

/// Bytes of one entry of SETTINGS.
const ENTRY: usize = 6;
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// RFC 8441, 3.
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
/// How long an upstream may take to begin.
const BEGINNING: Duration = Duration::from_secs(1);
/// Bytes of heads: the largest for each stream at once, each with interim answers and trailers.
const HEADS: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: u8, entries: &[(u16, u32)]) -> Vec<u8> {
        let length = u8::try_from(entries.len() * ENTRY).expect("few entries");
        let mut frame = vec![0, 0, length, SETTINGS, flags, 0, 0, 0, 0];
        for (id, value) in entries {
            frame.extend_from_slice(&id.to_be_bytes());
            frame.extend_from_slice(&value.to_be_bytes());
        }
        frame
    }

    #[test]
    fn what_an_upstream_has_not_said_is_not_what_it_has_said() {
        for most in [0, 1, 2, 3_000_000_000] {
            let (heard, mut ear) = Heard::new();
            assert_eq!(heard.most(), None);
            for byte in settings(0, &[(4, 3), (MAX_CONCURRENT_STREAMS, most), (5, 3)]) {
                ear.read(&[byte]).expect("little came");
            }
            assert_eq!(heard.most(), Some((most as usize).min(MAX_STREAMS)));
            assert_eq!(heard.frames(), 1);
        }
    }

    #[test]
    fn the_first_settings_may_leave_it_open_and_later_ones_leave_it_as_it_was() {
        let (heard, mut ear) = Heard::new();
        let mut read = |bytes: &[u8]| ear.read(bytes).expect("little came");
        read(&settings(ACK, &[]));
        assert_eq!(heard.most(), None, "an acknowledgement says nothing");
        read(&settings(0, &[]));
        assert_eq!(heard.most(), Some(MAX_STREAMS));
        read(&settings(0, &[(MAX_CONCURRENT_STREAMS, 7)]));
        read(&settings(0, &[(4, 100)]));
        assert_eq!(heard.most(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn extended_connect_is_taken_by_whoever_says_so_at_the_beginning() {
        for (entries, takes) in [(&[(ENABLE_CONNECT_PROTOCOL, 1)][..], true), (&[], false)] {
            let (heard, mut ear) = Heard::new();
            assert!(!heard.takes_connect().await, "nothing was said");
            ear.read(&settings(0, entries)).expect("little came");
            assert_eq!(heard.takes_connect().await, takes);
        }
    }

    #[test]
    fn heads_without_end_are_too_much_and_bodies_are_not() {
        let (heard, mut ear) = Heard::new();
        heard.expect_heads();
        let mut frame = |kind| {
            let head = [0, 0x40, 0, kind, 0, 0, 0, 0, 1];
            ear.read(&head).and_then(|()| ear.read(&[0; 0x4000]))
        };
        for _ in 0..2 * HEADS / 0x4000 {
            frame(0).expect("DATA is the client's to bound");
        }
        for _ in 0..HEADS / 0x4000 / 2 {
            frame(HEADERS).expect("half of it");
        }
        heard.expect_heads();
        let many = (0..HEADS / 0x4000).map(|_| frame(CONTINUATION));
        assert!(many.filter(|read| read.is_err()).count() > 0);
        assert!(heard.is_flooded());
    }
}
