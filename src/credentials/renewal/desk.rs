//! What a fetch writes and knows of the store around its call.

use std::sync::Arc;

use super::{Kept, REST};
use crate::{
    clock,
    credentials::{
        Credential, FailureKind, FetchError, Retry, Source,
        cache::Slot,
        store::{Claim, Claimed, Record, SlotId, Spending, StoreError},
    },
};

/// How a fetch goes on once the store was asked.
pub(super) enum Begun {
    Fetch(Desk),
    /// Another process has fetched.
    Adopt(Record),
}

/// What this process may write, and what is known.
pub(super) struct Desk {
    id: SlotId,
    /// None where there is no store, or it can't be asked.
    claim: Option<Box<dyn Claim>>,
    pub(super) record: Option<Record>,
    /// The store could not be asked: others may do the same as we.
    pub(super) alone: bool,
    /// The store of a fleet has lost our record: others may have had a newer one in it.
    pub(super) lost: bool,
    /// The source sends refresh tokens.
    renews: bool,
}

impl Desk {
    /// The right to fetch, or another's record newer than `after`, that makes a fetch needless.
    pub(super) async fn claim(
        slot: &Slot,
        source: &dyn Source,
        id: SlotId,
        own: &Kept,
        after: u64,
    ) -> Result<Begun, FetchError> {
        let own_record = own.record.as_deref().cloned();
        let renews = source.refreshing().is_some();
        let Some(store) = &slot.common.store else {
            return Ok(Begun::Fetch(Self {
                id,
                claim: None,
                record: own_record,
                alone: false,
                lost: false,
                renews,
            }));
        };
        match store.claim(&id, after).await {
            Ok(Claimed::Theirs(record)) => {
                slot.store_answered(None);
                Ok(Begun::Adopt(record))
            }
            Ok(Claimed::Ours(claim, record)) => {
                slot.store_answered(None);
                // What could not be saved is newer than what could.
                let newer = own_record.filter(|own| {
                    record
                        .as_ref()
                        .is_none_or(|record| own.number > record.number)
                });
                Ok(Begun::Fetch(Self {
                    id,
                    lost: store.is_of_a_fleet() && own.is_saved && newer.is_some(),
                    renews,
                    claim: Some(claim),
                    record: newer.or(record),
                    alone: false,
                }))
            }
            Err(error) => {
                slot.store_answered(Some(&error));
                match source.refreshing() {
                    // Another process may be spending the same one.
                    Some(how) if !how.restarts => Err(unsafe_without(&error)),
                    _ => Ok(Begun::Fetch(Self {
                        id,
                        claim: None,
                        record: own_record,
                        alone: true,
                        lost: false,
                        renews,
                    })),
                }
            }
        }
    }

    /// Remembers what the claim has shown, so that it is news to nobody again, whatever comes of the fetch.
    pub(super) fn note(&self, slot: &Slot) {
        // One that is alive was passed over on purpose, and may still serve.
        let Some(record) = self.record.as_ref().filter(|record| !record.is_alive()) else {
            return;
        };
        let mut state = slot.state();
        let known = &state.kept;
        // What another source has, which this one may follow, is not forgotten for it.
        if known.id.is_none_or(|known| known == self.id) && known.number < record.number {
            state.kept = Kept::saved(self.id, record.clone());
        }
    }

    /// The predecessor: the one that is held, with the newest refresh token, or what is kept of it.
    pub(super) fn previous(&self, own: &Kept, held: Option<Credential>) -> Option<Credential> {
        match (held, &self.record) {
            (Some(held), Some(record)) if record.number == own.number => Some(Credential {
                refresh: record.refresh.clone(),
                ..held
            }),
            (_, Some(record)) => Some(record.credential()),
            (held, None) => held,
        }
    }

    /// Waits, after the store has lost what it had, until every process must have told it what it knows.
    ///
    /// # Errors
    /// As long as the refresh token rests.
    pub(super) async fn rest(&mut self, slot: &Slot) -> Result<(), FetchError> {
        let now = clock::unix_time();
        if self.lost
            && let Some(mut record) = self.record.take()
        {
            record.rests = Some(now + REST);
            let is_saved = self.save(slot, &record).await.is_ok();
            self.remember(slot, record, is_saved);
        }
        let rests = self.record.as_ref().and_then(|record| record.rests);
        match rests.map(|rests| rests.saturating_sub(now).min(REST)) {
            Some(left) if !left.is_zero() => {
                let why = "the store has lost what it held: its refresh token is not sent before every replica has told \
                           what it knows";
                let mut error = FetchError::transient(FailureKind::Failing, why).before_sending();
                error.retry = Retry::Transient { after: Some(left) };
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Notes, durably, that the refresh token is about to be sent.
    pub(super) async fn mark(
        &mut self,
        slot: &Slot,
        previous: Option<&Credential>,
    ) -> Result<(), FetchError> {
        let Some(previous) = previous else {
            return Ok(());
        };
        let mut record = match self.record.take() {
            Some(record) => record,
            None => Record::new(previous, 0),
        };
        let since = clock::unix_time().as_secs();
        record.spending.get_or_insert(Spending { since });
        if let Err(error) = self.save(slot, &record).await {
            // It may be written all the same; that it was not sent is known to us alone.
            record.spending = None;
            self.remember_newer(slot, record);
            return Err(unsafe_without(&error));
        }
        self.remember(slot, record, self.claim.is_some());
        Ok(())
    }

    /// The refresh token was not taken; `ended` says that it never will be.
    pub(super) async fn unmark(&mut self, slot: &Slot, ended: bool) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        record.spending = None;
        if ended {
            record.refresh = None;
        }
        match self.save(slot, &record).await {
            Ok(()) => self.remember(slot, record, self.claim.is_some()),
            // For all others it is in doubt, which is on the safe side.
            Err(_) => self.remember_newer(slot, record),
        }
    }

    pub(super) async fn keep(&mut self, slot: &Slot, own: &Kept, credential: &Credential) -> Kept {
        let known = self.record.as_ref().map_or(0, |record| record.number);
        let mut record = Record::after(credential, known.max(own.number));
        if !self.renews {
            // Of no use to its source, it makes no record irreplaceable.
            record.refresh = None;
        }
        let is_saved = self.claim.is_some() && self.save(slot, &record).await.is_ok();
        let keeps = slot.common.store.is_some() || record.refresh.is_some();
        Kept {
            id: Some(self.id),
            number: record.number,
            record: keeps.then(|| Arc::new(record)),
            is_saved,
        }
    }

    async fn save(&mut self, slot: &Slot, record: &Record) -> Result<(), StoreError> {
        let Some(claim) = &mut self.claim else {
            return Ok(());
        };
        let saved = claim.save(record).await;
        slot.store_answered(saved.as_ref().err());
        saved
    }

    /// Remembers what the store may lack, as something newer than what it has.
    fn remember_newer(&mut self, slot: &Slot, mut record: Record) {
        record.number += 1;
        self.remember(slot, record, false);
    }

    fn remember(&mut self, slot: &Slot, record: Record, is_saved: bool) {
        slot.state().kept = Kept {
            id: Some(self.id),
            number: record.number,
            record: Some(Arc::new(record.clone())),
            is_saved,
        };
        self.record = Some(record);
    }
}

fn unsafe_without(error: &StoreError) -> FetchError {
    let detail = "the store fails, and without it a refresh token could be spent twice";
    let failed = match error.lasts {
        true => FetchError::permanent(FailureKind::Store, detail),
        false => FetchError::transient(FailureKind::Store, detail),
    };
    // Where it is, and why, is not for clients.
    let why = Some(error.why().to_owned());
    failed.with_words(why).before_sending()
}
