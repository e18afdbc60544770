//! The names of `credentials/sync.rs`: as there, but before each step another thread or task may run.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

pub(super) use shuttle::{
    future::{spawn, yield_now},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread_local,
};

use crate::clock::Instant;

/// Where the scheduler may switch.
fn step() {
    AtomicBool::new(false).load(Ordering::Relaxed);
}

#[derive(Clone, Debug)]
pub(super) struct Handle;

impl Handle {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        spawn(task);
    }
}

/// Time stands still: no deadline is ever over.
pub(super) async fn timeout_at<F: Future>(_: Instant, work: F) -> Result<F::Output, Infallible> {
    Ok(work.await)
}

pub(super) async fn timeout<F: Future>(_: Duration, work: F) -> Result<F::Output, Infallible> {
    Ok(work.await)
}

pub(super) struct ArcSwapOption<T>(arc_swap::ArcSwapOption<T>);

impl<T> ArcSwapOption<T> {
    pub(super) fn empty() -> Self {
        Self(arc_swap::ArcSwapOption::empty())
    }

    pub(super) fn load(&self) -> arc_swap::Guard<Option<Arc<T>>> {
        step();
        self.0.load()
    }

    pub(super) fn store(&self, value: Option<Arc<T>>) {
        step();
        self.0.store(value);
    }
}

#[derive(Default)]
pub(super) struct Notify(Arc<tokio::sync::Notify>);

impl Notify {
    pub(super) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        step();
        self.0.notified()
    }

    pub(super) fn notified_owned(self: Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        step();
        Arc::clone(&self.0).notified_owned()
    }

    pub(super) fn notify_one(&self) {
        step();
        self.0.notify_one();
    }

    pub(super) fn notify_waiters(&self) {
        step();
        self.0.notify_waiters();
    }
}
