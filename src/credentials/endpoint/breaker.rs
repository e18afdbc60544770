//! When an endpoint that fails is asked again. Pure: the moments and the dice come from outside.
//!
//! ```text
//! closed -> so many failures in a row -> paused until a moment -> one probe -> closed
//!                                            ^------- it fails, too: longer -'
//! ```

use std::time::Duration;

use crate::{
    clock::Instant,
    credentials::{FailureKind, pace},
};

/// Keeps calls from an endpoint in trouble.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures in a row that begin a pause.
    trips_at: u32,
    failures: u32,
    /// Pauses in a row.
    pauses: u32,
    state: State,
    kind: FailureKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Paused { until: Instant },
    Probing,
}

/// Why a call is not made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Of the newest failure.
    pub(super) kind: FailureKind,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Until a call may be made again.
    pub(super) retry_in: Duration,
}

impl Breaker {
    /// One that `trips_at` so many failures in a row.
    pub(super) fn new(trips_at: u32) -> Self {
        Self {
            trips_at,
            failures: 0,
            pauses: 0,
            state: State::Closed,
            kind: FailureKind::Unreachable,
        }
    }

    /// Why a call would not be made now.
    pub(super) fn held(&self, now: Instant) -> Option<Held> {
        let retry_in = match self.state {
            State::Closed => return None,
            State::Paused { until } if until <= now => return None,
            State::Paused { until } => until - now,
            // How it ends is not known: looked at again soon.
            State::Probing => PROBE,
        };
        Some(Held {
            kind: self.kind,
            failures: self.failures,
            retry_in,
        })
    }

    /// Lets a call pass; whether it is a probe, of which there is one at a time.
    ///
    /// # Errors
    /// [`Held`], where it must not be made.
    pub(super) fn admit(&mut self, now: Instant) -> Result<bool, Held> {
        if let Some(held) = self.held(now) {
            return Err(held);
        }
        let probes = self.state != State::Closed;
        if probes {
            self.state = State::Probing;
        }
        Ok(probes)
    }

    /// The endpoint answered; whether that ends a pause.
    pub(super) fn answered(&mut self) -> bool {
        (self.failures, self.pauses) = (0, 0);
        std::mem::replace(&mut self.state, State::Closed) != State::Closed
    }

    /// A call failed; how long the pause is that begins with it. `dice` is in 0..1.
    pub(super) fn failed(
        &mut self,
        probe: bool,
        kind: FailureKind,
        after: Option<Duration>,
        now: Instant,
        dice: f64,
    ) -> Option<Duration> {
        // Calls that had been under way when the pause began tell nothing new.
        if self.state != State::Closed && !probe {
            return None;
        }
        self.kind = kind;
        self.failures = self.failures.saturating_add(1);
        if self.state == State::Closed && self.failures < self.trips_at {
            return None;
        }
        self.pauses = self.pauses.saturating_add(1);
        let pause = pace::endpoint_pause(after, self.pauses, dice);
        self.state = State::Paused { until: now + pause };
        Some(pause)
    }

    /// A probe was given up before it ended: the next call is one.
    pub(super) fn abandoned(&mut self, now: Instant) {
        if self.state == State::Probing {
            self.state = State::Paused { until: now };
        }
    }
}

/// How soon those who come during a probe look again.
const PROBE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const KIND: FailureKind = FailureKind::Failing;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One that has just begun its first pause, and when.
    fn paused() -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::new(3), clock::now());
        for _ in 0..2 {
            assert_eq!(breaker.failed(false, KIND, None, now, 0.5), None);
            assert_eq!(breaker.admit(now), Ok(false));
        }
        assert_eq!(breaker.failed(false, KIND, None, now, 0.5), Some(s(1)));
        (breaker, now)
    }

    #[test]
    fn an_answer_in_between_begins_the_count_anew() {
        let (mut breaker, now) = (Breaker::new(3), clock::now());
        for _ in 0..10 {
            for _ in 0..2 {
                assert_eq!(breaker.failed(false, KIND, None, now, 0.5), None);
            }
            assert!(!breaker.answered());
        }
        assert_eq!(breaker.admit(now), Ok(false));
    }

    #[test]
    fn nothing_passes_a_pause_and_then_one_at_a_time() {
        let (mut breaker, now) = paused();
        let held = breaker.admit(now + Duration::from_millis(400)).unwrap_err();
        assert_eq!(held.retry_in, Duration::from_millis(600));
        assert_eq!((held.kind, held.failures), (KIND, 3));
        assert_eq!(breaker.admit(now + s(1)), Ok(true));
        for _ in 0..3 {
            assert!(breaker.admit(now + s(1)).is_err(), "a second probe");
        }
        assert!(breaker.answered());
        assert_eq!(breaker.admit(now + s(1)), Ok(false));
    }

    #[test]
    fn pauses_double_with_jitter_to_half_a_minute() {
        let (mut breaker, mut now) = paused();
        let mut most = Vec::new();
        for _ in 0..7 {
            now += s(30);
            assert_eq!(breaker.admit(now), Ok(true));
            most.extend(breaker.failed(true, KIND, None, now, 1.0));
        }
        let most: Vec<_> = most.iter().map(Duration::as_secs).collect();
        assert_eq!(most, [2, 4, 8, 16, 30, 30, 30]);
        now += s(30);
        assert_eq!(breaker.admit(now), Ok(true));
        assert_eq!(breaker.failed(true, KIND, None, now, 0.0), Some(s(1)));
    }

    #[test]
    fn the_endpoints_own_time_is_heeded() {
        let (mut breaker, now) = (Breaker::new(1), clock::now());
        let pause = breaker.failed(false, KIND, Some(s(120)), now, 0.5);
        assert_eq!(pause, Some(s(120)));
    }

    #[test]
    fn calls_that_were_under_way_prolong_nothing() {
        let (mut breaker, now) = paused();
        assert_eq!(breaker.failed(false, KIND, None, now, 0.5), None);
        assert_eq!(breaker.held(now).unwrap().retry_in, s(1));
        assert_eq!(breaker.admit(now + s(1)), Ok(true));
        assert_eq!(breaker.failed(false, KIND, None, now + s(1), 0.5), None);
        assert!(breaker.admit(now + s(1)).is_err(), "the probe goes on");
    }

    #[test]
    fn a_probe_that_was_given_up_is_followed_by_another() {
        let (mut breaker, now) = paused();
        assert_eq!(breaker.admit(now + s(1)), Ok(true));
        breaker.abandoned(now + s(2));
        assert_eq!(breaker.admit(now + s(2)), Ok(true));
    }
}
