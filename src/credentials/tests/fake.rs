//! A source that does what a test says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    clock,
    credentials::{
        BoxFuture, CacheSettings, Credential, CredentialHandle, Credentials, FailureKind, Fetch,
        FetchError, Fingerprint, FingerprintBuilder, Retry, Source,
    },
    secret::Secret,
};

/// What the nth call (from 1) does.
pub(in crate::credentials) enum Step {
    Token(String, Duration),
    Fail(FailureKind, Retry),
    Panic,
    Never,
}

pub(in crate::credentials) struct Fake {
    script: Box<dyn Fn(usize) -> Step + Send + Sync>,
    pub(in crate::credentials) calls: AtomicUsize,
    pub(in crate::credentials) in_flight: AtomicUsize,
    /// When each call began.
    pub(in crate::credentials) began: Mutex<Vec<clock::Instant>>,
    takes: Duration,
    identity: &'static str,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    pub(in crate::credentials) fn new(
        takes: Duration,
        script: impl Fn(usize) -> Step + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::known_as("fake", takes, script)
    }

    pub(in crate::credentials) fn known_as(
        identity: &'static str,
        takes: Duration,
        script: impl Fn(usize) -> Step + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            calls: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            began: Mutex::default(),
            takes,
            identity,
        })
    }

    /// A new token each call, of this life.
    pub(in crate::credentials) fn tokens(life: Duration) -> Arc<Self> {
        Self::new(Duration::from_millis(100), move |n| {
            Step::Token(format!("t{n}"), life)
        })
    }

    pub(in crate::credentials) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// A slot of its own.
    pub(in crate::credentials) fn slot(self: &Arc<Self>) -> CredentialHandle {
        cache().handle(
            "name",
            Arc::clone(self) as Arc<dyn Source>,
            CacheSettings::default(),
        )
    }
}

/// A cache on the test's own runtime.
pub(in crate::credentials) fn cache() -> Credentials {
    Credentials::new(tokio::runtime::Handle::current())
}

impl Source for Fake {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new(self.identity).finish()
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async {
            let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            assert_eq!(
                self.in_flight.fetch_add(1, Ordering::SeqCst),
                0,
                "two calls at once"
            );
            let sent = clock::now();
            self.began.lock().unwrap().push(sent);
            tokio::time::sleep(self.takes).await;
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            match (self.script)(n) {
                Step::Token(token, life) => {
                    Ok(Credential::bearer(Secret::new(token), Some(life), sent))
                }
                Step::Fail(kind, retry) => Err(FetchError {
                    kind,
                    retry,
                    detail: "no".into(),
                    refusal: None,
                    unsent: false,
                }),
                Step::Panic => panic!("a bug in a source"),
                Step::Never => std::future::pending().await,
            }
        })
    }
}
