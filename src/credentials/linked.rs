//! A credential that another one builds on: leased, accepted and refused as an upstream's request would.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    CredentialError, CredentialErrorKind, CredentialHandle, FailureKind, FetchError, Fingerprint,
    FingerprintBuilder, Lease, Retry, Source, Subject, TokensFrom,
};

/// The hold of one source on another credential. Cheap to clone; all clones get the slot together.
#[derive(Clone)]
pub struct Linked {
    name: Arc<str>,
    fingerprint: Fingerprint,
    /// Known before the slot is: routes are checked by it.
    per_subject: bool,
    tokens_from: Option<Arc<TokensFrom>>,
    bound: bool,
    handle: Arc<OnceLock<CredentialHandle>>,
}

impl Linked {
    /// To the credential of this name and source, whose slot [`connect`](Self::connect) will bring.
    pub fn new(name: &str, source: &dyn Source) -> Self {
        Self {
            name: name.into(),
            fingerprint: source.fingerprint(),
            per_subject: source.per_subject(),
            tokens_from: source.tokens_from().cloned().map(Arc::new),
            bound: source.proof_key().is_some(),
            handle: Arc::default(),
        }
    }

    /// The credential's name in the file.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether each subject has one of its own.
    pub fn is_per_subject(&self) -> bool {
        self.per_subject
    }

    /// The headers of a request whose tokens it exchanges.
    pub fn tokens_from(&self) -> Option<&TokensFrom> {
        self.tokens_from.as_deref()
    }

    /// Whether its token is bound to a key: as `Bearer` nobody takes it.
    pub fn is_bound(&self) -> bool {
        self.bound
    }

    /// Gives it its slot; the first one stays.
    pub fn connect(&self, handle: CredentialHandle) {
        let _ = self.handle.set(handle);
    }

    /// The slot, once the whole file was good.
    pub fn handle(&self) -> Option<&CredentialHandle> {
        self.handle.get()
    }

    /// Adds what decides which credential this is. By which secret that is obtained is its own affair.
    pub fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder
            .text(&self.name)
            .fingerprint(self.fingerprint.purpose())
    }

    /// The credential, obtained if it has to be.
    ///
    /// # Errors
    /// [`FetchError`] that names it, to be tried again when its own next attempt is due.
    pub async fn lease(&self, subject: &Subject) -> Result<Lease, FetchError> {
        let Some(handle) = self.handle.get() else {
            return Err(FetchError::transient(
                FailureKind::Internal,
                format!("credential {} has no slot", self.name),
            ));
        };
        let own = handle.of(subject);
        let own = own.map_err(|error| unavailable(&error))?;
        let leased = own.lease(LONGEST_WAIT).await;
        leased.map_err(|error| unavailable(&error))
    }

    /// Reports that a token endpoint accepted `lease`.
    pub fn accept(&self, lease: &Lease) {
        if let Some(handle) = self.handle.get() {
            handle.accept(lease);
        }
    }

    /// Reports that a token endpoint refused `lease`: the next one will be another, where one is to be had.
    pub fn reject(&self, lease: &Lease) {
        if let Some(handle) = self.handle.get() {
            let _ = handle.reject(lease);
        }
    }
}

/// Whatever keeps the link from us, asking again helps as soon as it does there.
fn unavailable(error: &CredentialError) -> FetchError {
    let kind = match error.kind {
        CredentialErrorKind::Unavailable => FailureKind::Unreachable,
        CredentialErrorKind::Untrusted => FailureKind::Untrusted,
        CredentialErrorKind::Failing | CredentialErrorKind::Overloaded => FailureKind::Failing,
        CredentialErrorKind::RateLimited => FailureKind::RateLimited,
        CredentialErrorKind::Timeout => FailureKind::Timeout,
        CredentialErrorKind::Rejected => FailureKind::Rejected,
        CredentialErrorKind::Malformed => FailureKind::Malformed,
        CredentialErrorKind::Redirect => FailureKind::Redirect,
        CredentialErrorKind::InDoubt => FailureKind::InDoubt,
        CredentialErrorKind::Interrupted => FailureKind::Interrupted,
        CredentialErrorKind::Store => FailureKind::Store,
        CredentialErrorKind::Internal => FailureKind::Internal,
    };
    FetchError {
        kind,
        retry: Retry::Transient {
            after: error.retry_after,
        },
        detail: error.to_string().into(),
        refusal: None,
        unsent: true,
    }
}

/// The slot would show its source, which shows its links.
impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Linked").field(&self.name).finish()
    }
}

/// Below what a source as a whole may take.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
