//! The task behind a slot: asks its state machine what to do, calls the source, publishes, wakes the waiters.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    FailureKind, FetchError, FetchView, Retry, Source,
    cache::{Kin, Slot, State},
    calls::Calls,
    flight::Landing,
    lease::{Generation, Issue},
    life::{Answer, Next, Purpose, Settled},
    renewal::{self, Obtained},
    sync::{Notify, timeout, timeout_at},
    watched,
};
use crate::clock::{self, Instant};

/// Starts the task of a new slot.
pub(super) fn start(slot: &Arc<Slot>) {
    let serving = serve(Arc::downgrade(slot), Arc::clone(&slot.bell));
    slot.common.process.control.spawn(serving);
}

/// Serves one slot until nobody refers to it any more. A call that is under way is always finished.
pub(super) async fn serve(slot: Weak<Slot>, bell: Arc<Notify>) {
    loop {
        let Some(present) = slot.upgrade() else {
            return;
        };
        let next = {
            let mut state = present.state();
            let used = Slot::is_used(&state);
            let next = state.life.next(used, clock::now());
            if next == Next::Expired {
                expire(&present, &mut state, used);
            }
            next
        };
        let trial = present.trial_due();
        match next {
            // In a box: what a call needs is not kept for the years between two of them.
            Next::Fetch(purpose) => Box::pin(fly(&present, purpose)).await,
            Next::Expired => {}
            Next::Sleep(_) | Next::Idle if trial.is_some_and(|at| at <= clock::now()) => {
                present.begin_trial();
            }
            Next::Sleep(until) => {
                let until = trial.map_or(until, |trial| trial.min(until));
                drop(present);
                let _ = timeout_at(until, bell.notified()).await;
            }
            Next::Idle => {
                let is_child = matches!(present.kin, Kin::Of(_));
                if is_child && forgotten(&present) {
                    return;
                }
                drop(present);
                if let Some(trial) = trial {
                    let _ = timeout_at(trial, bell.notified()).await;
                } else if is_child {
                    // Looked at again: who held it may have gone without a word.
                    let _ = timeout(LINGERS, bell.notified()).await;
                } else {
                    bell.notified().await;
                }
            }
        }
    }
}

/// Whether a subject's slot has lapsed, and left the others.
fn forgotten(slot: &Arc<Slot>) -> bool {
    let Kin::Of(home) = &slot.kin else {
        return false;
    };
    slot.is_spent(clock::now()) && home.upgrade().is_none_or(|home| home.forget(slot))
}

fn expire(slot: &Slot, state: &mut State, used: bool) {
    slot.publish(state, None);
    if matches!(slot.kin, Kin::Alone) && slot.common.sources.take_over() {
        state.life.forgive();
        if used {
            let _ = state.life.want(clock::now());
        }
    }
    if used && state.last_error.is_some() {
        tracing::warn!(credential = %slot.common.name, "expired, and no successor could be had");
    } else {
        tracing::debug!(credential = %slot.common.name, "expired");
    }
}

/// One token call and what comes of it.
async fn fly(slot: &Arc<Slot>, purpose: Purpose) {
    if purpose == Purpose::Ahead {
        if let Some(successor) = slot.common.sources.take_due(clock::now()) {
            return try_out(slot, &successor).await;
        }
    } else if matches!(slot.kin, Kin::Alone) {
        slot.common.sources.take_over();
    }
    let source = slot.source();
    let began = clock::now();
    // Before they are read: what changes in between is seen by the next look.
    let files = watched::stamps(&*source);
    let calls = Calls::default();
    if purpose != Purpose::Ahead {
        calls.hurry().cancel();
    }
    {
        let mut state = slot.state();
        state.files = files;
        state.hurry = Some(calls.hurry().clone());
    }
    let result = renewal::obtain(slot, &source, purpose, &calls).await;
    let ended = clock::now();
    let view = FetchView {
        ago: Duration::ZERO,
        took: ended - began,
        failure: result.as_ref().err().map(|e| e.kind),
    };
    let mut state = slot.state();
    state.hurry = None;
    state.last_calls = calls.take().into();
    let adopted = result.as_ref().is_ok_and(|obtained| obtained.adopted);
    let landing = match result {
        Ok(obtained) => arrived(slot, &mut state, obtained, &source, ended),
        Err(error) if follows(slot, &state, &error) => {
            state.life.let_be();
            Some(Landing::Again)
        }
        Err(error) => {
            let settled = state
                .life
                .fetched(Answer::Failed(error.retry), ended, fastrand::f64());
            Some(failed(slot, &mut state, error, settled))
        }
    };
    if adopted {
        slot.count(|counters| counters.adopted += 1);
        tracing::debug!(credential = %slot.common.name, ?purpose, "taken from the store");
    } else {
        record(slot, &mut state, view, landing.as_ref(), ended);
        tracing::debug!(credential = %slot.common.name, ?purpose, took = ?view.took, outcome = view.outcome(), "token call ended");
    }
    renewal::see_saved(slot, &mut state);
    if let Some(landing) = landing {
        let flight = state.life.flight();
        if !matches!(landing, Landing::Arrived)
            && slot.common.settings().prewarm
            && state.held.is_none()
        {
            // Nobody may ask before it is there: readiness waits for it.
            let _ = state.life.want(ended);
        }
        drop(state);
        slot.landings.land(flight, landing);
    }
}

/// Whether the successor takes the place of the source that brought nothing, while there is nothing to send.
fn follows(slot: &Slot, state: &State, error: &FetchError) -> bool {
    if !matches!(slot.kin, Kin::Alone) || state.life.leasable(clock::now()) {
        return false;
    }
    let follows = slot.common.sources.take_over();
    if error.retry == Retry::Permanent {
        // One that was refused, too, is at least what the file says: the next attempt is made with it.
        slot.common.sources.give_up();
    }
    follows
}

/// One token call of a source that is to follow the one in use, while the token of that serves.
async fn try_out(slot: &Arc<Slot>, successor: &Arc<dyn Source>) {
    let began = clock::now();
    let files = watched::stamps(&**successor);
    let calls = Calls::default();
    slot.state().hurry = Some(calls.hurry().clone());
    let trial = renewal::obtain(slot, successor, Purpose::Ahead, &calls);
    let result = match longest_trial(slot, &**successor) {
        Some(most) => timeout(most, trial).await.unwrap_or_else(|_| {
            let why = "no answer while the old secret could still renew the token";
            Err(FetchError::transient(FailureKind::Timeout, why))
        }),
        None => trial.await,
    };
    let ended = clock::now();
    let mut state = slot.state();
    state.hurry = None;
    let landing = match result {
        Ok(_) if slot.is_outdated(successor) => {
            state.life.let_be();
            Some(Landing::Again)
        }
        Ok(obtained) => {
            state.files = files;
            state.last_calls = calls.take().into();
            arrived(slot, &mut state, obtained, successor, ended)
        }
        Err(error) => {
            state.life.let_be();
            Some(Landing::Failed(Arc::new(error)))
        }
    };
    let view = FetchView {
        ago: Duration::ZERO,
        took: ended - began,
        failure: None,
    };
    let failure = match &landing {
        Some(Landing::Failed(error)) => Some(error.clone()),
        Some(_) => None,
        None => Some(FetchError::malformed("its token was about to expire").into()),
    };
    match &failure {
        None => record(slot, &mut state, view, landing.as_ref(), ended),
        Some(_) => slot.count(|counters| counters.failing.observe(view.took)),
    }
    renewal::see_saved(slot, &mut state);
    let serves = state.life.leasable(ended);
    let flight = state.life.flight();
    drop(state);
    slot.tried(successor, failure.as_deref());
    match landing {
        // Whoever found its token gone meanwhile is not concerned: the source in use may bring another.
        Some(Landing::Failed(_)) if !serves => slot.landings.land(flight, Landing::Again),
        Some(landing) => slot.landings.land(flight, landing),
        None => {}
    }
}

/// How long a trial may keep the source in use from renewing the token: half of what is left of it.
///
/// None where a refresh token may be under way that nothing brings back: that call is always heard out.
fn longest_trial(slot: &Slot, successor: &dyn Source) -> Option<Duration> {
    let restarts = successor.refreshing().is_none_or(|how| how.restarts);
    let ends = slot.state().life.expires().filter(|_| restarts)?;
    Some(ends.saturating_duration_since(clock::now()) / 2)
}

/// Publishes what came from `source`; none while the waiters go on waiting.
fn arrived(
    slot: &Arc<Slot>,
    state: &mut State,
    obtained: Obtained,
    source: &Arc<dyn Source>,
    now: Instant,
) -> Option<Landing> {
    let Obtained {
        credential, kept, ..
    } = obtained;
    // Before anything can go wrong with the rest of it: a refresh token that came is the only one there is.
    state.kept = kept;
    let held = state.held.clone();
    let same = held
        .as_ref()
        .is_some_and(|held| held.issue.credential.same_secrets(&credential));
    let answer = Answer::Token {
        sent: credential.sent,
        life: credential.life,
        same,
    };
    // Built before the state machine hears of it: what can't stand in a header is a failure.
    let ends = credential.life.map(|life| credential.sent + life);
    let home = Arc::downgrade(slot);
    let (number, key) = (state.life.generation() + 1, source.proof_key());
    let issue = match Issue::new(number, credential, home, key) {
        Ok(issue) => issue,
        Err(error) => {
            let settled = state
                .life
                .fetched(Answer::Failed(error.retry), now, fastrand::f64());
            return Some(failed(slot, state, error, settled));
        }
    };
    let settled = state.life.fetched(answer, now, fastrand::f64());
    if slot
        .subject
        .expires()
        .is_some_and(|last| Some(last) == ends)
    {
        state.life.end_here();
    }
    let published = match (settled, held) {
        (Settled::New { expires, .. }, _) => Generation::new(Arc::new(issue), expires),
        (Settled::Same { expires }, Some(held)) => {
            Generation::new(Arc::clone(&held.issue), expires)
        }
        (Settled::Stillborn, _) => return None,
        _ => {
            let error = FetchError::malformed("the token had expired when it arrived");
            return Some(failed(slot, state, error, settled));
        }
    };
    slot.publish(state, Some(Arc::new(published)));
    if let Some(error) = state.last_error.take() {
        tracing::info!(credential = %slot.common.name, after = error.kind.as_str(), "obtained again");
    }
    Some(Landing::Arrived)
}

fn failed(slot: &Slot, state: &mut State, error: FetchError, settled: Settled) -> Landing {
    let retry_in = state.life.retry_in(clock::now()).unwrap_or_default();
    let kind = error.kind.as_str();
    // What only a person can mend may come after what would have passed by itself.
    let is_another = state
        .last_error
        .as_ref()
        .is_some_and(|last| last.kind != error.kind);
    let news = is_another
        || matches!(
            settled,
            Settled::Failed { first: true } | Settled::NeverAlive
        );
    // That an endpoint is not called is told once, not by each of its credentials.
    if news && !matches!(error.retry, Retry::Held { .. }) {
        tracing::warn!(credential = %slot.common.name, kind, ?retry_in, "not obtained: {error}");
    } else {
        tracing::debug!(credential = %slot.common.name, kind, ?retry_in, "still not obtained: {error}");
    }
    let error = Arc::new(error);
    state.last_error = Some(Arc::clone(&error));
    Landing::Failed(error)
}

fn record(
    slot: &Slot,
    state: &mut State,
    view: FetchView,
    landing: Option<&Landing>,
    ended: Instant,
) {
    let failure = match landing {
        Some(Landing::Failed(error)) => Some(error.kind),
        _ => view.failure,
    };
    state.last_fetch = Some((ended, FetchView { failure, ..view }));
    let unsent = matches!(landing, Some(Landing::Failed(error)) if error.unsent);
    if unsent && state.last_calls.is_empty() {
        // Held, in doubt, or without a store: nobody was called.
        return;
    }
    slot.count(|counters| {
        if failure.is_some() {
            counters.failures += 1;
            counters.failing.observe(view.took);
        } else {
            counters.fetches += 1;
            counters.fetching.observe(view.took);
        }
    });
}

/// How often the slot of a subject that nobody asks for is looked at.
const LINGERS: Duration = Duration::from_secs(60);
