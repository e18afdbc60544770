//! What a panic leaves behind: one event with message and place, written before anything else happens.

use std::{
    io::Write,
    panic::{self, PanicHookInfo},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use tracing::{Level, enabled, error};

/// Takes the place of the standard hook, whose text would go past the queue and the format.
pub(super) fn install_hook() {
    panic::set_hook(Box::new(report));
}

/// How many there were.
pub(super) fn count() -> u64 {
    COUNT.load(Relaxed)
}

fn report(info: &PanicHookInfo<'_>) {
    COUNT.fetch_add(1, Relaxed);
    let message = info.payload_as_str().unwrap_or("(no message)");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    if enabled!(target: TARGET, Level::ERROR) {
        error!(target: TARGET, place, thread, "a fault of bearerd, please report it: {message}");
        // The process may be about to end: this one is worth waiting for.
        super::flush(Duration::from_millis(500));
    } else {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "thread {thread} panicked at {place}: {message}");
    }
}

static COUNT: AtomicU64 = AtomicU64::new(0);
const TARGET: &str = "bearerd::panic";
