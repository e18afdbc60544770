//! What can go wrong between a source and its token endpoint, and what a request is told of it.

use std::{borrow::Cow, sync::Arc, time::Duration};

/// Why a source could not obtain a credential. Holds no URL query, no body, no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct FetchError {
    /// The class of the failure.
    pub kind: FailureKind,
    /// Whether and when asking again can help.
    pub retry: Retry,
    /// One sentence for a person.
    pub detail: Cow<'static, str>,
    /// What the endpoint itself said, where it answered with a refusal.
    pub refusal: Option<Refused>,
    /// Nothing had been sent yet: the endpoint can't have acted on it.
    pub unsent: bool,
}

/// How an endpoint refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The error code (RFC 6749 5.2), where it is one of the well-known.
    pub code: Option<&'static str>,
}

/// The classes of failure of a token call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection.
    Unreachable,
    /// The connection ended before its answer was complete.
    Interrupted,
    /// A certificate that is not trusted, or no TLS at all: nothing was sent.
    Untrusted,
    /// No answer in time.
    Timeout,
    /// 429, or an error code that means the same.
    RateLimited,
    /// 5xx, or an error code that means the same.
    Failing,
    /// The endpoint does not accept what we sent: client, grant, scope.
    Rejected,
    /// The answer is not a usable credential.
    Malformed,
    /// A redirect: never followed, since it would carry the secret elsewhere.
    Redirect,
    /// A refresh token was sent and no answer came: whether it is spent is not known.
    InDoubt,
    /// The store fails, and nothing may be sent without it.
    Store,
    /// Our own fault: a source that panicked or overran every deadline.
    Internal,
}

impl FailureKind {
    /// The name used in logs, metrics and views.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
            Self::Untrusted => "untrusted",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Failing => "failing",
            Self::Rejected => "rejected",
            Self::Malformed => "malformed",
            Self::Redirect => "redirect",
            Self::InDoubt => "in_doubt",
            Self::Store => "store",
            Self::Internal => "internal",
        }
    }
}

/// How a failure is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may pass by itself: back-off with jitter, not before the endpoint's own Retry-After.
    Transient {
        /// The endpoint's Retry-After, where it sent one.
        after: Option<Duration>,
    },
    /// It was not tried, for the endpoint's sake; counts as no failure.
    Held {
        /// When it may be tried.
        after: Duration,
    },
    /// Only a person can mend it: probed seldom, since repeated wrong secrets lock accounts.
    Permanent,
}

impl FetchError {
    /// A failure that may pass by itself.
    pub fn transient(kind: FailureKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            retry: Retry::Transient { after: None },
            detail: detail.into(),
            refusal: None,
            unsent: false,
        }
    }

    /// A failure that lasts until a person mends it.
    pub fn permanent(kind: FailureKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            retry: Retry::Permanent,
            detail: detail.into(),
            refusal: None,
            unsent: false,
        }
    }

    /// The same, of what failed before anything was sent.
    pub(super) fn before_sending(self) -> Self {
        Self {
            unsent: true,
            ..self
        }
    }

    /// Whether the server says that what it was sent (a refresh token, a code) will never do again.
    pub(super) fn ends_grant(&self) -> bool {
        self.code() == Some("invalid_grant")
    }

    /// Whether a refresh token that was sent may have been spent by this call.
    ///
    /// A refusal leaves it good; of a server behind a gateway that gave up waiting nothing is known.
    pub(super) fn leaves_in_doubt(&self) -> bool {
        let answered = self.refusal.filter(|refused| refused.status != 504);
        !self.unsent && answered.is_none()
    }

    /// The well-known error code that the endpoint answered with.
    pub fn code(&self) -> Option<&'static str> {
        self.refusal.and_then(|refused| refused.code)
    }

    /// The same with what the endpoint says for itself, as `token_words` made it fit to be shown.
    pub(super) fn with_words(self, words: Option<String>) -> Self {
        match words {
            Some(words) => Self {
                detail: format!("{}{SAYS}{words}", self.detail).into(),
                ..self
            },
            None => self,
        }
    }

    /// The sentence without the endpoint's own words: those are for operators, not for clients.
    pub(super) fn own_words(&self) -> &str {
        self.detail
            .split_once(SAYS)
            .map_or(&self.detail, |(ours, _)| ours)
    }

    /// The same with `prefix` before its sentence.
    pub fn at(self, prefix: &str) -> Self {
        Self {
            detail: format!("{prefix}: {}", self.detail).into(),
            ..self
        }
    }

    /// An answer that can't be used; transient, since servers in trouble send odd pages.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::transient(FailureKind::Malformed, detail)
    }
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
    /// The token endpoint is unreachable (503).
    Unavailable,
    /// It broke off its answer (503).
    Interrupted,
    /// Its certificate is not trusted (503).
    Untrusted,
    /// It answers that it is failing (503).
    Failing,
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
    /// Its refresh token may be spent, and its successor is lost: only a person can mend that (503).
    InDoubt,
    /// The store fails, and nothing may be sent without it (503).
    Store,
    /// A fault of ours (503).
    Internal,
    /// Too many requests wait for this credential (503).
    Overloaded,
}

impl From<FailureKind> for CredentialErrorKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Unreachable => Self::Unavailable,
            FailureKind::Untrusted => Self::Untrusted,
            FailureKind::Interrupted => Self::Interrupted,
            FailureKind::Failing => Self::Failing,
            FailureKind::Timeout => Self::Timeout,
            FailureKind::RateLimited => Self::RateLimited,
            FailureKind::Rejected => Self::Rejected,
            FailureKind::Malformed => Self::Malformed,
            FailureKind::Redirect => Self::Redirect,
            FailureKind::InDoubt => Self::InDoubt,
            FailureKind::Store => Self::Store,
            FailureKind::Internal => Self::Internal,
        }
    }
}

/// Between our sentence and the endpoint's.
const SAYS: &str = "; it says: ";
