//! What reaches the store apart from a fetch: a person's login, and what it lacks.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::REST;
use crate::{
    clock,
    credentials::{
        Credential, FailureKind, FetchError,
        cache::{Slot, State},
        store::{Claimed, NONE_WILL_DO, Record, Store, StoreError},
        sync::spawn,
    },
};

/// Puts what a person's login brought in the place of all that is kept.
///
/// # Errors
/// [`FetchError`] of the store.
pub(in crate::credentials) async fn replace(
    slot: &Slot,
    credential: &Credential,
) -> Result<(), FetchError> {
    let not_kept = |error: StoreError| {
        FetchError::permanent(FailureKind::Internal, format!("it can't be kept: {error}"))
    };
    let Some(store) = &slot.common.store else {
        return Err(FetchError::permanent(
            FailureKind::Internal,
            "there is no place to keep it",
        ));
    };
    if credential.life == Some(Duration::ZERO) && credential.refresh.is_none() {
        let why = "the token had expired when it arrived";
        return Err(FetchError::malformed(why));
    }
    match store
        .claim(&slot.id_of(&*slot.source()), NONE_WILL_DO)
        .await
        .map_err(not_kept)?
    {
        Claimed::Theirs(_) => Ok(()),
        Claimed::Ours(mut claim, record) => {
            let known = record.map_or(0, |record| record.number);
            let record = Record::after(credential, known);
            claim.save(&record).await.map_err(not_kept)
        }
    }
}

/// Whether nothing but a login, or a refresh token, brings another one.
pub(in crate::credentials) fn waits_for_a_person(slot: &Slot) -> bool {
    slot.source().refreshing().is_some_and(|how| !how.restarts)
}

/// Compares a slot with its store: takes what is newer there, and tells again what is lost there.
pub(in crate::credentials) async fn compare(slot: &Arc<Slot>, store: &dyn Store) {
    let id = slot.id_of(&*slot.source());
    // Before it is asked: what is saved meanwhile is no loss.
    let known = slot.state().kept.at(id);
    let Ok(newest) = store.newest(&id).await else {
        return;
    };
    let number = newest.as_ref().map_or(0, |record| record.number);
    let restarts = !waits_for_a_person(slot);
    let mut state = slot.state();
    let own = state.kept.at(id).number;
    let is_missed = state.held.is_some() || state.last_error.is_some();
    let is_news = match restarts {
        false => number > own,
        // Else it would be fetched, whatever the back-off says, or without anybody who asks.
        true => is_missed && newest.is_some_and(|record| record.is_newer(own)),
    };
    if is_news {
        drop(state);
        // A person has logged in, or another process has fetched.
        slot.force();
    } else if store.is_of_a_fleet()
        && !restarts
        && let Some(record) = known.record
        && number < known.number
        && known.is_saved
        && record.is_irreplaceable()
        && own == known.number
    {
        let mut record = Record::clone(&record);
        record.rests = Some(clock::unix_time() + REST);
        state.kept.record = Some(Arc::new(record));
        state.kept.is_saved = false;
        tracing::warn!(credential = %slot.common.name, "the store has lost it, and is told again");
        see_saved(slot, &mut state);
    }
}

/// Sees to it that the store gets what it lacks, as soon as it can be written again.
pub(in crate::credentials) fn see_saved(slot: &Arc<Slot>, state: &mut State) {
    let lacks = slot.common.store.is_some() && state.kept.record.is_some() && !state.kept.is_saved;
    if lacks && !state.saving {
        state.saving = true;
        spawn(save_later(Arc::downgrade(slot)));
    }
}

/// Saves what could not be saved at once, until the store has all of it.
async fn save_later(slot: Weak<Slot>) {
    let mut pause = Duration::from_secs(1);
    loop {
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let Some(slot) = slot.upgrade() else {
            return;
        };
        let kept = {
            let mut state = slot.state();
            // Together with the look: who finds it false begins anew.
            state.saving = !state.kept.is_saved && state.kept.record.is_some();
            state.kept.clone()
        };
        let (Some(store), Some(id), Some(record), false) =
            (&slot.common.store, kept.id, kept.record, kept.is_saved)
        else {
            return;
        };
        let outdated = |there: &Record| {
            // Equal to ours, but marked as spent by whoever has told it before us.
            let marked = there.spending.is_some() && there.number == record.number;
            there.number > record.number || marked
        };
        let saved = match store.claim(&id, record.number).await {
            // Others have something newer, which the next fetch will find.
            Ok(Claimed::Theirs(_)) => Ok(()),
            Ok(Claimed::Ours(_, Some(there))) if outdated(&there) => Ok(()),
            Ok(Claimed::Ours(mut claim, _)) => claim.save(&record).await,
            Err(error) => Err(error),
        };
        slot.store_answered(saved.as_ref().err());
        if saved.is_ok() {
            let mut state = slot.state();
            if state.kept.at(id).number == record.number {
                state.kept.is_saved = true;
                state.saving = false;
                return;
            }
        }
    }
}

const LONGEST_PAUSE: Duration = Duration::from_secs(30);
