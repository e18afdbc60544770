//! All slots of the process, by name and by what their credentials are for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use tokio::runtime::Handle;

use super::{
    Credential, CredentialHandle, CredentialView, EndpointView, Fetch, FetchError, Fingerprint,
    Login, Source,
    cache::{Kin, Slot},
    endpoint,
    process::Process,
    refresher, renewal, revocation,
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
    process: Arc<Process>,
    store: OnceLock<Arc<dyn Store>>,
    slots: Mutex<Slots>,
}

/// By name and purpose: the same credential with another secret has the same slot, so that it keeps its token.
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
            process: Arc::new(Process::new(control)),
            store: OnceLock::new(),
            slots: Mutex::default(),
        }))
    }

    /// Has the credentials of slots that are made from now on kept in `store`. The first one stays.
    pub fn keep_in(&self, store: impl Into<AnyStore>) {
        let _ = self.0.store.set(store.into().0);
    }

    /// The hold on the credential of this name that `source` obtains.
    ///
    /// One of that name which is for the same exists already: it keeps its token and its flight, and where its secrets are
    /// others, `source` is tried before it is used. One that is for something else has nothing in common with it. One
    /// that no handle refers to any more is forgotten, with its tokens.
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
        let key = (Arc::from(name), source.fingerprint().purpose());
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            drop(slots);
            slot.set(settings);
            if let Kin::Root(subjects) = &slot.kin {
                subjects.set_most(settings.max_subjects);
            }
            slot.propose(source);
            return CredentialHandle(slot);
        }
        let slot = self.begin(Arc::clone(&key.0), source, settings);
        slots.insert(key, Arc::downgrade(&slot));
        CredentialHandle(slot)
    }

    /// A new slot, with its tasks.
    fn begin(&self, name: Arc<str>, source: Arc<dyn Source>, settings: CacheSettings) -> Arc<Slot> {
        let subjects = source
            .per_subject()
            .then(|| Subjects::new(settings.max_subjects));
        let store = self.store_of(&*source);
        let shared = Arc::clone(&self.0.process);
        let slot = Slot::new(name, source, store, shared, settings, subjects);
        let slot = Arc::new(slot);
        refresher::start(&slot);
        watched::follow(&slot);
        if settings.prewarm {
            slot.prewarm();
        }
        slot
    }

    /// The end of the process: sends no refresh token any more, waits for the successors of those that were sent, and
    /// revokes what is to be revoked. Bounded by 18 s in all.
    pub async fn finish(&self) {
        let spending = &self.0.process.spending;
        spending.close();
        let _ = tokio::time::timeout(renewal::LONGEST_END, spending.wait()).await;
        let slots: Vec<_> = self.slots().values().filter_map(Weak::upgrade).collect();
        for slot in &slots {
            match &slot.kin {
                Kin::Root(subjects) => subjects.slots().for_each(|one| revocation::begin(&one)),
                Kin::Alone | Kin::Of(_) => revocation::begin(slot),
            }
        }
        let revoking = &self.0.process.revoking;
        revoking.close();
        let _ = tokio::time::timeout(revocation::LONGEST, revoking.wait()).await;
    }

    /// The slots of this name: more than one only while requests hold what a reload has replaced.
    pub(super) fn named(&self, name: &str) -> Vec<Arc<Slot>> {
        let slots = self.slots();
        let named = slots.iter().filter(|((known, _), _)| **known == *name);
        named.filter_map(|(_, slot)| slot.upgrade()).collect()
    }

    /// Every slot in use, by name.
    pub fn views(&self) -> Vec<CredentialView> {
        let slots: Vec<_> = self.slots().values().filter_map(Weak::upgrade).collect();
        let endpoints = endpoint::views();
        let view = |slot: &Arc<Slot>| {
            let source = slot.source();
            let own = source.endpoints().into_iter();
            let own = own.filter_map(|endpoint| endpoints.get(endpoint));
            let paused = own.filter(|it| it.paused_for.is_some());
            CredentialView {
                endpoint_paused: paused.max_by_key(|it| it.paused_for).cloned(),
                ..slot.view()
            }
        };
        let mut views: Vec<_> = slots.iter().map(view).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// The endpoints that they are fetched from, by URL.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let slots: Vec<_> = self.slots().values().filter_map(Weak::upgrade).collect();
        let mut all = endpoint::views();
        let mut views = Vec::new();
        for slot in &slots {
            let source = slot.source();
            let own = source.endpoints().into_iter();
            views.extend(own.filter_map(|endpoint| all.remove(endpoint)));
        }
        views.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::tests::fake::{Fake, cache};

    #[tokio::test]
    async fn names_that_reloads_have_removed_are_forgotten() {
        let cache = cache();
        for number in 0..100 {
            let source = Fake::tokens(Duration::from_secs(1));
            let name = format!("name-{number}");
            drop(cache.handle(&name, source, CacheSettings::default()));
        }
        assert_eq!(cache.slots().len(), 1);
    }
}
