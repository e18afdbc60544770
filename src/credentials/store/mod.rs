//! Where credentials outlive the process, or are shared by several: none, files, or Redis.
//!
//! A store knows records and who may write one; it knows nothing of protocols or of when to renew.

use std::{fmt, sync::Arc, time::Duration};

use super::{BoxFuture, Fingerprint, FingerprintBuilder};

mod disk;
mod file;
mod plain;
mod record;
mod redis;
mod seal;

pub use file::FileStore;
pub(super) use plain::PlainFile;
pub(super) use record::{Record, Spending};
pub use redis::{RedisServer, RedisStore};
pub use seal::{Keyring, KeyringError};

/// Which slot a record is of: credential, its whole configuration, and subject.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SlotId([u8; 32]);

impl SlotId {
    pub(super) fn new(name: &str, source: Fingerprint, subject: Fingerprint) -> Self {
        let builder = FingerprintBuilder::new("slot")
            .text(name)
            .fingerprint(source)
            .fingerprint(subject);
        Self(builder.finish().into_bytes())
    }
}

impl fmt::Debug for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotId(****)")
    }
}

/// Where a store has put a record, as a stranger may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place([u8; 32]);

impl Place {
    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A place that keeps records.
pub(super) trait Store: fmt::Debug + Send + Sync {
    /// Waits until a record newer than `after` is there, or until nobody else may fetch for this slot.
    ///
    /// Cancel safe: a claim that nobody took is given back.
    ///
    /// # Errors
    /// [`StoreError`] where the store can't be asked, or others hold the slot for too long.
    fn claim<'a>(
        &'a self,
        id: &'a SlotId,
        after: u64,
    ) -> BoxFuture<'a, Result<Claimed, StoreError>>;

    /// The newest record.
    ///
    /// # Errors
    /// [`StoreError`] where the store can't be asked.
    fn newest<'a>(&'a self, id: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// How often at most it is asked for what others may have brought.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Whether replicas may know of something newer than what it has lost.
    fn is_of_a_fleet(&self) -> bool {
        false
    }
}

/// Any of the stores that a file can name.
#[derive(Clone, Debug)]
pub struct AnyStore(pub(super) Arc<dyn Store>);

impl From<FileStore> for AnyStore {
    fn from(store: FileStore) -> Self {
        Self(Arc::new(store))
    }
}

impl From<RedisStore> for AnyStore {
    fn from(store: RedisStore) -> Self {
        Self(Arc::new(store))
    }
}

/// As `after` of a claim: whatever is there is to be replaced, whether it can be read or not.
pub(super) const NONE_WILL_DO: u64 = u64::MAX;

/// As `after` of a claim: what is there is to be replaced, but what can't be read is an error.
pub(super) const NONE_IS_NEWER: u64 = u64::MAX - 1;

/// What came of a claim.
pub(super) enum Claimed {
    /// Somebody else has fetched: this is it.
    Theirs(Record),
    /// The right to fetch, and the newest record.
    Ours(Box<dyn Claim>, Option<Record>),
}

/// The right to fetch for one slot, and to write its record. Given back when it is dropped.
pub(super) trait Claim: Send {
    /// Puts `record` in the place of what is there; it is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; what was there before is still there.
    fn save<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Why a store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store: {why}")]
pub(super) struct StoreError {
    why: Arc<str>,
    /// Only a person can mend it.
    pub(super) lasts: bool,
}

impl StoreError {
    /// In full, with the place of the store: for operators.
    pub(super) fn why(&self) -> &str {
        &self.why
    }

    pub(super) fn new(why: impl fmt::Display) -> Self {
        Self {
            why: why.to_string().into(),
            lasts: false,
        }
    }

    fn lasting(why: impl fmt::Display) -> Self {
        Self {
            lasts: true,
            ..Self::new(why)
        }
    }
}

/// Runs what blocks on a thread for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(StoreError::new("it panicked")))
}

#[cfg(test)]
mod tests;
