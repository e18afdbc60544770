//! Credentials that need a person once: how they log in, and the file that keeps what came of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{BoxFuture, FetchError, Watched};
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
    /// Logs in, and keeps what comes of it.
    ///
    /// # Errors
    /// [`FetchError`]: refused, given up, or not kept.
    fn login<'a>(&'a self, person: &'a mut dyn Person) -> BoxFuture<'a, Result<(), FetchError>>;

    /// The file that keeps it.
    fn file(&self) -> &Path;
}

/// What a login brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) refresh_token: Option<Secret>,
    pub(super) access_token: Option<Secret>,
    /// When the access token ends, since 1970.
    pub(super) expires_at: Option<Duration>,
}

/// The file of one login: for its owner only, always whole, and only for the client that it was made by.
#[derive(Debug)]
pub(super) struct LoginFile {
    watched: Watched,
    token_url: String,
    client_id: String,
}

/// The file's text.
#[derive(Serialize, Deserialize)]
struct Text {
    token_url: String,
    client_id: String,
    refresh_token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
    expires_at: Option<u64>,
}

/// Why a login can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginFileError {
    #[error("{0} can't be read: {1}")]
    Read(String, io::Error),
    #[error("{0} can be read by others: `chmod 600` it")]
    Open(String),
    #[error("{0} is no login that this version has written")]
    Foreign(String),
    #[error("{0} belongs to another client or token endpoint")]
    Other(String),
}

impl LoginFile {
    /// `NAME.login.json` in `.bearerd` beside the configuration.
    pub(super) fn beside(name: &str) -> PathBuf {
        Path::new(".bearerd").join(format!("{name}.login.json"))
    }

    pub(super) fn new(path: PathBuf, token_url: &str, client_id: &str) -> Self {
        Self {
            watched: Watched::new(path),
            token_url: token_url.to_owned(),
            client_id: client_id.to_owned(),
        }
    }

    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    pub(super) fn path(&self) -> &Path {
        self.watched.path()
    }

    /// What is kept; none where nobody has logged in. Blocks.
    pub(super) fn read(&self) -> Result<Option<Kept>, LoginFileError> {
        let shown = self.path().display().to_string();
        let bytes = match self.watched.read(LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LoginFileError::Read(shown, error)),
        };
        let found = fs::metadata(self.path());
        match found {
            Ok(found) if found.mode() & 0o077 != 0 => return Err(LoginFileError::Open(shown)),
            Ok(_) => {}
            Err(error) => return Err(LoginFileError::Read(shown, error)),
        }
        let Ok(text) = serde_json::from_slice::<Text>(&bytes) else {
            return Err(LoginFileError::Foreign(shown));
        };
        // A refresh token must not go to whoever the file names by now.
        if text.token_url != self.token_url || text.client_id != self.client_id {
            return Err(LoginFileError::Other(shown));
        }
        let secret = |text: Option<Zeroizing<String>>| text.map(|text| Secret::new(text.as_str()));
        Ok(Some(Kept {
            refresh_token: secret(text.refresh_token),
            access_token: secret(text.access_token),
            expires_at: text.expires_at.map(Duration::from_secs),
        }))
    }

    /// Puts `kept` in the place of what was there; on disk when this returns. Blocks.
    pub(super) fn write(&self, kept: &Kept) -> io::Result<()> {
        let folder = self.folder()?;
        let exposed = |secret: &Option<Secret>| {
            let text = secret.as_ref().map(Secret::expose);
            text.map(|text| Zeroizing::new(text.to_owned()))
        };
        let text = Text {
            token_url: self.token_url.clone(),
            client_id: self.client_id.clone(),
            refresh_token: exposed(&kept.refresh_token),
            access_token: exposed(&kept.access_token),
            expires_at: kept.expires_at.map(|at| at.as_secs()),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 * LARGEST as usize));
        serde_json::to_writer(&mut *bytes, &text)?;
        let beside = self.path().with_extension("new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, self.path())?;
        File::open(folder)?.sync_all()?;
        self.watched.remember();
        Ok(())
    }

    /// Keeps other processes from spending the same refresh token, until it is dropped. Blocks.
    pub(super) fn lock(&self) -> io::Result<File> {
        self.folder()?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path().with_extension("lock"))?;
        file.lock()?;
        Ok(file)
    }

    /// The folder of the file; made, for its owner only, where there is none.
    fn folder(&self) -> io::Result<&Path> {
        let folder = self.path().parent().unwrap_or(Path::new("."));
        if !folder.as_os_str().is_empty() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        Ok(folder)
    }
}

/// Two tokens and their names.
const LARGEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(name: &str) -> LoginFile {
        let folder = std::env::temp_dir().join(format!("bearerd-login-{}", std::process::id()));
        LoginFile::new(folder.join(name), "https://x.example/t", "me")
    }

    fn kept(refresh: &str) -> Kept {
        Kept {
            refresh_token: Some(Secret::new(refresh)),
            access_token: Some(Secret::new("access")),
            expires_at: Some(Duration::from_secs(1_795_378_500)),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_is_its_owners_only() {
        let file = file("own.login.json");
        assert!(file.read().unwrap().is_none());
        file.write(&kept("one")).unwrap();
        file.write(&kept("two")).unwrap();
        assert_eq!(file.read().unwrap(), Some(kept("two")));
        let mode = fs::metadata(file.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let now = file.watched().stamp();
        assert!(
            !file.watched().is_news(None, now),
            "its own writing is no news"
        );
    }

    #[test]
    fn one_that_others_can_read_is_refused() {
        let file = file("open.login.json");
        file.write(&kept("one")).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(file.read(), Err(LoginFileError::Open(_))));
    }

    #[test]
    fn one_of_another_client_or_endpoint_is_refused() {
        let file = file("other.login.json");
        file.write(&kept("one")).unwrap();
        for (url, id) in [
            ("https://evil.example/t", "me"),
            ("https://x.example/t", "you"),
        ] {
            let other = LoginFile::new(file.path().to_owned(), url, id);
            assert!(
                matches!(other.read(), Err(LoginFileError::Other(_))),
                "{url} {id}"
            );
        }
        fs::write(file.path(), "hunter2").unwrap();
        let error = file.read().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
