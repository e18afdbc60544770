//! The source of a credential's slots, and its successor: the same with other secrets, which has to show that it works.
//!
//! ```text
//! proposed -> verifying -> obtained a token: takes over
//!                 \-> failed, tried again      \-> refused: the old one stays, tried again seldom
//! ```
//!
//! A successor is tried while the old token serves, so that no request waits for it. Where there is no token, one that was
//! not refused takes over at once: nothing is left to be lost.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{FetchError, Retry, Source, SuccessorView, Verifications, pace};
use crate::clock::{self, Instant};

/// What the slots of one credential share: the source that they use, and the one that is to follow it.
#[derive(Debug)]
pub(super) struct Sources(Mutex<State>);

#[derive(Debug)]
struct State {
    current: Arc<dyn Source>,
    successor: Option<Successor>,
    counters: Verifications,
}

#[derive(Debug)]
struct Successor {
    source: Arc<dyn Source>,
    /// A call of it is under way.
    trying: bool,
    /// When the next one is due.
    next: Instant,
    /// Somebody was asked to make it, and has until then.
    asked: Option<Instant>,
    /// Failures of one class in a row.
    failures: u32,
    error: Option<FetchError>,
}

impl Successor {
    /// Whether it is `source`, or the same with other deadlines.
    fn is(&self, source: &Arc<dyn Source>) -> bool {
        self.source.fingerprint() == source.fingerprint()
    }

    fn is_refused(&self) -> bool {
        let error = self.error.as_ref();
        error.is_some_and(|error| error.retry == Retry::Permanent)
    }
}

/// What a reload led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// It is the one in use, or the one that is tried already.
    Known,
    /// It is the one in use again, and another is no longer to follow it.
    Withdrawn,
    /// It is to be tried.
    New,
}

impl Sources {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self(Mutex::new(State {
            current: source,
            successor: None,
            counters: Verifications::default(),
        }))
    }

    /// The one in use.
    pub(super) fn current(&self) -> Arc<dyn Source> {
        Arc::clone(&self.lock().current)
    }

    /// What the file says now. The newest wins: an older one that is still tried is forgotten.
    pub(super) fn propose(&self, source: Arc<dyn Source>) -> Proposal {
        let mut state = self.lock();
        let proposed = source.fingerprint();
        if state.current.fingerprint() == proposed {
            take_deadlines(&mut state.current, source);
            return match state.successor.take() {
                Some(_) => Proposal::Withdrawn,
                None => Proposal::Known,
            };
        }
        let known = state.successor.as_mut();
        if let Some(known) = known.filter(|known| known.source.fingerprint() == proposed) {
            take_deadlines(&mut known.source, source);
            return Proposal::Known;
        }
        state.successor = Some(Successor {
            source,
            trying: false,
            next: clock::now(),
            asked: None,
            failures: 0,
            error: None,
        });
        Proposal::New
    }

    /// When somebody is to be asked to try the successor; none while it is tried.
    pub(super) fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let successor = state.successor.as_ref().filter(|it| !it.trying)?;
        successor.asked.max(Some(successor.next))
    }

    /// Somebody was asked, or nobody can be: the next one no sooner than `until`.
    pub(super) fn asked(&self, until: Instant) {
        if let Some(successor) = &mut self.lock().successor {
            successor.asked = Some(until);
        }
    }

    /// The successor, where it is due: whoever takes it has to report how it went.
    pub(super) fn take_due(&self, now: Instant) -> Option<Arc<dyn Source>> {
        let mut state = self.lock();
        let successor = state.successor.as_mut()?;
        if successor.trying || now < successor.next {
            return None;
        }
        successor.trying = true;
        successor.asked = None;
        Some(Arc::clone(&successor.source))
    }

    /// Has the successor tried now, whatever its back-off says.
    pub(super) fn hurry(&self) {
        if let Some(successor) = &mut self.lock().successor {
            successor.next = clock::now();
        }
    }

    /// Whether this one is still to follow the one in use.
    pub(super) fn is_followed_by(&self, source: &Arc<dyn Source>) -> bool {
        let state = self.lock();
        let successor = state.successor.as_ref();
        successor.is_some_and(|it| it.is(source))
    }

    /// `tried` brought a token: it takes over, unless the file says something else by now.
    pub(super) fn verified(&self, tried: &Arc<dyn Source>) -> bool {
        let mut state = self.lock();
        state.counters.ok += 1;
        let Some(successor) = state.successor.take_if(|it| it.is(tried)) else {
            return false;
        };
        state.current = successor.source;
        true
    }

    /// `tried` brought none; tells how long until it is tried again, and whether that is news.
    pub(super) fn failed(
        &self,
        tried: &Arc<dyn Source>,
        error: &FetchError,
        probe_after: Duration,
    ) -> Option<Failed> {
        let now = clock::now();
        let mut state = self.lock();
        let mut error = error.clone();
        if error.unsent && error.retry == Retry::Permanent {
            // Whatever kept us from asking, it was not the secret: a user's token that has ended, a store.
            error.retry = Retry::Transient { after: None };
        }
        let permanent = error.retry == Retry::Permanent;
        match permanent {
            true => state.counters.refused += 1,
            false => state.counters.failed += 1,
        }
        let successor = state.successor.as_mut();
        let successor = successor.filter(|it| it.is(tried))?;
        let same_class = successor.error.is_some() && successor.is_refused() == permanent;
        successor.failures = if same_class {
            successor.failures + 1
        } else {
            1
        };
        let least = if permanent {
            probe_after
        } else {
            Duration::ZERO
        };
        let pause = pace::pause(error.retry, successor.failures, fastrand::f64()).max(least);
        successor.trying = false;
        successor.next = now + pause;
        successor.error = Some(error);
        Some(Failed {
            first: !same_class,
            refused: permanent,
            retry_in: pause,
        })
    }

    /// Puts the successor in the place of the one in use without a trial, where there is one and it was not refused.
    pub(super) fn take_over(&self) -> bool {
        let mut state = self.lock();
        let successor = state.successor.take_if(|it| !it.is_refused());
        state.follow(successor)
    }

    /// The same where the one in use is refused, too.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.lock();
        let successor = state.successor.take();
        state.follow(successor)
    }

    /// What may be seen of the successor.
    pub(super) fn view(&self) -> (Option<SuccessorView>, Verifications) {
        let state = self.lock();
        let view = state.successor.as_ref().map(|it| SuccessorView {
            refused: it.is_refused(),
            failures: it.failures,
            failure: it.error.as_ref().map(|error| error.kind),
            next_try_in: (!it.trying).then(|| it.next.saturating_duration_since(clock::now())),
        });
        (view, state.counters)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn follow(&mut self, successor: Option<Successor>) -> bool {
        let Some(successor) = successor else {
            return false;
        };
        self.current = successor.source;
        true
    }
}

/// Puts `new` in the place of `known`, which is the same to the server, where it waits for answers for another time.
///
/// Not where tokens are bound to a key that was made at start: `new` has another one.
fn take_deadlines(known: &mut Arc<dyn Source>, new: Arc<dyn Source>) {
    let bound = known.proof_key().is_some_and(|key| key.is_generated());
    if !bound && known.deadlines() != new.deadlines() {
        *known = new;
    }
}

/// How a trial went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// Not so the time before.
    pub(super) first: bool,
    pub(super) refused: bool,
    pub(super) retry_in: Duration,
}
