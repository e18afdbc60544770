//! A source obtains credentials by one protocol; it knows nothing of caching, time left or requests.

use std::{borrow::Cow, fmt, pin::Pin, sync::Arc, time::Duration};

use super::{
    FetchError, Fingerprint, Lease, Linked, Login, ProofKey, Subject, TokenCall, TokensFrom,
    Watched,
};
use crate::{clock::Instant, secret::Secret};

/// A boxed future: for what happens once an hour, never on the hit path.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One configured way to obtain a credential: a grant with its settings and secrets.
pub trait Source: fmt::Debug + Send + Sync {
    /// The grant's key in the file.
    fn grant(&self) -> &'static str;

    /// Identifies the whole configuration, secrets included: equal means interchangeable.
    ///
    /// What proves a claim to the account, and says nothing of which one or what for, is added by
    /// [`FingerprintBuilder::authentication`](super::FingerprintBuilder::authentication).
    fn fingerprint(&self) -> Fingerprint;

    /// Whether another call could ever bring another credential. A fixed one is never renewed.
    fn renewable(&self) -> bool {
        true
    }

    /// Every URL that it calls itself, as it may be shown: no query, no user information. The main one comes first.
    fn endpoints(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The credentials that it builds on.
    fn links(&self) -> Vec<&Linked> {
        Vec::new()
    }

    /// The names of all parts that its credentials can have. A bearer token is the only one of its own.
    fn parts(&self) -> Vec<&str> {
        vec!["access_token"]
    }

    /// Whether each [`Subject`] has a credential of its own: so it is with what builds on such a one.
    fn per_subject(&self) -> bool {
        self.links().iter().any(|link| link.is_per_subject())
    }

    /// The headers of a request whose tokens it exchanges; only where each subject has a credential of its own.
    fn tokens_from(&self) -> Option<&TokensFrom> {
        self.links().iter().find_map(|link| link.tokens_from())
    }

    /// The files that it reads for each credential: another one is fetched when one of them changes.
    fn watched(&self) -> Vec<&Watched> {
        Vec::new()
    }

    /// The call that brings its tokens, where it is an OAuth grant.
    fn token_call(&self) -> Option<&TokenCall> {
        None
    }

    /// The key that its access tokens are bound to (RFC 9449): a request that carries one needs a proof of it.
    fn proof_key(&self) -> Option<&Arc<ProofKey>> {
        self.token_call().and_then(TokenCall::proof_key)
    }

    /// How long its calls may take, which is no part of its identity.
    fn deadlines(&self) -> Vec<Duration> {
        let call = self.token_call().map(TokenCall::deadlines);
        call.into_iter().flatten().collect()
    }

    /// How a person logs in to it, where one has to.
    fn login(&self) -> Option<&dyn Login> {
        None
    }

    /// How it renews by refresh tokens, if it does.
    fn refreshing(&self) -> Option<Refreshing<'_>> {
        None
    }

    /// Whether its credentials are kept where they outlive the process.
    ///
    /// Not without the key that they are bound to, nor where a file could have changed meanwhile.
    fn keeps(&self) -> bool {
        let bound = self.proof_key().is_some_and(|key| key.is_generated());
        self.renewable() && !bound && self.watched().is_empty()
    }

    /// Obtains a credential, or the successor of one.
    ///
    /// # Errors
    /// [`FetchError`], typed by what a later try can bring.
    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>>;
}

/// How a source renews by refresh tokens (RFC 6749 6): it sends the one of [`Fetch::previous`], where that has one.
#[derive(Clone, Copy, Debug)]
pub struct Refreshing<'a> {
    /// The refresh token to begin with, where somebody else obtained it.
    pub first: Option<&'a Secret>,
    /// Whether it can begin anew without a refresh token, and without a person.
    pub restarts: bool,
    /// How long after it was spent the server takes a refresh token once more.
    pub reuse_window: Duration,
}

impl Refreshing<'_> {
    /// By the refresh token that came last, or anew.
    pub const OR_ANEW: Refreshing<'static> = Refreshing {
        first: None,
        restarts: true,
        reuse_window: Duration::ZERO,
    };
}

/// What a source is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// Whose credential.
    pub subject: &'a Subject,
    /// Its predecessor, also one that has expired if it could be refreshed.
    pub previous: Option<&'a Credential>,
    /// Whether an upstream refused `previous`; else it merely comes to its end.
    pub refused: bool,
}

impl Fetch<'_> {
    /// The proxy's own credential, without a predecessor.
    pub const FIRST: Fetch<'static> = Fetch {
        subject: &Subject::Own,
        previous: None,
        refused: false,
    };
}

/// What a source obtained.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The named secrets: `access_token`, `session_token`...
    pub parts: Vec<(PartName, Secret)>,
    /// How long it lives, counted from `sent`; none for one that never ends.
    pub life: Option<Duration>,
    /// When the request that brought it was sent: its life cannot have begun earlier.
    pub sent: Instant,
    /// What renews it, where the protocol has such a thing.
    pub refresh: Option<Secret>,
    /// The scope that was granted, where the answer says so.
    pub scope: Option<String>,
    /// The leases of other credentials that went into it.
    pub made_from: Vec<Lease>,
    /// The end of what it was made from: no successor may be made of it beyond.
    pub until: Option<Instant>,
    /// What kind of token was issued (RFC 8693), where the answer says so.
    pub issued_type: Option<String>,
}

/// The name of a credential's part: a grant's own, or one that a recipe gives.
pub type PartName = Cow<'static, str>;

impl Credential {
    /// A bearer token, which templates call `access_token`.
    pub fn bearer(access_token: Secret, life: Option<Duration>, sent: Instant) -> Self {
        Self {
            parts: vec![("access_token".into(), access_token)],
            life,
            sent,
            refresh: None,
            scope: None,
            made_from: Vec::new(),
            until: None,
            issued_type: None,
        }
    }

    /// One without any part: what a refresh token alone amounts to.
    pub(super) fn nothing(sent: Instant) -> Self {
        Self {
            parts: Vec::new(),
            ..Self::bearer(Secret::new(""), None, sent)
        }
    }

    /// The part called `name`.
    pub fn part(&self, name: &str) -> Option<&Secret> {
        self.parts
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, secret)| secret)
    }

    pub(super) fn part_mut(&mut self, name: &str) -> Option<&mut Secret> {
        self.parts
            .iter_mut()
            .find(|(known, _)| *known == name)
            .map(|(_, secret)| secret)
    }

    /// Whether it holds the very same secrets as `other`, whatever is said about its life.
    pub(super) fn same_secrets(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}
