//! The life of a credential: obtained once for everybody, renewed ahead of its end, never sent when expired.

use std::{future::Future, sync::Arc, time::Duration};

use http::HeaderValue;

use crate::secret::Secret;

/// The cache of all credentials: outlives routing snapshots, owned by the app.
#[derive(Clone, Debug)]
pub struct Credentials {}

/// A route's hold on one credential. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CredentialHandle {}

/// A credential that may be sent now. Holds its generation alive while a request uses it.
#[derive(Clone, Debug)]
pub struct Lease {}

/// What a refusal by the upstream led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Another try with [`CredentialHandle::lease`] will bring another token.
    Renewing,
    /// No other token is to be had now (cooling down after a fresh one was refused, or a static one).
    NoOther,
}

/// Why there is no credential to send. Each kind has one code and status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("credential {credential}: {detail}")]
pub struct CredentialError {
    /// The credential's name in the file.
    pub credential: Arc<str>,
    /// The class of the failure.
    pub kind: CredentialErrorKind,
    /// When the next attempt is due, where a later try can help.
    pub retry_after: Option<Duration>,
    /// One sentence for a person, free of secrets and of the token endpoint's body.
    pub detail: Arc<str>,
}

/// The classes of failure that a client is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialErrorKind {
    /// The token endpoint is unreachable or failing (503).
    Unavailable,
    /// The token endpoint asked for fewer calls (503).
    RateLimited,
    /// It did not answer in time, or the wait for the flight was over (504).
    Timeout,
    /// It refused us (502).
    Rejected,
    /// Its answer is unusable (502).
    Malformed,
    /// It answered with a redirect, which is never followed (502).
    Redirect,
    /// Too many requests wait for this credential (503).
    Overloaded,
}

impl CredentialHandle {
    /// The credential's name in the file.
    pub fn name(&self) -> &Arc<str> {
        unimplemented!()
    }

    /// The hit path: the current credential if it may be sent now. No lock, no wait, no allocation.
    pub fn try_lease(&self) -> Option<Lease> {
        unimplemented!()
    }

    /// The current credential, joining or starting the one fetch of its slot if there is none.
    ///
    /// Cancel safe: the fetch is owned by a task of the control runtime.
    pub fn lease(
        &self,
        wait: Duration,
    ) -> impl Future<Output = Result<Lease, CredentialError>> + Send + use<> {
        let _ = wait;
        std::future::pending()
    }

    /// Reports that the upstream refused `lease`; a newer generation is left alone.
    pub fn reject(&self, lease: &Lease) -> Rejection {
        let _ = lease;
        unimplemented!()
    }

    /// Reports that the upstream accepted `lease` (one relaxed atomic store at most).
    pub fn accept(&self, lease: &Lease) {
        let _ = lease;
    }
}

impl Lease {
    /// Unique among all leases of the process: tells credential, subject and generation.
    pub fn id(&self) -> u64 {
        unimplemented!()
    }

    /// `Bearer <access_token>`, built once when the token arrived and marked sensitive.
    pub fn bearer(&self) -> Option<&HeaderValue> {
        unimplemented!()
    }

    /// A named part: `access_token`, `session_token`...
    pub fn part(&self, name: &str) -> Option<&Secret> {
        let _ = name;
        unimplemented!()
    }
}
