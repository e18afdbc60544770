//! The slots of one credential, one for each subject: bounded, the least recently used go first.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    CredentialError, CredentialErrorKind, CredentialView, SlotState, Subject, SubjectsView,
    cache::Slot,
    refresher,
    subject::SubjectKey,
    sync::{AtomicUsize, Mutex, MutexGuard, PoisonError},
};
use crate::clock::Instant;

/// All subjects' slots of one credential.
///
/// Whoever wants a slot from here takes it under its shard's lock, and the map itself holds it once. So a slot that
/// is held only once is neither in flight nor waited for, and nobody is about to.
pub(super) struct Subjects {
    shards: Box<[Mutex<HashMap<SubjectKey, Entry>>]>,
    /// Slots in one shard.
    most: AtomicUsize,
    evicted: AtomicU64,
}

struct Entry {
    slot: Arc<Slot>,
    used: Instant,
}

impl Subjects {
    pub(super) fn new(most: usize) -> Self {
        let shards = (most / SHARD).clamp(1, MOST_SHARDS);
        let subjects = Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            most: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
        };
        subjects.set_most(most);
        subjects
    }

    /// How many slots there may be from now on; those there are stay.
    pub(super) fn set_most(&self, most: usize) {
        let each = (most / self.shards.len()).max(1);
        self.most.store(each, Ordering::Relaxed);
    }

    /// The slot of this subject of `root`'s credential, made where there is none.
    ///
    /// # Errors
    /// Overloaded, where every slot that could make room is in use.
    pub(super) fn slot(
        self: &Arc<Self>,
        root: &Slot,
        subject: &Subject,
        now: Instant,
    ) -> Result<Arc<Slot>, CredentialError> {
        let key = subject.key();
        let mut shard = self.shard(&key);
        if let Some(entry) = shard.get_mut(&key) {
            entry.used = now;
            return Ok(Arc::clone(&entry.slot));
        }
        while shard.len() >= self.most.load(Ordering::Relaxed) {
            if !self.evict(&mut shard) {
                return Err(full(root));
            }
        }
        let slot = Arc::new(root.of_subject(subject.clone(), Arc::downgrade(self)));
        let entry = Entry {
            slot: Arc::clone(&slot),
            used: now,
        };
        shard.insert(key, entry);
        drop(shard);
        refresher::start(&slot);
        Ok(slot)
    }

    /// Forgets a lapsed slot that only its refresher still looks at.
    pub(super) fn forget(&self, slot: &Arc<Slot>) -> bool {
        let key = slot.subject.key();
        let mut shard = self.shard(&key);
        let own = shard
            .get(&key)
            .is_some_and(|entry| Arc::ptr_eq(&entry.slot, slot));
        // Its place in the map, and the refresher that asks.
        if own && Arc::strong_count(slot) == 2 {
            shard.remove(&key);
            retire(slot);
            return true;
        }
        false
    }

    /// Each slot that is there, looked at after its shard's lock is given back: a look takes the slot's own.
    pub(super) fn slots(&self) -> impl Iterator<Item = Arc<Slot>> {
        self.shards.iter().flat_map(|shard| {
            let slots: Vec<_> = lock(shard).values().map(|it| it.slot.clone()).collect();
            slots
        })
    }

    /// Adds what the subjects' slots are up to; what they counted is in it already, but for their leases.
    pub(super) fn add_to(&self, view: &mut CredentialView) {
        let mut states = HashMap::new();
        let mut kept = 0;
        for slot in self.slots() {
            let one = slot.view();
            *states.entry(one.state).or_insert(0) += 1;
            view.generation += one.generation;
            view.counters.uses += slot.uses();
            view.store_error = view.store_error.take().or(one.store_error);
            view.last_fetch = match (view.last_fetch, one.last_fetch) {
                (Some(a), Some(b)) => Some(if a.ago <= b.ago { a } else { b }),
                (a, b) => a.or(b),
            };
            kept += 1;
        }
        // The best that any of them is: what ails one subject is told by the counters.
        view.state = BEST_FIRST
            .into_iter()
            .find(|state| states.contains_key(state))
            .unwrap_or(SlotState::Empty);
        view.subjects = Some(SubjectsView {
            kept,
            evicted: self.evicted.load(Ordering::Relaxed),
        });
    }

    /// Makes room for one; `false` where all are in use.
    fn evict(&self, shard: &mut HashMap<SubjectKey, Entry>) -> bool {
        let idle = shard
            .iter()
            .filter(|(_, entry)| Arc::strong_count(&entry.slot) == 1)
            // Nothing else could bring it back.
            .filter(|(_, entry)| !entry.slot.state().kept.is_only_copy());
        let Some(key) = idle.min_by_key(|(_, it)| it.used).map(|(key, _)| *key) else {
            return false;
        };
        if let Some(entry) = shard.remove(&key) {
            self.evicted.fetch_add(1, Ordering::Relaxed);
            retire(&entry.slot);
        }
        true
    }

    fn shard(&self, key: &SubjectKey) -> MutexGuard<'_, HashMap<SubjectKey, Entry>> {
        lock(&self.shards[key.spread() % self.shards.len()])
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects").finish_non_exhaustive()
    }
}

/// Its leases stay counted.
fn retire(slot: &Slot) {
    let uses = slot.uses();
    slot.count(|counters| counters.uses += uses);
}

fn full(root: &Slot) -> CredentialError {
    CredentialError {
        credential: Arc::clone(&root.common.name),
        kind: CredentialErrorKind::Overloaded,
        retry_after: Some(Duration::from_secs(1)),
        detail: "as many subjects as `limits: { subjects }` allows are in use".into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BEST_FIRST: [SlotState; 6] = [
    SlotState::Fresh,
    SlotState::Refreshing,
    SlotState::CoolingDown,
    SlotState::Replacing,
    SlotState::Fetching,
    SlotState::Failed,
];

/// To find the least recently used of so many takes microseconds, once for a token call.
const SHARD: usize = 512;
const MOST_SHARDS: usize = 1024;
