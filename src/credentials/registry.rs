//! All slots of the process, and the handles by which routes hold them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{
    Account, Credential, CredentialError, CredentialView, Fetch, FetchError, Fingerprint, Lease,
    Login, ProofKey, Source, Subject, TokensFrom,
    cache::{Kin, Slot},
    flight::Landing,
    refresher, renewal,
    store::{AnyStore, Store},
    subjects::Subjects,
    watched,
};
use crate::clock;

/// The cache of all credentials: outlives routing snapshots, owned by the app.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    control: Handle,
    store: OnceLock<Arc<dyn Store>>,
    spending: TaskTracker,
    slots: Mutex<Slots>,
}

type Slots = HashMap<(Arc<str>, Fingerprint), Weak<Slot>>;

/// How a credential is kept; no part of its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Fetches at start instead of at the first request.
    pub prewarm: bool,
    /// Requests that may wait for it at the same time.
    pub max_waiters: usize,
    /// Subjects that are kept at the same time, where each has one of its own.
    pub max_subjects: usize,
    /// The least pause after the token endpoint refused us; zero for 30 s, doubling to 15 min.
    pub probe_after: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            prewarm: false,
            max_waiters: 16_384,
            max_subjects: 10_000,
            probe_after: Duration::ZERO,
        }
    }
}

impl Credentials {
    /// An empty cache whose token calls run on `control`.
    pub fn new(control: Handle) -> Self {
        Self(Arc::new(Registry {
            control,
            store: OnceLock::new(),
            spending: TaskTracker::new(),
            slots: Mutex::default(),
        }))
    }

    /// Has the credentials of slots that are made from now on kept in `store`. The first one stays.
    pub fn keep_in(&self, store: impl Into<AnyStore>) {
        let _ = self.0.store.set(store.into().0);
    }

    /// The slot of this name and configuration, with its token and its flight if it exists already.
    ///
    /// A slot that no handle refers to any more is forgotten.
    pub fn handle(
        &self,
        name: &str,
        source: Arc<dyn Source>,
        settings: CacheSettings,
    ) -> CredentialHandle {
        // Nobody is known yet for whom one could be fetched.
        let settings = CacheSettings {
            prewarm: settings.prewarm && !source.per_subject(),
            ..settings
        };
        let mut slots = self.slots();
        slots.retain(|_, slot| slot.strong_count() > 0);
        let key = (Arc::from(name), source.fingerprint());
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            slot.state().set(settings);
            if let Kin::Root(subjects) = &slot.kin {
                subjects.set_most(settings.max_subjects);
            }
            return CredentialHandle(slot);
        }
        let subjects = source
            .per_subject()
            .then(|| Subjects::new(settings.max_subjects, self.0.control.clone()));
        let store = self.store_of(&*source);
        let spending = self.0.spending.clone();
        let slot = Slot::new(
            Arc::clone(&key.0),
            source,
            store,
            spending,
            settings,
            subjects,
        );
        let slot = Arc::new(slot);
        slots.insert(key, Arc::downgrade(&slot));
        refresher::start(&slot, &self.0.control);
        watched::follow(&slot, &self.0.control);
        if settings.prewarm {
            slot.prewarm();
        }
        CredentialHandle(slot)
    }

    /// The end of the process: sends no refresh token any more, and waits for the successors of those that were sent.
    pub async fn finish(&self) {
        self.0.spending.close();
        let _ = tokio::time::timeout(renewal::LONGEST_END, self.0.spending.wait()).await;
    }

    /// Renews the credential of this name now, whatever the back-off says; none where there is no such credential.
    ///
    /// Where each subject has one of its own, those that are held are renewed, and not waited for.
    pub async fn rotate(&self, name: &str) -> Option<Result<(), CredentialError>> {
        let slots: Vec<_> = {
            let slots = self.slots();
            let named = slots.iter().filter(|((known, _), _)| **known == *name);
            named.filter_map(|(_, slot)| slot.upgrade()).collect()
        };
        let mut outcome = None;
        // More than one only while requests hold what a reload has replaced.
        for slot in slots {
            let renewed = match &slot.kin {
                Kin::Root(subjects) => {
                    let held = subjects.slots().filter(|one| one.state().held.is_some());
                    held.for_each(|one| {
                        one.force();
                    });
                    Ok(())
                }
                Kin::Alone | Kin::Of(_) => CredentialHandle(slot).renew_now().await,
            };
            outcome = Some(outcome.unwrap_or(Ok(())).and(renewed));
        }
        outcome
    }

    /// Every slot in use, by name.
    pub fn views(&self) -> Vec<CredentialView> {
        let slots: Vec<_> = self.slots().values().filter_map(Weak::upgrade).collect();
        let mut views: Vec<_> = slots.iter().map(|slot| slot.view()).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// Whether every credential with `prewarm` has been obtained at least once.
    pub fn is_warm(&self) -> bool {
        self.views()
            .iter()
            .all(|view| !view.prewarm || view.generation > 0)
    }

    fn store_of(&self, source: &dyn Source) -> Option<Arc<dyn Store>> {
        if !source.keeps() {
            return None;
        }
        let login_file = || source.login().and_then(Login::file);
        match self.0.store.get() {
            Some(store) => Some(Arc::clone(store)),
            None => login_file().map(|file| Arc::new(file.0.clone()) as Arc<dyn Store>),
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A route's hold on one credential. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CredentialHandle(Arc<Slot>);

/// What a refusal by the upstream led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Another try with [`CredentialHandle::lease`] will bring another token.
    Renewing,
    /// No other token is to be had now (cooling down after a fresh one was refused, or a static one).
    NoOther,
}

impl CredentialHandle {
    /// The credential's name in the file.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The hit path: the current credential if it may be sent now. No lock, no wait, no allocation.
    pub fn try_lease(&self) -> Option<Lease> {
        self.0.try_lease_at(clock::now())
    }

    /// As [`Self::try_lease`] for a caller that has just read the clock: that is most of the cost.
    pub fn try_lease_at(&self, now: clock::Instant) -> Option<Lease> {
        self.0.try_lease_at(now)
    }

    /// The current credential, joining or starting the one fetch of its slot if there is none.
    ///
    /// Cancel safe: the fetch is owned by a task of the control runtime.
    ///
    /// # Errors
    /// [`CredentialError`]: the flight's failure, at once while the slot backs off; `Timeout` after `wait`;
    /// `Overloaded` when too many wait.
    pub fn lease(
        &self,
        wait: Duration,
    ) -> impl Future<Output = Result<Lease, CredentialError>> + Send + use<> {
        Arc::clone(&self.0).lease(wait)
    }

    /// Whether each subject has a credential of its own, to be had by [`Self::of`].
    pub fn is_per_subject(&self) -> bool {
        matches!(self.0.kin, Kin::Root(_))
    }

    /// The hold on this subject's own credential; on the one of all where the source knows no subjects.
    ///
    /// # Errors
    /// [`CredentialError`] `Overloaded`, where as many subjects as may be kept are all in use.
    pub fn of(&self, subject: &Subject, now: clock::Instant) -> Result<Self, CredentialError> {
        match &self.0.kin {
            Kin::Root(subjects) if *subject != Subject::Own => {
                subjects.slot(&self.0, subject, now).map(Self)
            }
            _ => Ok(self.clone()),
        }
    }

    /// How a person logs in to it, where one has to.
    pub fn login(&self) -> Option<&dyn Login> {
        self.0.source.login()
    }

    /// Keeps what a login brought, for every process that shares the store.
    ///
    /// # Errors
    /// [`FetchError`] where it can't be kept.
    pub async fn keep(&self, credential: &Credential) -> Result<(), FetchError> {
        renewal::replace(&self.0, credential).await
    }

    /// The key that its access tokens are bound to.
    pub fn proof_key(&self) -> Option<&Arc<ProofKey>> {
        self.0.source.proof_key()
    }

    /// The headers of a request whose tokens are exchanged for it.
    pub fn tokens_from(&self) -> Option<&TokensFrom> {
        self.0.source.tokens_from()
    }

    /// Reports that the upstream refused `lease`, which may be any subject's; a newer generation is left alone.
    pub fn reject(&self, lease: &Lease) -> Rejection {
        match lease.0.issue.slot.upgrade() {
            Some(slot) => slot.reject(lease),
            // Its slot had to make room: the next one fetches anew.
            None => Rejection::Renewing,
        }
    }

    /// Reports that the upstream accepted `lease` (one relaxed atomic store at most).
    pub fn accept(&self, lease: &Lease) {
        lease.0.issue.accept();
    }

    /// Renews now, whatever the back-off says; for an operator. The outcome of that call.
    ///
    /// # Errors
    /// [`CredentialError`] of the call.
    pub async fn renew_now(&self) -> Result<(), CredentialError> {
        match self.0.landings.wait(self.0.force()).await {
            Landing::Arrived => Ok(()),
            Landing::Failed(error) => Err(self.0.error(&error)),
        }
    }

    /// The newest fetch in full.
    pub fn account(&self) -> Account {
        self.0.account()
    }

    /// What may be seen of it.
    pub fn view(&self) -> CredentialView {
        self.0.view()
    }
}

/// One call outside the cache, for a person who wants to see whether it works.
pub async fn obtain(source: &dyn Source) -> Obtained {
    let began = clock::now();
    let result = source.fetch(Fetch::FIRST).await;
    Obtained {
        took: clock::now() - began,
        result,
    }
}

/// What [`obtain`] brought; its Debug shows no secret.
#[derive(Debug)]
pub struct Obtained {
    /// How long the call took.
    pub took: Duration,
    /// The credential or the failure.
    pub result: Result<Credential, FetchError>,
}
