//! The two clocks: a monotonic one for every life and deadline, a wall clock for what others wrote down.
//!
//! The monotonic clock is tokio's, so a test that pauses time pauses all of bearerd.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use tokio::time::Instant;

mod late;
mod watchdog;

pub use late::within;
pub use watchdog::{TICK, Verdict, Watch, Watchdog};

/// The present moment on the monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// Time since 1970 on the wall clock; zero when the clock stands before that.
pub fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
