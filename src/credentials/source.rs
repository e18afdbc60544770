//! A source obtains credentials by one protocol; it knows nothing of caching, time left or requests.

use std::{fmt, pin::Pin, time::Duration};

use super::{FetchError, Fingerprint};
use crate::{clock::Instant, secret::Secret};

/// A boxed future: for what happens once an hour, never on the hit path.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One configured way to obtain a credential: a grant with its settings and secrets.
pub trait Source: fmt::Debug + Send + Sync {
    /// The grant's key in the file.
    fn grant(&self) -> &'static str;

    /// Identifies the whole configuration, secrets included: equal means interchangeable.
    fn fingerprint(&self) -> Fingerprint;

    /// Whether another call could ever bring another credential. A fixed one is never renewed.
    fn renewable(&self) -> bool {
        true
    }

    /// The token endpoint as it may be shown: no query, no user information.
    fn endpoint(&self) -> Option<&str> {
        None
    }

    /// Obtains a credential.
    ///
    /// # Errors
    /// [`FetchError`], typed by what a later try can bring.
    fn fetch<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<Credential, FetchError>>;

    /// Obtains the successor of `previous`; by default as if there were none.
    ///
    /// # Errors
    /// As [`Source::fetch`].
    fn renew<'a>(
        &'a self,
        subject: &'a Subject,
        previous: &'a Credential,
    ) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let _ = previous;
        self.fetch(subject)
    }
}

/// Whose credential it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The proxy's own, shared by all requests of the route.
    #[default]
    Own,
}

/// What a source obtained.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The named secrets: `access_token`, `session_token`...
    pub parts: Vec<(&'static str, Secret)>,
    /// How long it lives, counted from `sent`; none for one that never ends.
    pub life: Option<Duration>,
    /// When the request that brought it was sent: its life cannot have begun earlier.
    pub sent: Instant,
    /// What renews it, where the protocol has such a thing.
    pub refresh: Option<Secret>,
    /// The scope that was granted, where the answer says so.
    pub scope: Option<String>,
}

impl Credential {
    /// The part called `name`.
    pub fn part(&self, name: &str) -> Option<&Secret> {
        self.parts
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, secret)| secret)
    }

    /// Whether it holds the very same secrets as `other`, whatever is said about its life.
    pub(super) fn same_secrets(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}
