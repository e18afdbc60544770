//! One slot: the published credential that requests lease, and the state machine behind it.

use std::{
    fmt,
    sync::{Arc, Weak, atomic::AtomicU64},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    CacheSettings, Call, Counters, FetchError, FetchView, Lease, Rejection, Source, Subject,
    flight::Landings,
    lease::Generation,
    life::{Life, Refusal},
    process::Process,
    renewal::Kept,
    revocation,
    sources::Sources,
    store::{Store, StoreError},
    subjects::Subjects,
    sync::{ArcSwapOption, AtomicUsize, Mutex, MutexGuard, Notify, PoisonError},
    watched::Stamp,
};
use crate::clock::{self, Instant};

// Where they are anyway, unless a test takes this file by its path.
#[path = "cache/look.rs"]
mod look;
#[path = "cache/succession.rs"]
mod succession;
#[path = "cache/wait.rs"]
mod wait;

/// One credential of one subject.
///
/// What a lookup among many subjects and a lease touch stands beside the reference count: one cache line.
#[repr(C)]
pub(super) struct Slot {
    /// What requests lease: read with one atomic load, written by whoever holds `state`.
    current: ArcSwapOption<Generation>,
    /// When it was asked for last, as its shard counts; written under the shard's lock.
    pub(super) asked: AtomicU64,
    pub(super) subject: Subject,
    pub(super) common: Arc<Common>,
    pub(super) kin: Kin,
    state: Mutex<State>,
    pub(super) landings: Landings,
    waiters: AtomicUsize,
    /// Wakes the slot's refresher.
    pub(super) bell: Arc<Notify>,
}

/// What all slots of a credential share.
pub(super) struct Common {
    pub(super) name: Arc<str>,
    pub(super) sources: Sources,
    /// Where the credential outlives the process, or is shared.
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) process: Arc<Process>,
    settings: Mutex<CacheSettings>,
    /// What they have counted together, but for the leases of those that there are.
    tally: Mutex<Counters>,
}

/// How a slot stands to others of its credential.
#[derive(Debug)]
pub(super) enum Kin {
    /// The credential's only one.
    Alone,
    /// Where the slots of its subjects are.
    Root(Arc<Subjects>),
    /// One of these.
    Of(Weak<Subjects>),
}

/// What only slow paths touch.
pub(super) struct State {
    pub(super) life: Life,
    /// The newest issue, also while it is withheld.
    pub(super) held: Option<Arc<Generation>>,
    /// How the files of the source looked when the newest fetch began; empty before the first one.
    pub(super) files: Vec<Stamp>,
    /// What outlives it: its number, and what it is renewed by.
    pub(super) kept: Kept,
    /// A task sees to it that the store gets what it lacks.
    pub(super) saving: bool,
    /// What it held at the end of the process is revoked.
    pub(super) revoked: bool,
    store_error: Option<StoreError>,
    /// Of the flight that is under way: makes its calls go first.
    pub(super) hurry: Option<CancellationToken>,
    pub(super) last_error: Option<Arc<FetchError>>,
    pub(super) last_fetch: Option<(Instant, FetchView)>,
    pub(super) last_calls: Box<[Call]>,
    /// Leases of the issues that are over.
    uses: u64,
}

impl State {
    /// Somebody waits.
    pub(super) fn hurry(&self) {
        if let Some(hurry) = &self.hurry {
            hurry.cancel();
        }
    }

    fn uses(&self) -> u64 {
        self.uses + self.held.as_ref().map_or(0, |held| held.uses())
    }
}

impl Slot {
    /// The credential's own; `subjects` where each of those has another.
    pub(super) fn new(
        name: Arc<str>,
        source: Arc<dyn Source>,
        store: Option<Arc<dyn Store>>,
        process: Arc<Process>,
        settings: CacheSettings,
        subjects: Option<Subjects>,
    ) -> Self {
        let common = Common {
            name,
            sources: Sources::new(source),
            store,
            process,
            settings: Mutex::new(settings),
            tally: Mutex::default(),
        };
        let kin = subjects.map_or(Kin::Alone, |subjects| Kin::Root(Arc::new(subjects)));
        Self::with(Arc::new(common), Subject::Own, kin)
    }

    /// One of the same credential, for a subject.
    pub(super) fn of_subject(&self, subject: Subject, home: Weak<Subjects>) -> Self {
        Self::with(Arc::clone(&self.common), subject, Kin::Of(home))
    }

    fn with(common: Arc<Common>, subject: Subject, kin: Kin) -> Self {
        let mut life = Life::new(common.sources.current().renewable());
        life.probe_after(common.settings().probe_after);
        Self {
            current: ArcSwapOption::empty(),
            asked: AtomicU64::new(0),
            subject,
            common,
            kin,
            state: Mutex::new(State {
                life,
                held: None,
                files: Vec::new(),
                kept: Kept::default(),
                saving: false,
                revoked: false,
                store_error: None,
                hurry: None,
                last_error: None,
                last_fetch: None,
                last_calls: Box::default(),
                uses: 0,
            }),
            landings: Landings::default(),
            waiters: AtomicUsize::new(0),
            bell: Arc::default(),
        }
    }

    /// What the file says now.
    pub(super) fn set(&self, settings: CacheSettings) {
        *lock(&self.common.settings) = settings;
        self.state().life.probe_after(settings.probe_after);
    }

    /// The hit path. `now` comes from the caller: reading the clock costs more than all the rest.
    pub(super) fn try_lease_at(&self, now: Instant) -> Option<Lease> {
        let current = self.current.load();
        let generation = current
            .as_ref()
            .filter(|generation| generation.is_alive(now))?;
        generation.count_use();
        Some(Lease(Arc::clone(generation)))
    }

    pub(super) fn reject(&self, lease: &Lease) -> Rejection {
        self.count(|counters| counters.rejections += 1);
        let mut state = self.state();
        let issue = &lease.0.issue;
        match state
            .life
            .reject(issue.number, issue.is_accepted(), clock::now())
        {
            Refusal::Known => Rejection::Renewing,
            Refusal::Fixed => Rejection::NoOther,
            Refusal::Cooling => {
                drop(state);
                tracing::debug!(credential = %self.common.name, "refused by an upstream, cooling down");
                Rejection::NoOther
            }
            Refusal::Withheld => {
                self.current.store(None);
                state.hurry();
                drop(state);
                tracing::info!(
                    credential = %self.common.name,
                    generation = issue.number,
                    "refused by an upstream, renewing"
                );
                self.bell.notify_one();
                Rejection::Renewing
            }
        }
    }

    /// Fetches before anybody asks.
    pub(super) fn prewarm(&self) {
        let _ = self.state().life.want(clock::now());
        self.bell.notify_one();
    }

    /// Makes a token call now, whatever the back-off says; the flight's number.
    pub(super) fn force(&self) -> u64 {
        let flight = self.state().life.force(clock::now());
        self.bell.notify_one();
        flight
    }

    /// Makes a token call now where a file of the source is another than the newest fetch found; `now` is how they look.
    ///
    /// What has lapsed is left alone: it is read anew when somebody asks.
    pub(super) fn catch_up(&self, now: &[Stamp]) {
        let state = self.state();
        let news = state.files.iter().zip(now).any(|(seen, now)| seen != now);
        let in_use = state.held.is_some() || state.last_error.is_some();
        drop(state);
        if news && in_use {
            self.force();
        }
    }

    /// Offers `generation` to requests, or nothing.
    pub(super) fn publish(&self, state: &mut State, generation: Option<Arc<Generation>>) {
        if let Some(old) = &state.held {
            state.uses += old.uses();
        }
        state.held.clone_from(&generation);
        self.current.store(generation);
    }

    /// Whether the credential was leased in its present life.
    pub(super) fn is_used(state: &State) -> bool {
        state.held.as_ref().is_some_and(|held| held.uses() > 0)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held can't leave half an event behind that the next one would not mend.
        lock(&self.state)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut lock(&self.common.tally));
    }

    /// Tells of a store that fails, once, and once when it is back.
    pub(super) fn store_answered(&self, error: Option<&StoreError>) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.store_error, error.cloned());
        drop(state);
        self.count(|counters| counters.store_failures += u64::from(error.is_some()));
        match (before, error) {
            (None, Some(error)) => tracing::warn!(credential = %self.common.name, "{error}"),
            (Some(_), None) => tracing::info!(credential = %self.common.name, "the store is back"),
            _ => {}
        }
    }

    /// Whether there is nothing left in it that would be missed.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        let state = self.state();
        let at_rest = state
            .last_fetch
            .is_none_or(|(ended, _)| ended + REMEMBERED < now);
        state.held.is_none()
            && !state.kept.is_only_copy()
            // A failure is remembered for longer than its longest pause: the next one waits longer still.
            && (state.last_error.is_none() || at_rest)
    }
}

impl Common {
    pub(super) fn settings(&self) -> CacheSettings {
        *lock(&self.settings)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.common.name)
            .finish_non_exhaustive()
    }
}

/// The refresher sleeps on the bell: rung here, it finds the slot gone and ends.
impl Drop for Slot {
    fn drop(&mut self) {
        revocation::begin(self);
        self.bell.notify_one();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Twice the longest pause after a failure.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);
