//! Bounds what an upstream may send before the head of its answer: hyper takes interim answers without end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::metered::Meter;

/// The bytes that may still come before the head; shared by an exchange and its socket, on one thread.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// Not yet bounded.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(UNBOUNDED)))
    }

    /// A request goes out: its answer's head must come within so many bytes.
    pub(super) fn begin(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// The head is here; its body is bounded by the client's pace.
    pub(super) fn end(&self) {
        self.0.store(UNBOUNDED, Ordering::Relaxed);
    }

    /// Whether more came than was allowed.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// So many came.
    ///
    /// # Errors
    /// Where that is more than was allowed.
    pub(super) fn take(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        if left == UNBOUNDED {
            return Ok(());
        }
        self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
        if bytes < left {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

impl Meter for Allowance {
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.take(bytes.len())
    }
}

const UNBOUNDED: usize = usize::MAX;
/// In HTTP/1.1: far more than a head and what hyper reads of a body along with it.
pub(super) const BEFORE_HEAD: usize = 4 * 1024 * 1024;
