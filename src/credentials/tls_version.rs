//! Which version of TLS a handshake ended with, for a person who asks.

use std::sync::atomic::{AtomicU8, Ordering};

use rustls::KeyLog;

/// The newest handshake's version. reqwest does not tell it, and rustls tells it besides only to who would log the
/// keys of a connection: this one listens to what they are called, and declines them.
#[derive(Debug, Default)]
pub(super) struct TlsVersion(AtomicU8);

impl TlsVersion {
    /// What was seen since [`forget`](Self::forget).
    pub(super) fn get(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Relaxed) {
            2 => Some("1.2"),
            3 => Some("1.3"),
            _ => None,
        }
    }

    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn hear(&self, label: &str) {
        // The one name of TLS 1.2; TLS 1.3 has several.
        let version = if label == "CLIENT_RANDOM" { 2 } else { 3 };
        self.0.store(version, Ordering::Relaxed);
    }
}

impl KeyLog for TlsVersion {
    fn log(&self, label: &str, _client_random: &[u8], _secret: &[u8]) {
        self.hear(label);
    }

    fn will_log(&self, label: &str) -> bool {
        self.hear(label);
        false
    }
}
