//! What becomes of a life when its source is another, or a call was only made to try one.

use super::{Flight, Life};

impl Life {
    /// Whether a call is under way.
    pub(crate) fn is_flying(&self) -> bool {
        matches!(self.flight, Some(Flight::Flying { .. }))
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
