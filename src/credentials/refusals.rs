//! How often refusals by upstreams may cause token calls: a broken upstream must not hammer the token endpoint.

use std::time::Duration;

use super::pace;
use crate::clock::Instant;

/// What a slot remembers of refusals.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Unproven credentials refused in a row.
    streak: u32,
    cooling_until: Option<Instant>,
    /// When the allowance of renewals would be full again (a leaky bucket in one number).
    spent_until: Option<Instant>,
}

impl Refusals {
    pub(crate) fn any(&self) -> bool {
        self.streak > 0
    }

    pub(crate) fn cooling(&self, now: Instant) -> bool {
        self.cooling_until.is_some_and(|until| now < until)
    }

    /// Whether this refusal may cause a token call; if not, the slot cools down.
    ///
    /// `unproven`: the refused credential replaced a refused one and no upstream has accepted it.
    pub(crate) fn may_renew(&mut self, accepted: bool, unproven: bool, now: Instant) -> bool {
        if accepted && std::mem::take(&mut self.streak) > 0 {
            self.cooling_until = None;
        }
        if self.cooling(now) {
            return false;
        }
        if unproven {
            self.refused_again(now);
            return false;
        }
        self.spend(now)
    }

    /// A credential that was to mend a refusal is itself refused, or is the refused one.
    pub(crate) fn refused_again(&mut self, now: Instant) {
        self.streak = self.streak.saturating_add(1);
        self.cooling_until = Some(now + pace::cool_down(self.streak));
    }

    /// One upstream that accepts what another always refuses would else renew with every request.
    fn spend(&mut self, now: Instant) -> bool {
        let spent = self.spent_until.map_or(now, |until| until.max(now));
        if spent + EACH > now + EACH * BURST {
            self.cooling_until = Some(spent + EACH - EACH * BURST);
            return false;
        }
        self.spent_until = Some(spent + EACH);
        true
    }
}

/// Renewals after refusals of accepted credentials: ten in a row, then one in ten seconds.
const BURST: u32 = 10;
const EACH: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_refusals_in_a_row_renew_and_then_one_in_ten_seconds() {
        let mut refusals = Refusals::default();
        let mut now = Instant::now();
        for _ in 0..10 {
            assert!(refusals.may_renew(true, false, now));
            assert!(!refusals.cooling(now));
        }
        for _ in 0..3 {
            assert!(!refusals.may_renew(true, false, now));
            assert!(refusals.cooling(now + EACH - Duration::from_millis(1)));
            now += EACH;
            assert!(!refusals.cooling(now));
            assert!(refusals.may_renew(true, false, now));
        }
    }
}
