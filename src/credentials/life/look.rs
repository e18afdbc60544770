//! What may be read of a life without changing it.

use std::time::Duration;

use super::{Flight, Life};
use crate::{clock::Instant, credentials::SlotState};

impl Life {
    pub(crate) fn state(&self, now: Instant) -> SlotState {
        match (&self.token, &self.flight) {
            (Some(token), _) if token.withheld && self.trouble.is_none() => SlotState::Replacing,
            (Some(token), _) if !token.withheld && !self.expired(now) => {
                if self.refusals.cooling(now) {
                    SlotState::CoolingDown
                } else if self.flight.is_some() {
                    SlotState::Refreshing
                } else {
                    SlotState::Fresh
                }
            }
            _ if self.trouble.is_some() => SlotState::Failed,
            (_, Some(_)) => SlotState::Fetching,
            _ => SlotState::Empty,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn flight(&self) -> u64 {
        self.flights
    }

    pub(crate) fn expires(&self) -> Option<Instant> {
        self.token.and_then(|token| token.expires)
    }

    pub(crate) fn next_refresh(&self) -> Option<Instant> {
        let trouble = self.trouble.map(|trouble| trouble.next);
        let renew = self.token.and_then(|token| token.renew);
        match self.flight {
            Some(Flight::Due { at, .. }) => Some(at),
            Some(Flight::Flying { .. }) => None,
            None => trouble.max(renew),
        }
    }

    /// Until the next attempt, where the last one failed.
    pub(crate) fn retry_in(&self, now: Instant) -> Option<Duration> {
        self.trouble
            .map(|trouble| trouble.next.saturating_duration_since(now))
    }
}
