//! How one target of an upstream stands: what is under way there, and whether it is left out for now.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::clock::{Instant, now};

/// What is known of a target; shared by all workers, and kept over reloads.
#[derive(Debug, Default)]
pub(super) struct Standing {
    under_way: AtomicUsize,
    /// Whether there is more to know than that all is well: a request looks no further else.
    doubtful: AtomicBool,
    ejections: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// Times that it was left out, in a row.
    pauses: u32,
    left_out_until: Option<Instant>,
    /// A request has gone there to see whether it is back.
    probed: bool,
    /// As the active checks find it.
    unhealthy: bool,
}

/// How a target stands, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetView {
    /// Whether requests go there.
    pub state: TargetState,
    /// Failures in a row.
    pub failures: u32,
    /// How much longer it is left out for its failures.
    pub left_out_for: Option<Duration>,
    /// Requests under way there.
    pub requests: usize,
    /// How often it was left out.
    pub ejections: u64,
}

/// Whether requests go to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// They do.
    Up,
    /// It has failed too often in a row.
    LeftOut,
    /// Its active checks fail.
    Unhealthy,
}

impl TargetState {
    /// As operators read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::LeftOut => "left_out",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Standing {
    /// Whether a request may go there, or one to see whether it is back.
    pub(super) fn is_available(&self) -> bool {
        if !self.doubtful.load(Relaxed) {
            return true;
        }
        let state = self.lock();
        !state.unhealthy && state.left_out_until.is_none_or(|until| until <= now())
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    /// A request goes there.
    pub(super) fn enter(&self) {
        self.under_way.fetch_add(1, Relaxed);
        if !self.doubtful.load(Relaxed) {
            return;
        }
        let mut state = self.lock();
        if let Some(until) = state.left_out_until {
            state.probed = true;
            // Others keep away until it is known what became of this one.
            state.left_out_until = Some(until.max(now() + PROBE));
        }
    }

    /// It is over.
    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Relaxed);
    }

    /// A request was answered; whether that brings it back.
    pub(super) fn succeeded(&self) -> bool {
        if !self.doubtful.load(Relaxed) {
            return false;
        }
        let mut state = self.lock();
        state.failures = 0;
        let back = state.left_out_until.is_some() && state.probed;
        if back {
            state.left_out_until = None;
            state.probed = false;
            state.pauses = 0;
        }
        // What was under way when it was left out says nothing of what is to come.
        let doubtful = state.unhealthy || state.left_out_until.is_some();
        self.doubtful.store(doubtful, Relaxed);
        back
    }

    /// A request failed there, and others can do `without` it or not; for how long it is left out from now on.
    pub(super) fn failed(&self, without: bool) -> Option<Duration> {
        let mut state = self.lock();
        self.doubtful.store(true, Relaxed);
        state.failures = state.failures.saturating_add(1);
        let due = match state.left_out_until {
            Some(_) => state.probed,
            None => without && state.failures >= FAILURES,
        };
        if !due {
            return None;
        }
        let pause = PAUSE.saturating_mul(1 << state.pauses.min(16)).min(LONGEST);
        state.pauses = state.pauses.saturating_add(1);
        state.left_out_until = Some(now() + pause);
        state.probed = false;
        self.ejections.fetch_add(1, Relaxed);
        Some(pause)
    }

    /// What the active checks find; whether that is news.
    pub(super) fn check(&self, healthy: bool) -> bool {
        let mut state = self.lock();
        let news = state.unhealthy == healthy;
        state.unhealthy = !healthy;
        if news && healthy {
            // Whoever answers its checks again is asked again.
            state.left_out_until = None;
            state.probed = false;
            (state.failures, state.pauses) = (0, 0);
        }
        let doubtful = !healthy || state.failures > 0 || state.left_out_until.is_some();
        self.doubtful.store(doubtful, Relaxed);
        news
    }

    pub(super) fn view(&self) -> TargetView {
        let state = self.lock();
        let left = |until: Instant| until.saturating_duration_since(now());
        TargetView {
            state: match state.left_out_until {
                _ if state.unhealthy => TargetState::Unhealthy,
                Some(_) => TargetState::LeftOut,
                None => TargetState::Up,
            },
            failures: state.failures,
            left_out_for: state.left_out_until.map(left),
            requests: self.under_way(),
            ejections: self.ejections.load(Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures in a row after which a target is left out.
const FAILURES: u32 = 3;
/// For how long at first; twice as long each time that it fails again, and no longer than [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);
/// How long one request has to show that it is back, before another is sent to see.
const PROBE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(standing: &Standing) -> Option<Duration> {
        standing.enter();
        standing.leave();
        standing.failed(true)
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_leave_a_target_out_for_a_time_that_doubles_to_a_bound() {
        let standing = Standing::default();
        assert_eq!((fail(&standing), fail(&standing)), (None, None));
        assert!(standing.is_available());
        let mut pauses = vec![fail(&standing).expect("the third is too much")];
        for _ in 0..8 {
            assert!(!standing.is_available());
            tokio::time::advance(*pauses.last().expect("there is one")).await;
            assert!(standing.is_available(), "one may see whether it is back");
            pauses.push(fail(&standing).expect("it is not"));
        }
        let seconds: Vec<_> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(standing.view().ejections, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_sees_whether_it_is_back_and_its_answer_brings_it_back() {
        let standing = Standing::default();
        assert_eq!((0..3).filter_map(|_| fail(&standing)).count(), 1);
        tokio::time::advance(PAUSE).await;
        assert!(standing.is_available());
        standing.enter();
        assert!(!standing.is_available(), "one is enough");
        assert_eq!(standing.view().state, TargetState::LeftOut);
        assert!(standing.succeeded());
        standing.leave();
        assert!(standing.is_available());
        assert_eq!((standing.view().failures, standing.under_way()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_between_failures_keep_a_target_in() {
        let standing = Standing::default();
        for _ in 0..9 {
            assert_eq!((fail(&standing), fail(&standing)), (None, None));
            assert!(!standing.succeeded(), "it was there all the time");
        }
        assert!(standing.is_available());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_when_it_was_left_out_neither_brings_it_back_nor_keeps_it_out() {
        let standing = Standing::default();
        assert_eq!((0..3).filter_map(|_| fail(&standing)).count(), 1);
        assert!(!standing.succeeded());
        assert!(!standing.is_available());
        assert_eq!(standing.failed(true), None);
        tokio::time::advance(PAUSE).await;
        assert!(standing.is_available());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_left_out_whom_others_cannot_do_without() {
        let standing = Standing::default();
        assert!((0..9).all(|_| standing.failed(false).is_none()));
        assert!(standing.is_available());
    }

    #[tokio::test(start_paused = true)]
    async fn checks_take_a_target_out_and_bring_it_back() {
        let standing = Standing::default();
        assert!(!standing.check(true), "no news");
        assert!(standing.check(false) && !standing.check(false));
        assert!(!standing.is_available());
        assert!(!standing.succeeded(), "an answer is no check");
        assert!(!standing.is_available());
        assert!(standing.check(true));
        assert!(standing.is_available());
    }
}
