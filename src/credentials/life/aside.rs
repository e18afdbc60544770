//! What becomes of a life when its source is another, a call was only made to try one, or an operator wants one made.

use super::{Flight, Life};
use crate::clock::Instant;

impl Life {
    /// Whether a call is under way.
    pub(crate) fn is_flying(&self) -> bool {
        matches!(self.flight, Some(Flight::Flying { .. }))
    }

    /// An operator wants another credential than any that there is, in whatever process: a call is made now.
    ///
    /// None while one is under way, which may be content with what another process has: ask again once that has landed.
    pub(crate) fn renew(&mut self, now: Instant) -> Option<u64> {
        if self.is_flying() {
            return None;
        }
        self.anew = true;
        Some(self.force(now))
    }

    /// Whether the call that begins is such a one.
    pub(crate) fn begins_anew(&mut self) -> bool {
        std::mem::take(&mut self.anew)
    }

    /// The call that ended brought nothing, and says nothing of the source in use.
    pub(crate) fn let_be(&mut self) {
        self.flight = None;
    }

    /// What went wrong was another source's.
    pub(crate) fn forgive(&mut self) {
        self.trouble = None;
        self.stillborn = false;
    }
}
