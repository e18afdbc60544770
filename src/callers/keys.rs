//! The public keys of an issuer (RFC 7517): fetched aside, bounded, and kept while the issuer is down.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use tokio::{runtime::Handle, sync::watch};

use crate::clock::{self, Instant};

/// Gets the key set's text; the error is one sentence without a secret.
pub type FetchKeys =
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>> + Send + Sync;

/// All key sets of the process: they outlive a configuration, as what they cost does.
#[derive(Clone, Debug)]
pub struct KeySets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Handle,
    sets: Mutex<HashMap<[u8; 32], Weak<KeySet>>>,
}

/// The keys of one issuer.
pub struct KeySet {
    /// Its URL or file, as it may be shown.
    shown: String,
    keys: ArcSwap<Keys>,
    source: Option<Source>,
}

/// Where keys come from that may change.
struct Source {
    fetch: Box<FetchKeys>,
    control: Handle,
    state: Mutex<State>,
    landed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    flying: bool,
    /// The next fetch comes no sooner.
    not_before: Option<Instant>,
    fetched: Option<Instant>,
    failing: bool,
}

/// What there is at one moment.
#[derive(Default)]
struct Keys {
    /// Changes with the keys; 0 while there never were any.
    generation: u64,
    text: Vec<u8>,
    list: Vec<Key>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// A fetch that is under way: resolves when it ended, or when it has taken too long for a request to wait.
pub struct Flight(Pin<Box<dyn Future<Output = ()> + Send>>);

/// A text that is no usable key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not the JSON of RFC 7517.
    #[error("it is no JSON Web Key Set")]
    Format,
    /// More than 100.
    #[error("it has more than 100 keys")]
    TooMany,
    /// None that verifies a signature by a known algorithm.
    #[error("it has no public key that can verify a signature")]
    NoKey,
    /// Larger than 256 KiB.
    #[error("it is larger than 256 KiB")]
    TooLarge,
}

impl KeySets {
    /// None yet; fetches run on `control`.
    pub fn new(control: Handle) -> Self {
        Self(Arc::new(Inner {
            control,
            sets: Mutex::default(),
        }))
    }

    /// The set that `id` (a hash of its URL and whom to trust there) identifies, with its keys if it exists already.
    pub fn remote(&self, id: [u8; 32], shown: &str, fetch: Box<FetchKeys>) -> Arc<KeySet> {
        let mut sets = lock(&self.0.sets);
        sets.retain(|_, set| set.strong_count() > 0);
        if let Some(set) = sets.get(&id).and_then(Weak::upgrade) {
            return set;
        }
        let set = Arc::new(KeySet {
            shown: shown.to_owned(),
            keys: ArcSwap::default(),
            source: Some(Source {
                fetch,
                control: self.0.control.clone(),
                state: Mutex::default(),
                landed: watch::Sender::new(0),
            }),
        });
        sets.insert(id, Arc::downgrade(&set));
        set
    }
}

impl KeySet {
    /// Keys that stay as they are.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn fixed(shown: &str, text: Vec<u8>) -> Result<Self, KeySetError> {
        let list = parse(&text)?;
        let keys = Keys {
            generation: 1,
            text,
            list,
        };
        Ok(Self {
            shown: shown.to_owned(),
            keys: ArcSwap::from_pointee(keys),
            source: None,
        })
    }

    /// Changes with the keys; 0 while there never were any.
    pub(super) fn generation(&self) -> u64 {
        self.keys.load().generation
    }

    /// Calls `verify` with each key that may have made a signature, until one has; `None` where there is no such key.
    pub(super) fn try_each<T, E>(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        mut verify: impl FnMut(&DecodingKey) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let keys = self.keys.load();
        let fits = |key: &&Key| {
            key.algorithms.contains(&algorithm)
                && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        };
        let mut last = None;
        // Who forges a token without a key's id must not make us try a hundred of them.
        for key in keys.list.iter().filter(fits).take(MOST_TRIED) {
            let tried = verify(&key.key);
            if tried.is_ok() {
                return Some(tried);
            }
            last = Some(tried);
        }
        last
    }

    /// Asks for newer keys, if that is possible now. Who needs them waits for the flight.
    pub fn refresh(self: &Arc<Self>) -> Option<Flight> {
        let source = self.source.as_ref()?;
        let now = clock::now();
        let mut state = lock(&source.state);
        if !state.flying {
            if state.not_before.is_some_and(|earliest| now < earliest) {
                return None;
            }
            state.flying = true;
            let set = Arc::clone(self);
            source.control.spawn(async move { set.fetch().await });
        }
        let mut landed = source.landed.subscribe();
        drop(state);
        Some(Flight(Box::pin(async move {
            // Its end by the deadline is as good: the keys are looked at again either way.
            let _ = tokio::time::timeout(LONGEST_WAIT, landed.changed()).await;
        })))
    }

    /// As [`Self::refresh`], where what there is has come of age. Nobody waits.
    pub(super) fn refresh_if_old(self: &Arc<Self>) {
        let Some(source) = &self.source else { return };
        let fetched = lock(&source.state).fetched;
        if fetched.is_some_and(|fetched| fetched.elapsed() > AGE) {
            drop(self.refresh());
        }
    }

    async fn fetch(&self) {
        let Some(source) = &self.source else { return };
        let fetched = tokio::time::timeout(LONGEST_FETCH, (source.fetch)()).await;
        let text = fetched.unwrap_or_else(|_| Err("no answer in time".into()));
        let renewed = text.and_then(|text| self.take(text).map_err(|error| error.to_string()));
        let now = clock::now();
        let mut state = lock(&source.state);
        let failed_before = state.failing;
        state.flying = false;
        state.failing = renewed.is_err();
        match renewed {
            Ok(()) => {
                state.fetched = Some(now);
                state.not_before = Some(now + PAUSE);
                if failed_before {
                    tracing::info!(keys = self.shown, "keys of callers' tokens fetched again");
                }
            }
            Err(why) => {
                state.not_before = Some(now + PAUSE_AFTER_FAILURE);
                if !failed_before {
                    tracing::warn!(
                        keys = self.shown,
                        why,
                        "keys of callers' tokens not fetched"
                    );
                }
            }
        }
        drop(state);
        source.landed.send_modify(|count| *count += 1);
    }

    /// Keys that did not change keep their generation, and with it what they have verified.
    fn take(&self, text: Vec<u8>) -> Result<(), KeySetError> {
        let old = self.keys.load();
        if old.generation > 0 && old.text == text {
            return Ok(());
        }
        let list = parse(&text)?;
        self.keys.store(Arc::new(Keys {
            generation: old.generation + 1,
            text,
            list,
        }));
        Ok(())
    }
}

impl Future for Flight {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flight")
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySet").field(&self.shown).finish()
    }
}

/// The keys that can verify a signature; those of unknown kinds are left out, as RFC 7517 5 asks.
fn parse(text: &[u8]) -> Result<Vec<Key>, KeySetError> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    if text.len() > LARGEST {
        return Err(KeySetError::TooLarge);
    }
    let set: Set = serde_json::from_slice(text).map_err(|_| KeySetError::Format)?;
    if set.keys.len() > MOST_KEYS {
        return Err(KeySetError::TooMany);
    }
    let keys: Vec<Key> = set.keys.into_iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err(KeySetError::NoKey);
    }
    Ok(keys)
}

fn key(value: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|it| *it == PublicKeyUse::Signature);
    let mut algorithms = by_kind(&jwk.algorithm);
    if let Some(only) = jwk.common.key_algorithm {
        algorithms.retain(|one| KeyAlgorithm::from(*one) == only);
    }
    if !signs || algorithms.is_empty() {
        return None;
    }
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(&jwk).ok()?,
    })
}

/// What a key can verify by its kind. A shared secret has no place in a public key set.
fn by_kind(parameters: &AlgorithmParameters) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => vec![ES256],
            EllipticCurve::P384 => vec![ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            vec![EdDSA]
        }
        _ => Vec::new(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LARGEST: usize = 256 * 1024;
const MOST_KEYS: usize = 100;
const MOST_TRIED: usize = 4;

/// How long a request waits for the keys that its token needs.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
const LONGEST_FETCH: Duration = Duration::from_secs(10);

/// Between two fetches: a stranger who makes up key ids must not make us call the issuer with each of them.
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Older keys are looked at again, so that one that was withdrawn is not trusted for ever.
const AGE: Duration = Duration::from_secs(15 * 60);
