//! `store: { redis: ... }`: a Redis or Valkey that a fleet shares, with one sealed value for each slot.
//!
//! Three keys for each slot, with one hash tag: the record, the lease of whoever fetches, and the fencing number that
//! each claim raises. A claim that another one has followed can write no more, however late it wakes up. Whoever waits
//! asks again every few ten milliseconds and is not woken by a message: it has to, as the lease of a leader that died
//! lapses without one, it waits only where it has no token yet, and one connection less can break.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{Cmd, cmd};
use tokio::{runtime::Handle, task::AbortHandle};

use super::{
    Claim, Claimed, Keyring, Place, Record, SlotId, Store, StoreError, record, seal::SealError,
};
use crate::{
    clock,
    credentials::{BoxFuture, EndpointError, random_id},
};

mod link;

use link::Link;
pub use link::RedisServer;

/// A Redis with records. Nothing is connected before the first one is asked for.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    link: Link,
    keys: Keyring,
    prefix: String,
    /// The values that are not ours, and have been told of.
    told: Mutex<HashSet<[u8; 32]>>,
}

impl RedisStore {
    /// At `server`, with `prefix` before the names of all keys.
    ///
    /// # Errors
    /// [`EndpointError`] where TLS can't be set up.
    pub fn new(server: RedisServer, keys: Keyring, prefix: String) -> Result<Self, EndpointError> {
        Ok(Self(Arc::new(Shared {
            link: Link::new(server)?,
            keys,
            prefix,
            told: Mutex::default(),
        })))
    }
}

impl Store for RedisStore {
    fn claim<'a>(
        &'a self,
        id: &'a SlotId,
        after: u64,
    ) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async move {
            if let Some(record) = self.0.read(id).await?.filter(|it| it.is_newer(after)) {
                return Ok(Claimed::Theirs(record));
            }
            let ends = clock::now() + LONGEST_WAIT;
            loop {
                let (claim, found) = self.0.claim(id).await?;
                match (claim, found) {
                    (_, Some(record)) if record.is_newer(after) => {
                        return Ok(Claimed::Theirs(record));
                    }
                    (Some(claim), found) => return Ok(Claimed::Ours(Box::new(claim), found)),
                    (None, _) => {}
                }
                if clock::now() >= ends {
                    return Err(StoreError::new(format!(
                        "another replica has held the lease for {LONGEST_WAIT:?}"
                    )));
                }
                // With jitter: those who wait do not all come at once.
                tokio::time::sleep(Duration::from_millis(fastrand::u64(20..60))).await;
            }
        })
    }

    fn newest<'a>(&'a self, id: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(self.0.read(id))
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn is_of_a_fleet(&self) -> bool {
        true
    }
}

/// A lease, prolonged for as long as it is held.
struct RedisClaim {
    held: Arc<Held>,
    older: Option<Place>,
    keeper: AbortHandle,
}

struct Held {
    shared: Arc<Shared>,
    place: Place,
    owner: String,
    fence: u64,
}

impl Claim for RedisClaim {
    fn save<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let Held { shared, place, .. } = &*self.held;
            let sealed = shared
                .keys
                .seal(place, b"", record::to_bytes(&record.to_text())?);
            if !self.held.hold(Some((&sealed, ends_in(record)))).await? {
                return Err(StoreError::new(
                    "the lease had lapsed and another replica has claimed it since",
                ));
            }
            shared.told().remove(&place.0);
            if let Some(older) = &self.older {
                let key = shared.key(older, "record");
                let _ = shared.link.ask::<u64>(cmd("DEL").arg(key)).await;
            }
            Ok(())
        })
    }
}

impl Drop for RedisClaim {
    fn drop(&mut self) {
        self.keeper.abort();
        // Where there is no runtime any more, the lease lapses by itself.
        if let Ok(runtime) = Handle::try_current() {
            let held = Arc::clone(&self.held);
            runtime.spawn(async move { held.release().await });
        }
    }
}

impl Held {
    /// Prolongs the lease, and writes a sealed record with its time to live; whether nobody else has claimed since.
    async fn hold(&self, record: Option<(&[u8], Option<Duration>)>) -> Result<bool, StoreError> {
        let mut command = self.shared.script(HOLD, &self.place, &NAMES);
        command.arg(&self.owner).arg(self.fence).arg(millis(LEASE));
        if let Some((sealed, ends_in)) = record {
            command.arg(sealed).arg(ends_in.map_or(0, millis));
        }
        Ok(self.shared.link.ask::<u64>(&command).await? == 1)
    }

    async fn keep(&self) {
        loop {
            tokio::time::sleep(LEASE / 4).await;
            // What could not be asked may still be ours.
            if let Ok(false) = self.hold(None).await {
                return;
            }
        }
    }

    async fn release(&self) {
        let mut command = self.shared.script(RELEASE, &self.place, &["lease"]);
        command.arg(&self.owner);
        // Where it can't be given back, it lapses.
        let _ = self.shared.link.ask::<u64>(&command).await;
    }
}

impl Shared {
    /// The lease, if it was free, and the record.
    async fn claim(
        self: &Arc<Self>,
        id: &SlotId,
    ) -> Result<(Option<RedisClaim>, Option<Record>), StoreError> {
        let (place, owner) = (self.keys.place(id), random_id());
        let mut command = self.script(CLAIM, &place, &NAMES);
        command.arg(LARGEST).arg(&owner).arg(millis(LEASE));
        command.arg(millis(LONGEST_LEASE)).arg(millis(FENCE));
        let (fence, sealed): (u64, Vec<u8>) = self.link.ask(&command).await?;
        let older = self.keys.older_place(id);
        let claim = (fence > 0).then(|| {
            let held = Arc::new(Held {
                shared: Arc::clone(self),
                place: place.clone(),
                owner,
                fence,
            });
            let keeping = Arc::clone(&held);
            RedisClaim {
                held,
                older: older.clone(),
                keeper: tokio::spawn(async move { keeping.keep().await }).abort_handle(),
            }
        });
        let found = match (self.opened(&place, &sealed), older) {
            (None, Some(older)) => self.read_at(&older).await?,
            (found, _) => found,
        };
        Ok((claim, found))
    }

    async fn read(&self, id: &SlotId) -> Result<Option<Record>, StoreError> {
        let found = self.read_at(&self.keys.place(id)).await?;
        match (found, self.keys.older_place(id)) {
            (None, Some(older)) => self.read_at(&older).await,
            (found, _) => Ok(found),
        }
    }

    async fn read_at(&self, place: &Place) -> Result<Option<Record>, StoreError> {
        let mut command = self.script(READ, place, &["record"]);
        let sealed: Vec<u8> = self.link.ask(command.arg(LARGEST)).await?;
        Ok(self.opened(place, &sealed))
    }

    /// The record in what was found; none in what is not ours, which the next record replaces.
    fn opened(&self, place: &Place, sealed: &[u8]) -> Option<Record> {
        if sealed.is_empty() {
            return None;
        }
        let opened = self.keys.open(place, 0, sealed);
        let text =
            opened.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|_| SealError::Foreign));
        match text {
            Ok(text) => Some(Record::from_text(text)),
            Err(error) => {
                let mut told = self.told();
                if told.len() < MOST_TOLD && told.insert(place.0) {
                    let key = self.key(place, "record");
                    tracing::warn!(key, why = %error, "set aside: not read, and replaced by the next token");
                }
                None
            }
        }
    }

    /// A script with the keys of these names, its arguments still to come.
    fn script(&self, script: &str, place: &Place, names: &[&str]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(script).arg(names.len());
        for name in names {
            command.arg(self.key(place, name));
        }
        command
    }

    /// In braces, what keeps the keys of a slot together (a hash tag).
    fn key(&self, place: &Place, name: &str) -> String {
        format!("{}:{{{}}}:{name}", self.prefix, place.hex())
    }

    fn told(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.0.link).finish()
    }
}

/// How long a record is kept; without end what can be had nowhere else.
fn ends_in(record: &Record) -> Option<Duration> {
    if record.is_irreplaceable() {
        return None;
    }
    let left = record.ends().saturating_sub(clock::unix_time());
    Some(left + MARGIN)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const READ: &str = include_str!("redis/read.lua");
const CLAIM: &str = include_str!("redis/claim.lua");
const HOLD: &str = include_str!("redis/hold.lua");
const RELEASE: &str = include_str!("redis/release.lua");

/// The keys of a slot.
const NAMES: [&str; 3] = ["record", "lease", "fence"];

/// A leader that died is replaced after this; one that lives prolongs it while its call is under way.
const LEASE: Duration = Duration::from_secs(6);

/// One that lasts longer was not written by us, nor by another version.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// A claim that is older writes no more.
const FENCE: Duration = Duration::from_secs(86_400);

/// Beyond what a source may take: whoever holds it for longer hangs.
const LONGEST_WAIT: Duration = Duration::from_secs(130);

/// Each question is one of a round trip: a login elsewhere may wait that long. Well below the rest of a lost refresh token.
const PERIOD: Duration = Duration::from_secs(10);

/// For clocks that differ.
const MARGIN: Duration = Duration::from_secs(60);

const LARGEST: usize = record::LARGEST + 1024;

const MOST_TOLD: usize = 1000;

#[cfg(test)]
mod tests;
