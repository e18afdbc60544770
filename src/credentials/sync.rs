//! What threads and tasks share, by names for which `tests/interleavings.rs` has others: it decides who runs next.

pub(super) use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread_local,
};

pub(super) use arc_swap::ArcSwapOption;
pub(super) use tokio::{
    runtime::Handle,
    spawn,
    sync::Notify,
    task::yield_now,
    time::{timeout, timeout_at},
};
