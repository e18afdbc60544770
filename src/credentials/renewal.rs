//! One fetch with what is kept around it: takes what another process has fetched, and spends no refresh token twice.
//!
//! ```text
//! claim -> newer record there? take it : mark what is spent -> call -> save the successor, or take the mark back
//! ```
//!
//! Whoever dies between mark and save leaves the slot in doubt: whether the server has taken the refresh token is
//! known to nobody, so it is not sent again.

use std::{sync::Arc, time::Duration};

use super::{
    Credential, FailureKind, FetchError, Refreshing, Retry, Source,
    cache::Slot,
    calls::Calls,
    endpoint,
    life::Purpose,
    store::{Claim, Claimed, Record, SlotId, Spending, StoreError},
};
use crate::clock;

mod aside;
mod call;

pub(super) use aside::{compare, replace, save_later, waits_for_a_person};
use call::call;

/// What a fetch brought.
pub(super) struct Obtained {
    pub(super) credential: Credential,
    pub(super) kept: Kept,
    /// Another process had fetched it: no call was made.
    pub(super) adopted: bool,
}

/// The newest record of a slot, as this process knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Where the store has it; none before the first.
    pub(super) id: Option<SlotId>,
    /// Its number; 0 before the first.
    pub(super) number: u64,
    /// All of it, where it could be missed.
    pub(super) record: Option<Arc<Record>>,
    /// Whether the store has it.
    pub(super) is_saved: bool,
}

impl Kept {
    /// Whether a refresh token would be lost with this process's memory.
    pub(super) fn is_only_copy(&self) -> bool {
        let is_irreplaceable = |record: &Arc<Record>| record.is_irreplaceable();
        !self.is_saved && self.record.as_ref().is_some_and(is_irreplaceable)
    }

    /// What is known of the record at `id`: nothing, where another source's is kept.
    pub(super) fn at(&self, id: SlotId) -> Self {
        match self.id {
            Some(known) if known == id => self.clone(),
            _ => Self::default(),
        }
    }
}

/// A credential for `slot`: another process's, or by a call to `source`, which is the slot's own or to follow it.
///
/// # Errors
/// [`FetchError`] of the call, or of the store where nothing may be sent without it.
pub(super) async fn obtain(
    slot: &Arc<Slot>,
    source: &Arc<dyn Source>,
    purpose: Purpose,
    calls: &Calls,
) -> Result<Obtained, FetchError> {
    let id = slot.id_of(&**source);
    let (own, held) = {
        let state = slot.state();
        let held = state.held.as_ref();
        let held = held.map(|held| held.issue.credential.clone());
        // What another source brought says nothing of whether this one works.
        let is_successor = state.kept.id.is_some_and(|known| known != id);
        (state.kept.at(id), held.filter(|_| !is_successor))
    };
    let mut desk = match Desk::claim(slot, &**source, id, &own).await? {
        Begun::Fetch(desk) => desk,
        Begun::Adopt(theirs) => return Ok(adopted(id, theirs)),
    };
    let mut previous = desk.previous(&own, held);
    let refreshing = source.refreshing();
    if let Some(how) = refreshing {
        choose_refresh_token(slot, &desk, &mut previous, &how)?;
    }
    let spends = refreshing.is_some() && previous.as_ref().is_some_and(|it| it.refresh.is_some());
    // Until the successor is saved.
    let _spending = spends.then(|| slot.common.process.spending.token());
    if spends {
        // Before it is marked: what is not sent needs no mark.
        if let Some(held) = source.endpoints().first().and_then(|it| endpoint::held(it)) {
            return Err(held);
        }
        // Looked at with the token in hand: who closes it waits for us, or we see it closed.
        if slot.common.process.spending.is_closed() {
            let why = "the proxy ends: no refresh token is sent any more";
            return Err(FetchError::transient(FailureKind::Failing, why).before_sending());
        }
        desk.rest(slot).await?;
        desk.mark(slot, previous.as_ref()).await?;
    }
    match call(slot, source, previous, purpose, calls).await {
        Ok(credential) => {
            let kept = desk.keep(slot, &own, &credential).await;
            if credential.life == Some(Duration::ZERO) {
                // Dead on arrival: what came with it may be all that renews it.
                slot.state().kept = kept;
                return Err(FetchError::malformed(
                    "the token had expired when it arrived",
                ));
            }
            Ok(Obtained {
                credential,
                kept,
                adopted: false,
            })
        }
        Err(error) => {
            if spends && !error.leaves_in_doubt() {
                desk.unmark(slot, error.ends_grant()).await;
            }
            Err(error)
        }
    }
}

fn adopted(id: SlotId, record: Record) -> Obtained {
    Obtained {
        credential: record.credential(),
        kept: Kept {
            id: Some(id),
            number: record.number,
            record: Some(Arc::new(record)),
            is_saved: true,
        },
        adopted: true,
    }
}

/// How a fetch goes on once the store was asked.
enum Begun {
    Fetch(Desk),
    /// Another process has fetched.
    Adopt(Record),
}

/// What this process may write, and what is known.
struct Desk {
    id: SlotId,
    /// None where there is no store, or it can't be asked.
    claim: Option<Box<dyn Claim>>,
    record: Option<Record>,
    /// The store could not be asked: others may do the same as we.
    alone: bool,
    /// The store of a fleet has lost our record: others may have had a newer one in it.
    lost: bool,
}

impl Desk {
    /// The right to fetch, or another's record that makes a fetch needless.
    async fn claim(
        slot: &Slot,
        source: &dyn Source,
        id: SlotId,
        own: &Kept,
    ) -> Result<Begun, FetchError> {
        let own_record = own.record.as_deref().cloned();
        let Some(store) = &slot.common.store else {
            return Ok(Begun::Fetch(Self {
                id,
                claim: None,
                record: own_record,
                alone: false,
                lost: false,
            }));
        };
        match store.claim(&id, own.number).await {
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
                    })),
                }
            }
        }
    }

    /// The predecessor: the one that is held, with the newest refresh token, or what is kept of it.
    fn previous(&self, own: &Kept, held: Option<Credential>) -> Option<Credential> {
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
    async fn rest(&mut self, slot: &Slot) -> Result<(), FetchError> {
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
    async fn mark(&mut self, slot: &Slot, previous: Option<&Credential>) -> Result<(), FetchError> {
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
    async fn unmark(&mut self, slot: &Slot, ended: bool) {
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

    async fn keep(&mut self, slot: &Slot, own: &Kept, credential: &Credential) -> Kept {
        let known = self.record.as_ref().map_or(0, |record| record.number);
        let record = Record::after(credential, known.max(own.number));
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

/// Puts the first refresh token into `previous` where there is none yet, and takes it out where it must not be sent.
///
/// # Errors
/// In doubt, where nothing but that refresh token could bring another.
fn choose_refresh_token(
    slot: &Slot,
    desk: &Desk,
    previous: &mut Option<Credential>,
    how: &Refreshing<'_>,
) -> Result<(), FetchError> {
    if let (None, Some(first)) = (&previous, how.first) {
        let mut seed = Credential::nothing(clock::now());
        seed.refresh = Some(first.clone());
        *previous = Some(seed);
    }
    let spending = desk.record.as_ref().and_then(|record| record.spending);
    let in_doubt =
        spending.is_some_and(|spending| !spending.is_within(how.reuse_window, clock::unix_time()));
    if !in_doubt && !desk.alone && !desk.lost {
        return Ok(());
    }
    if !how.restarts {
        return match in_doubt {
            true => Err(doubt(&slot.common.name)),
            false => Ok(()),
        };
    }
    if let Some(previous) = previous {
        previous.refresh = None;
    }
    Ok(())
}

fn doubt(name: &str) -> FetchError {
    FetchError::permanent(
        FailureKind::InDoubt,
        format!(
            "its refresh token was sent and no answer came, so it may be spent, and is not sent again: \
             log in again, or give `{name}` a new refresh token"
        ),
    )
    .before_sending()
}

fn unsafe_without(error: &StoreError) -> FetchError {
    let detail = "the store fails, and without it a refresh token could be spent twice";
    let failed = match error.lasts {
        true => FetchError::permanent(FailureKind::Rejected, detail),
        false => FetchError::transient(FailureKind::Failing, detail),
    };
    // Where it is, and why, is not for clients.
    let why = Some(error.why().to_owned());
    failed.with_words(why).before_sending()
}

/// Beyond what the others need to see that something was lost, and to save what a call brings that is under way.
const REST: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// How long the end of the process waits for successors: beyond the usual deadline of a call.
pub(super) const LONGEST_END: Duration = Duration::from_secs(15);
