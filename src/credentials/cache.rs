//! One slot: the published credential that requests lease, and the state machine behind it.

use std::{
    fmt,
    sync::{Arc, Weak},
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
/// What requests lease stands beside the reference count, which a lookup among many subjects touches anyway: one
/// cache line.
#[repr(C)]
pub(super) struct Slot {
    /// What requests lease: read with one atomic load, written by whoever holds `state`.
    current: ArcSwapOption<Generation>,
    pub(super) name: Arc<str>,
    /// Shared by all slots of the credential.
    pub(super) sources: Arc<Sources>,
    /// Where its credential outlives the process, or is shared.
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) process: Arc<Process>,
    pub(super) subject: Subject,
    pub(super) kin: Kin,
    /// What all slots of the credential have counted together, but for the leases of those that there are.
    tally: Arc<Mutex<Counters>>,
    state: Mutex<State>,
    pub(super) landings: Landings,
    waiters: AtomicUsize,
    /// Wakes the slot's refresher.
    pub(super) bell: Arc<Notify>,
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
    pub(super) settings: CacheSettings,
    /// The newest issue, also while it is withheld.
    pub(super) held: Option<Arc<Generation>>,
    /// How the files of the source looked when the newest fetch began; empty before the first one.
    pub(super) files: Vec<Stamp>,
    /// What outlives it: its number, and what it is renewed by.
    pub(super) kept: Kept,
    /// What it held at the end of the process is revoked.
    pub(super) revoked: bool,
    store_error: Option<StoreError>,
    /// Of the newest flight: makes its calls go first.
    pub(super) hurry: CancellationToken,
    pub(super) last_error: Option<FetchError>,
    pub(super) last_fetch: Option<(Instant, FetchView)>,
    pub(super) last_calls: Box<[Call]>,
    /// Leases of the issues that are over.
    uses: u64,
}

impl State {
    /// What the file says now.
    pub(super) fn set(&mut self, settings: CacheSettings) {
        self.settings = settings;
        self.life.probe_after(settings.probe_after);
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
        let kin = subjects.map_or(Kin::Alone, |subjects| Kin::Root(Arc::new(subjects)));
        let sources = Arc::new(Sources::new(source));
        let own = (Subject::Own, kin);
        Self::with(name, sources, store, process, settings, own, Arc::default())
    }

    /// One of the same credential, for a subject.
    pub(super) fn of_subject(&self, subject: Subject, home: Weak<Subjects>) -> Self {
        let settings = CacheSettings {
            prewarm: false,
            ..self.state().settings
        };
        let (name, sources) = (Arc::clone(&self.name), Arc::clone(&self.sources));
        let (store, kin) = (self.store.clone(), Kin::Of(home));
        let (process, tally) = (Arc::clone(&self.process), Arc::clone(&self.tally));
        let own = (subject, kin);
        Self::with(name, sources, store, process, settings, own, tally)
    }

    fn with(
        name: Arc<str>,
        sources: Arc<Sources>,
        store: Option<Arc<dyn Store>>,
        process: Arc<Process>,
        settings: CacheSettings,
        (subject, kin): (Subject, Kin),
        tally: Arc<Mutex<Counters>>,
    ) -> Self {
        let mut life = Life::new(sources.current().renewable());
        life.probe_after(settings.probe_after);
        Self {
            current: ArcSwapOption::empty(),
            name,
            sources,
            store,
            process,
            subject,
            kin,
            tally,
            state: Mutex::new(State {
                life,
                settings,
                held: None,
                files: Vec::new(),
                kept: Kept::default(),
                revoked: false,
                store_error: None,
                hurry: CancellationToken::default(),
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
                tracing::debug!(credential = %self.name, "refused by an upstream, cooling down");
                Rejection::NoOther
            }
            Refusal::Withheld => {
                self.current.store(None);
                state.hurry.cancel();
                drop(state);
                tracing::info!(
                    credential = %self.name,
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells of a store that fails, once, and once when it is back.
    pub(super) fn store_answered(&self, error: Option<&StoreError>) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.store_error, error.cloned());
        drop(state);
        self.count(|counters| counters.store_failures += u64::from(error.is_some()));
        match (before, error) {
            (None, Some(error)) => tracing::warn!(credential = %self.name, "{error}"),
            (Some(_), None) => tracing::info!(credential = %self.name, "the store is back"),
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

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.name)
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

/// Twice the longest pause after a failure.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);
