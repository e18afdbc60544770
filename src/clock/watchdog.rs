//! Coarse deadlines for connections: one timer a worker instead of several a request.
//!
//! A timer of tokio costs an allocation and two turns of the timer wheel; a request needs half a dozen
//! deadlines that almost never strike. Here a deadline is one relaxed store into the connection's
//! [`Watch`], and one task a worker looks at all of them every [`TICK`]. Deadlines strike up to two ticks
//! late, never early.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use super::{Instant, now};

/// How often deadlines are looked at.
pub const TICK: Duration = Duration::from_millis(250);

/// All connections of one worker.
#[derive(Clone, Debug)]
pub struct Watchdog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: Instant,
    /// Ticks since `start`, as of the last look; the first is 1, since a deadline of 0 means none.
    tick: AtomicU64,
    watches: Mutex<Vec<Arc<State>>>,
}

/// The deadline of one connection.
#[derive(Debug)]
pub struct Watch {
    state: Arc<State>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct State {
    deadline: AtomicU64,
    nudge: AtomicU64,
    verdict: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

/// What became of a watched connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Live,
    /// Its deadline struck.
    Expired,
    /// Its owner gave it up.
    Killed,
}

impl Watchdog {
    /// A watchdog that looks at nothing until [`Watchdog::run`] is polled.
    #[allow(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            start: now(),
            tick: AtomicU64::new(1),
            watches: Mutex::default(),
        }))
    }

    /// A watch without a deadline; forgotten when it is dropped.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.0)
    }

    /// Looks at every deadline, every [`TICK`], forever.
    pub async fn run(self) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.look();
        }
    }

    /// Wakes every task, so that each sees what else has changed.
    pub fn wake_all(&self) {
        for state in lock(&self.0.watches).iter() {
            state.wake();
        }
    }

    fn look(&self) {
        let elapsed = now().duration_since(self.0.start);
        let tick = u64::try_from(elapsed.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX) + 1;
        self.0.tick.store(tick, Ordering::Relaxed);
        lock(&self.0.watches).retain(|state| {
            let deadline = state.deadline.load(Ordering::Relaxed);
            if deadline != 0 && deadline < tick {
                state.end(EXPIRED);
            }
            let nudge = state.nudge.load(Ordering::Relaxed);
            if nudge != 0 && nudge < tick {
                state.nudge.store(0, Ordering::Relaxed);
                state.wake();
            }
            Arc::strong_count(state) > 1
        });
    }
}

impl Watch {
    fn new(shared: &Arc<Shared>) -> Self {
        let state = Arc::<State>::default();
        lock(&shared.watches).push(Arc::clone(&state));
        Self {
            state,
            shared: Arc::clone(shared),
        }
    }

    /// Another watch of the same watchdog, without a deadline.
    pub fn sibling(&self) -> Self {
        Self::new(&self.shared)
    }

    /// Sets the deadline to `limit` from now, whatever it was.
    pub fn within(&self, limit: Duration) {
        let deadline = self.after(limit);
        self.state.deadline.store(deadline, Ordering::Relaxed);
    }

    /// The tick before the one at which `limit` has passed.
    fn after(&self, limit: Duration) -> u64 {
        // In words of 64 bits: `as_millis` has 128, whose division is a call.
        let ticks = limit
            .as_secs()
            .saturating_mul(TICKS_A_SECOND)
            .saturating_add(u64::from(limit.subsec_nanos().div_ceil(TICK_NANOS)));
        self.shared
            .tick
            .load(Ordering::Relaxed)
            .saturating_add(ticks)
    }

    /// Takes the deadline away.
    pub fn rest(&self) {
        self.state.deadline.store(0, Ordering::Relaxed);
    }

    /// Gives the connection up: its task is woken and finds [`Verdict::Killed`].
    pub fn kill(&self) {
        self.state.end(KILLED);
    }

    /// Has the task woken once `limit` has passed, and no later call has put that off.
    pub fn nudges_after(&self, limit: Duration) {
        self.state.nudge.store(self.after(limit), Ordering::Relaxed);
    }

    /// Whether no nudge is to come any more.
    pub fn is_nudged(&self) -> bool {
        self.state.nudge.load(Ordering::Relaxed) == 0
    }

    /// What became of it.
    pub fn verdict(&self) -> Verdict {
        match self.state.verdict.load(Ordering::Acquire) {
            EXPIRED => Verdict::Expired,
            KILLED => Verdict::Killed,
            _ => Verdict::Live,
        }
    }

    /// Names the task that is woken when the verdict falls.
    pub fn wakes(&self, waker: &Waker) {
        *lock(&self.state.waker) = Some(waker.clone());
    }

    /// Another handle on the same deadline.
    pub fn share(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl State {
    fn wake(&self) {
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }

    /// The first verdict stays.
    fn end(&self, verdict: u8) {
        let fell =
            self.verdict
                .compare_exchange(LIVE, verdict, Ordering::AcqRel, Ordering::Relaxed);
        if fell.is_ok()
            && let Some(waker) = lock(&self.waker).take()
        {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const TICK_NANOS: u32 = TICK.subsec_nanos();
const TICKS_A_SECOND: u64 = 1_000_000_000 / TICK_NANOS as u64;

const LIVE: u8 = 0;
const EXPIRED: u8 = 1;
const KILLED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_strikes_late_but_never_early() {
        let dog = Watchdog::new();
        let watch = dog.watch();
        tokio::spawn(dog.clone().run());
        watch.within(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(watch.verdict(), Verdict::Live);
        tokio::time::sleep(TICK * 3).await;
        assert_eq!(watch.verdict(), Verdict::Expired);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_moves_the_deadline_and_rest_takes_it_away() {
        let dog = Watchdog::new();
        let (busy, resting) = (dog.watch(), dog.watch());
        tokio::spawn(dog.clone().run());
        resting.within(Duration::from_secs(1));
        resting.rest();
        for _ in 0..20 {
            busy.within(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        assert_eq!(busy.verdict(), Verdict::Live);
        assert_eq!(resting.verdict(), Verdict::Live);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nudge_wakes_and_ends_nothing() {
        let dog = Watchdog::new();
        let watch = dog.watch();
        tokio::spawn(dog.clone().run());
        watch.nudges_after(Duration::from_secs(1));
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(900)).await;
            assert!(!watch.is_nudged());
            watch.nudges_after(Duration::from_secs(1));
        }
        let woken = std::future::poll_fn(|cx| {
            watch.wakes(cx.waker());
            if watch.is_nudged() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        });
        let in_time = tokio::time::timeout(Duration::from_secs(1) + TICK * 3, woken);
        in_time.await.expect("it was woken");
        assert_eq!(watch.verdict(), Verdict::Live);
    }

    #[tokio::test]
    async fn a_dropped_watch_is_forgotten() {
        let dog = Watchdog::new();
        let (kept, dropped) = (dog.watch(), dog.watch());
        drop(dropped);
        dog.look();
        assert_eq!(lock(&dog.0.watches).len(), 1);
        drop(kept);
    }
}
