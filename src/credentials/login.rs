//! Credentials that need a person once: how they log in, and where what comes of it is kept.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{BoxFuture, Credential, FailureKind, Fetch, FetchError, store::PlainFile};
use crate::secret::Secret;

/// Somebody in front of a terminal.
pub trait Person: Send {
    /// Tells them something.
    fn tell(&mut self, text: &str);

    /// Waits for a line from them.
    fn ask<'a>(&'a mut self, question: &'a str) -> BoxFuture<'a, io::Result<Secret>>;
}

/// A source that a person logs in to.
pub trait Login: Send + Sync {
    /// Logs in; what it brings is still to be kept.
    ///
    /// # Errors
    /// [`FetchError`]: refused, or given up.
    fn login<'a>(
        &'a self,
        person: &'a mut dyn Person,
    ) -> BoxFuture<'a, Result<Credential, FetchError>>;

    /// What keeps it where the file has no `store`.
    fn file(&self) -> Option<&LoginFile>;
}

/// The file that keeps one login where there is no store.
#[derive(Clone, Debug)]
pub struct LoginFile(pub(super) PlainFile);

impl LoginFile {
    /// `NAME.login.json` in `.bearerd` beside the configuration.
    pub(super) fn beside(name: &str) -> PathBuf {
        Path::new(".bearerd").join(format!("{name}.login.json"))
    }

    pub(super) fn new(path: PathBuf, token_url: &str, client_id: &str) -> Self {
        Self(PlainFile::new(path, token_url, client_id))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// There is nothing to renew by: only a person helps.
pub(super) fn nobody(name: &str, ask: Fetch<'_>) -> FetchError {
    let why = match ask.previous {
        None => "nobody has logged in yet",
        Some(_) => "the login has ended, or is no longer valid",
    };
    let detail = format!("{why}: run `bearerd login {name}`");
    FetchError::permanent(FailureKind::Rejected, detail).before_sending()
}
