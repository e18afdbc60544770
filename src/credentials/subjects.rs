//! The slots of one credential, one for each subject: bounded, the least recently used go first.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hashbrown::HashTable;

use super::{
    CredentialError, CredentialErrorKind, CredentialView, SlotState, Subject, SubjectsView,
    cache::{Slot, lock},
    refresher,
    sync::{AtomicUsize, Mutex, MutexGuard},
};

/// All subjects' slots of one credential.
///
/// Whoever wants a slot from here takes it under its shard's lock, and the shard itself holds it once. So a slot that
/// is held only once is neither in flight nor waited for, and nobody is about to.
pub(super) struct Subjects {
    shards: Box<[Mutex<Shard>]>,
    /// With keys of this process alone: nobody can choose names that meet in one place.
    hasher: RandomState,
    /// Slots in one shard.
    most: AtomicUsize,
    evicted: AtomicU64,
}

#[derive(Default)]
struct Shard {
    /// By the hashes of their subjects, which stand in the slots alone.
    slots: HashTable<Arc<Slot>>,
    /// How often any of them was asked for.
    asked: u64,
}

impl Subjects {
    pub(super) fn new(most: usize) -> Self {
        let shards = (most / SHARD).clamp(1, MOST_SHARDS);
        let subjects = Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
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
    ) -> Result<Arc<Slot>, CredentialError> {
        let hash = self.hasher.hash_one(subject);
        let mut shard = self.shard(hash);
        shard.asked += 1;
        let asked = shard.asked;
        if let Some(slot) = shard.slots.find(hash, |slot| slot.subject == *subject) {
            slot.asked.store(asked, Ordering::Relaxed);
            return Ok(Arc::clone(slot));
        }
        while shard.slots.len() >= self.most.load(Ordering::Relaxed) {
            if !self.evict(&mut shard) {
                return Err(full(root));
            }
        }
        let slot = Arc::new(root.of_subject(subject.clone(), Arc::downgrade(self)));
        slot.asked.store(asked, Ordering::Relaxed);
        let rehash = |slot: &Arc<Slot>| self.hasher.hash_one(&slot.subject);
        shard.slots.insert_unique(hash, Arc::clone(&slot), rehash);
        drop(shard);
        refresher::start(&slot);
        Ok(slot)
    }

    /// Forgets a lapsed slot that only its refresher still looks at.
    pub(super) fn forget(&self, slot: &Arc<Slot>) -> bool {
        let hash = self.hasher.hash_one(&slot.subject);
        let mut shard = self.shard(hash);
        let Ok(own) = shard.slots.find_entry(hash, |one| Arc::ptr_eq(one, slot)) else {
            return false;
        };
        // Its place in the shard, and the refresher that asks.
        if Arc::strong_count(slot) != 2 {
            return false;
        }
        own.remove();
        retire(slot);
        true
    }

    /// Each slot that is there, looked at after its shard's lock is given back: a look takes the slot's own.
    pub(super) fn slots(&self) -> impl Iterator<Item = Arc<Slot>> {
        self.shards.iter().flat_map(|shard| {
            let slots: Vec<_> = lock(shard).slots.iter().cloned().collect();
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
    fn evict(&self, shard: &mut Shard) -> bool {
        let idle = shard
            .slots
            .iter()
            .filter(|slot| Arc::strong_count(slot) == 1)
            // Nothing else could bring it back.
            .filter(|slot| !slot.state().kept.is_only_copy());
        let Some(slot) = idle.min_by_key(|slot| slot.asked.load(Ordering::Relaxed)) else {
            return false;
        };
        let (hash, own) = (self.hasher.hash_one(&slot.subject), Arc::as_ptr(slot));
        if let Ok(entry) = shard.slots.find_entry(hash, |one| Arc::as_ptr(one) == own) {
            let (slot, _) = entry.remove();
            self.evicted.fetch_add(1, Ordering::Relaxed);
            retire(&slot);
        }
        true
    }

    /// By bits that the place within the shard is not made of.
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[(hash >> 32) as usize % self.shards.len()])
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
