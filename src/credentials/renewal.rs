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
    Credential, FailureKind, FetchError, Refreshing, Source,
    cache::Slot,
    calls::Calls,
    endpoint,
    life::Purpose,
    store::{NONE_IS_NEWER, Record, SlotId},
};
use crate::clock;

mod aside;
mod call;
mod desk;

pub(super) use aside::{compare, replace, see_saved, waits_for_a_person};
use call::call;
use desk::{Begun, Desk};

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
    /// What the store has.
    fn saved(id: SlotId, record: Record) -> Self {
        Self {
            id: Some(id),
            number: record.number,
            record: Some(Arc::new(record)),
            is_saved: true,
        }
    }

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
    let (own, held, after) = {
        let mut state = slot.state();
        let anew = state.life.begins_anew();
        let held = state.held.as_ref();
        let held = held.map(|held| held.issue.credential.clone());
        // What another source brought says nothing of whether this one works.
        let is_successor = state.kept.id.is_some_and(|known| known != id);
        let own = state.kept.at(id);
        let after = if anew { NONE_IS_NEWER } else { own.number };
        (own, held.filter(|_| !is_successor), after)
    };
    let mut desk = match Desk::claim(slot, &**source, id, &own, after).await? {
        Begun::Fetch(desk) => desk,
        Begun::Adopt(theirs) => return Ok(adopted(id, theirs)),
    };
    desk.note(slot);
    let mut previous = desk.previous(&own, held);
    let refreshing = source.refreshing();
    let restarts = refreshing.is_some_and(|how| how.restarts);
    if let Some(how) = refreshing {
        choose_refresh_token(slot, &desk, &mut previous, &how)?;
    }
    let mut spends =
        refreshing.is_some() && previous.as_ref().is_some_and(|it| it.refresh.is_some());
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
        if let Err(error) = desk.mark(slot, previous.as_ref()).await {
            let Some(previous) = previous.as_mut().filter(|_| restarts) else {
                return Err(error);
            };
            // Another way leads to a token.
            previous.refresh = None;
            spends = false;
        }
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
        kept: Kept::saved(id, record),
        adopted: true,
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

/// Beyond what the others need to see that something was lost, and to save what a call brings that is under way.
const REST: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// How long the end of the process waits for successors: beyond the usual deadline of a call.
pub(super) const LONGEST_END: Duration = Duration::from_secs(15);
