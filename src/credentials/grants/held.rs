//! What a person's login left: used by the grants that need one, renewed by its refresh token.

use std::{path::Path, sync::Arc};

use tokio::sync::Mutex;

use super::refresh;
use crate::{
    clock,
    credentials::{
        Credential, FailureKind, Fetch, FetchError, Token, TokenCall, Watched,
        login::{Kept, LoginFile, LoginFileError},
    },
    secret::Secret,
};

/// A login in its file, and what could not be written there yet.
#[derive(Debug)]
pub(super) struct Held {
    name: String,
    file: Arc<LoginFile>,
    unwritten: Mutex<Option<Kept>>,
}

impl Held {
    pub(super) fn new(name: &str, file: LoginFile) -> Self {
        Self {
            name: name.to_owned(),
            file: Arc::new(file),
            unwritten: Mutex::default(),
        }
    }

    pub(super) fn watched(&self) -> &Watched {
        self.file.watched()
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Keeps what a login brought.
    ///
    /// # Errors
    /// Where it can't be written; also where it is a token that is dead on arrival, and nothing to renew it by.
    pub(super) async fn begin(&self, call: &TokenCall, token: Token) -> Result<(), FetchError> {
        let mut unwritten = self.unwritten.lock().await;
        let kept = of(&token, None);
        if kept.refresh_token.is_none() {
            call.credential(token)?;
        }
        *unwritten = None;
        self.write(kept).await
    }

    /// The access token of the login, or its successor.
    ///
    /// # Errors
    /// Permanent, where only another login helps.
    pub(super) async fn fetch(
        &self,
        call: &TokenCall,
        ask: Fetch<'_>,
    ) -> Result<Credential, FetchError> {
        let mut unwritten = self.unwritten.lock().await;
        // Over reading, spending and writing: two processes never spend the same refresh token.
        let locker = Arc::clone(&self.file);
        let _lock = aside(move || locker.lock())
            .await?
            .map_err(|error| not_kept(&error.to_string()))?;
        if let Some(kept) = unwritten.clone() {
            // Newer than what the file has, and spent there.
            self.write(kept).await?;
            *unwritten = None;
        }
        let reader = Arc::clone(&self.file);
        let kept = match aside(move || reader.read()).await? {
            Ok(Some(kept)) => kept,
            Ok(None) => return Err(self.log_in("nobody has logged in yet")),
            Err(error @ LoginFileError::Other(_)) => return Err(self.log_in(&error.to_string())),
            Err(error) => {
                return Err(FetchError::permanent(
                    FailureKind::Rejected,
                    error.to_string(),
                ));
            }
        };
        if let Some(credential) = present(&kept, ask) {
            return Ok(credential);
        }
        let Some(spent) = kept.refresh_token else {
            return Err(self.log_in("the login has ended, and brought no refresh token"));
        };
        let token = match refresh::refresh(call, &spent, false).await {
            Ok(token) => token,
            Err(error) if refresh::is_spent(&error) => {
                return Err(self.log_in("the login is no longer valid"));
            }
            Err(error) => return Err(error),
        };
        let kept = of(&token, Some(spent));
        *unwritten = Some(kept.clone());
        self.write(kept).await?;
        *unwritten = None;
        Ok(Credential {
            refresh: None,
            ..call.credential(token)?
        })
    }

    async fn write(&self, kept: Kept) -> Result<(), FetchError> {
        let writer = Arc::clone(&self.file);
        let shown = self.path().display().to_string();
        let written = aside(move || writer.write(&kept)).await?;
        written.map_err(|error| not_kept(&error.to_string()).at(&shown))
    }

    fn log_in(&self, why: &str) -> FetchError {
        let name = &self.name;
        FetchError::permanent(
            FailureKind::Rejected,
            format!("{why}: run `bearerd login {name}`"),
        )
    }
}

/// The access token of the file, where it lives and is another than the one that is to be replaced.
fn present(kept: &Kept, ask: Fetch<'_>) -> Option<Credential> {
    let (sent, wall) = (clock::now(), clock::unix_time());
    let token = kept.access_token.as_ref()?;
    let life = match kept.expires_at {
        Some(at) => Some(at.checked_sub(wall).filter(|life| !life.is_zero())?),
        None => None,
    };
    let known = ask.previous.and_then(|it| it.part("access_token")) == Some(token);
    let replaceable = kept.refresh_token.is_some() || ask.refused;
    if known && replaceable {
        return None;
    }
    Some(Credential::bearer(token.clone(), life, sent))
}

/// What to keep of a token that `spent` bought.
fn of(token: &Token, spent: Option<Secret>) -> Kept {
    Kept {
        refresh_token: token.refresh_token.clone().or(spent),
        access_token: Some(token.access_token.clone()),
        expires_at: Some(token.wall + token.life),
    }
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| FetchError::transient(FailureKind::Internal, "the file's keeper panicked"))
}

/// The disk may have room again.
fn not_kept(detail: &str) -> FetchError {
    FetchError::transient(
        FailureKind::Failing,
        format!("the login can't be kept: {detail}"),
    )
}
