//! The cache with a source that does what a test says, in paused time.

mod calls;
mod canary;
mod discovery;
mod endurance;
mod fake;
mod http;
mod linked;
mod mtls;
mod renewal;
mod shell;
mod subjects;
