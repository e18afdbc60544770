//! How waiting requests learn that a token call ended: all of them share its one outcome.
//!
//! A landing wakes one postman task for each thread, and that wakes the thread's own waiters: ten thousand waiters
//! on two workers are awake in 6 ms and cost the control runtime 0.03 ms, against 7 to 14 ms and 5 ms when it has
//! to wake each across threads.

use std::{
    cell::RefCell,
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    FetchError,
    sync::{AtomicBool, Mutex, MutexGuard, Notify, PoisonError, spawn, thread_local, yield_now},
};

/// What a flight brought to those who waited for it.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// There is a credential to lease.
    Arrived,
    /// There is none.
    Failed(Arc<FetchError>),
    /// Nothing was learnt: whoever needs one asks again.
    Again,
}

/// The newest flight that landed.
pub(super) struct Landings {
    id: u64,
    newest: Mutex<(u64, Landing)>,
    landed: Arc<Notify>,
}

impl Default for Landings {
    fn default() -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            newest: Mutex::new((0, Landing::Arrived)),
            landed: Arc::default(),
        }
    }
}

impl Landings {
    pub(super) fn land(&self, flight: u64, landing: Landing) {
        *self.newest() = (flight, landing);
        self.landed.notify_waiters();
    }

    /// The outcome of this flight, or of a newer one. Cancel safe: the flight goes on.
    pub(super) async fn wait(&self, flight: u64) -> Landing {
        loop {
            let letterbox = self.letterbox();
            let mut delivered = pin!(letterbox.delivered.notified());
            // Listening begins before the looks: what lands from here on is not missed.
            delivered.as_mut().enable();
            if let Some(landing) = self.landed(flight) {
                return landing;
            }
            if letterbox.is_closed() {
                // Between two rounds; or the runtime ends, and must get the chance to drop us.
                yield_now().await;
            } else {
                delivered.await;
            }
        }
    }

    fn landed(&self, flight: u64) -> Option<Landing> {
        let newest = self.newest();
        (newest.0 >= flight).then(|| newest.1.clone())
    }

    fn newest(&self) -> MutexGuard<'_, (u64, Landing)> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This thread's letterbox, with a postman on his way.
    fn letterbox(&self) -> Arc<Letterbox> {
        LETTERBOXES.with(|boxes| {
            let mut boxes = boxes.borrow_mut();
            let present = boxes.get(&self.id).and_then(Weak::upgrade);
            if let Some(letterbox) = present.filter(|letterbox| !letterbox.is_closed()) {
                return letterbox;
            }
            boxes.retain(|_, letterbox| letterbox.strong_count() > 0);
            let letterbox = Arc::new(Letterbox::default());
            boxes.insert(self.id, Arc::downgrade(&letterbox));
            let round = Round(Arc::clone(&letterbox));
            let landed = Arc::clone(&self.landed).notified_owned();
            spawn(async move {
                landed.await;
                drop(round);
            });
            letterbox
        })
    }
}

/// No postman waits for what can't land any more.
impl Drop for Landings {
    fn drop(&mut self) {
        self.landed.notify_waiters();
    }
}

/// Where the waiters of one thread listen; used for one delivery.
#[derive(Default)]
struct Letterbox {
    delivered: Notify,
    closed: AtomicBool,
}

impl Letterbox {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// A postman's round. It also ends when his runtime does: then the waiters elsewhere find another.
struct Round(Arc<Letterbox>);

impl Drop for Round {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.delivered.notify_waiters();
    }
}

thread_local! {
    static LETTERBOXES: RefCell<HashMap<u64, Weak<Letterbox>>> = RefCell::default();
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
