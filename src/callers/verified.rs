//! Tokens whose signatures were verified: a request does not pay for that again.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};

use super::Identity;
use crate::clock::Instant;

/// Verified tokens by their SHA-256, until they end.
pub(super) struct Verified {
    shards: [Mutex<HashMap<Digest, Entry>>; SHARDS],
}

pub(super) type Digest = [u8; 32];

/// What a token proved.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) identity: Arc<Identity>,
    /// Whose settings it was judged by: an index.
    pub(super) caller: usize,
    /// Of the keys that verified it: others may not know its key any more.
    pub(super) generation: u64,
    pub(super) until: Instant,
}

/// The hash that a token is known by.
pub(super) fn hash(token: &str) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

impl Verified {
    pub(super) fn get(&self, hash: &Digest, now: Instant) -> Option<Entry> {
        let shard = self.shard(hash);
        shard.get(hash).filter(|it| now < it.until).cloned()
    }

    pub(super) fn put(&self, hash: Digest, entry: Entry, now: Instant) {
        let mut shard = self.shard(&hash);
        if shard.len() >= MOST {
            shard.retain(|_, entry| now < entry.until);
        }
        if shard.len() >= MOST {
            // Any: one that is needed is verified again.
            let some = shard.keys().next().copied();
            some.and_then(|some| shard.remove(&some));
        }
        shard.insert(hash, entry);
    }

    fn shard(&self, hash: &Digest) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        let shard = &self.shards[usize::from(hash[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Verified {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verified")
    }
}

const SHARDS: usize = 16;
/// Of each shard: 10,000 tokens in all.
const MOST: usize = 625;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::now;

    fn entry(until: Instant) -> Entry {
        Entry {
            identity: Arc::new(Identity {
                name: "c".into(),
                subject: None,
                claims: Vec::new(),
                may_name_users: false,
            }),
            caller: 0,
            generation: 1,
            until,
        }
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let verified = Verified::default();
        let later = now() + Duration::from_secs(60);
        for n in 0..20_000 {
            verified.put(hash(&n.to_string()), entry(later), now());
        }
        let kept: usize = verified
            .shards
            .iter()
            .map(|it| it.lock().unwrap().len())
            .sum();
        assert!((9_000..=SHARDS * MOST).contains(&kept), "{kept}");
    }

    #[test]
    fn a_token_that_ended_is_not_known_any_more() {
        let verified = Verified::default();
        let (then, token) = (now(), hash("t"));
        verified.put(token, entry(then + Duration::from_secs(1)), then);
        assert!(verified.get(&token, then).is_some());
        assert!(
            verified
                .get(&token, then + Duration::from_secs(1))
                .is_none()
        );
    }
}
