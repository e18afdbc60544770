//! The cache with a source that does what a test says, in paused time.

mod admission;
mod calls;
pub(super) mod canary;
mod discovery;
mod endurance;
pub(super) mod fake;
mod forgetting;
pub(super) mod http;
mod interleavings;
mod landings;
mod linked;
mod mtls;
mod renewal;
pub(super) mod scratch;
mod shell;
mod subjects;
mod succession;
