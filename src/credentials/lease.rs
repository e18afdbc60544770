//! One issued credential and a request's hold on it.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use http::HeaderValue;

use super::{Bound, Credential, FetchError, ProofKey, cache::Slot};
use crate::{clock::Instant, secret::Secret};

/// A credential that may be sent now. Holds its generation alive while a request uses it.
#[derive(Clone)]
pub struct Lease(pub(super) Arc<Generation>);

impl Lease {
    /// Unique among all leases of the process: tells credential, subject and generation.
    ///
    /// A renewal that answers with the very same secret keeps the id.
    pub fn id(&self) -> u64 {
        self.0.issue.id
    }

    /// `Bearer <access_token>`, or `DPoP` where it is bound; built once when the token arrived and marked sensitive.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.0.issue.authorization.as_ref()
    }

    /// What proves the request that carries it, where the access token is bound to a key.
    pub fn bound(&self) -> Option<&Arc<Bound>> {
        self.0.issue.bound.as_ref()
    }

    /// Every part with its name.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0
            .issue
            .credential
            .parts
            .iter()
            .map(|(name, secret)| (&**name, secret))
    }

    /// When it may be sent no more; none for one that never ends.
    pub fn expires(&self) -> Option<Instant> {
        self.0.expires
    }

    /// A named part: `access_token`, `session_token`...
    pub fn part(&self, name: &str) -> Option<&Secret> {
        self.0.issue.credential.part(name)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.id()).finish()
    }
}

/// What was issued, with its present end.
///
/// The counter stands beside the reference count, which each lease touches anyway: one cache line.
#[repr(C)]
pub(super) struct Generation {
    uses: AtomicU64,
    expires: Option<Instant>,
    pub(super) issue: Arc<Issue>,
}

/// What stays when the same secret is given another end.
pub(super) struct Issue {
    id: u64,
    pub(super) number: u64,
    accepted: AtomicBool,
    pub(super) credential: Credential,
    authorization: Option<HeaderValue>,
    bound: Option<Arc<Bound>>,
    /// Where it came from, to be told of refusals.
    pub(super) slot: Weak<Slot>,
}

impl Generation {
    pub(super) fn new(issue: Arc<Issue>, expires: Option<Instant>) -> Self {
        Self {
            uses: AtomicU64::new(0),
            expires,
            issue,
        }
    }

    /// Whether it may be sent at this moment.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    pub(super) fn count_use(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn uses(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }
}

impl Issue {
    /// Builds what all requests with it share; `key` is the one that its source binds tokens to.
    ///
    /// # Errors
    /// Malformed, where the access token can't stand in a header.
    pub(super) fn new(
        number: u64,
        mut credential: Credential,
        slot: Weak<Slot>,
        key: Option<&Arc<ProofKey>>,
    ) -> Result<Self, FetchError> {
        let scheme = key.map_or("Bearer ", |_| "DPoP ");
        let token = credential.part_mut("access_token");
        let authorization = token
            .map(|token| authorization(scheme, token))
            .transpose()?;
        let bound = key.zip(credential.part("access_token"));
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            number,
            accepted: AtomicBool::new(false),
            authorization,
            bound: bound.map(|(key, token)| Arc::new(Bound::new(Arc::clone(key), token))),
            credential,
            slot,
        })
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Written once in a life, so that the line stays shared between the workers.
    pub(super) fn accept(&self) {
        if !self.is_accepted() {
            self.accepted.store(true, Ordering::Relaxed);
        }
    }
}

/// The header's value; `token` becomes the part of it that it is, so that it stands in memory once.
fn authorization(scheme: &str, token: &mut Secret) -> Result<HeaderValue, FetchError> {
    let cannot = || FetchError::malformed("the token can't stand in a header");
    if !token.expose().is_ascii() {
        return Err(cannot());
    }
    let (whole, rest) = token.after(scheme);
    let mut value = HeaderValue::from_maybe_shared(whole).map_err(|_| cannot())?;
    value.set_sensitive(true);
    *token = rest;
    Ok(value)
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
