//! What all slots of the process share: where their tasks run, and what its end waits for.

use tokio_util::task::TaskTracker;

use super::sync::Handle;

/// Outlives every slot.
#[derive(Debug)]
pub(super) struct Process {
    /// The runtime of token calls.
    pub(super) control: Handle,
    /// Refresh tokens under way: their successors are waited for.
    pub(super) spending: TaskTracker,
    /// Tokens that are being revoked.
    pub(super) revoking: TaskTracker,
}

impl Process {
    pub(super) fn new(control: Handle) -> Self {
        Self {
            control,
            spending: TaskTracker::new(),
            revoking: TaskTracker::new(),
        }
    }
}
