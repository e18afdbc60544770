//! What a person's login brought, where no store is configured: one file, for its owner only, not encrypted.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Claim, Claimed, NONE_WILL_DO, Record, SlotId, Store, StoreError, aside,
    disk::{self, Lock, at},
    record,
};
use crate::{config::secret_source::read_file, credentials::BoxFuture};

/// The file of one login, good only for the client that it was made by.
#[derive(Clone, Debug)]
pub(in crate::credentials) struct PlainFile(Arc<Named>);

#[derive(Debug)]
struct Named {
    path: PathBuf,
    token_url: String,
    client_id: String,
}

/// The file's text.
#[derive(Serialize, Deserialize)]
struct Text {
    token_url: String,
    client_id: String,
    login: record::Text,
}

impl PlainFile {
    /// At `path`; a refresh token in it goes to `token_url` only.
    pub(in crate::credentials) fn new(path: PathBuf, token_url: &str, client_id: &str) -> Self {
        Self(Arc::new(Named {
            path,
            token_url: token_url.to_owned(),
            client_id: client_id.to_owned(),
        }))
    }

    /// Where it is.
    pub(in crate::credentials) fn path(&self) -> &Path {
        &self.0.path
    }
}

impl Store for PlainFile {
    fn claim<'a>(
        &'a self,
        _: &'a SlotId,
        after: u64,
    ) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async move {
            if after != NONE_WILL_DO
                && let Some(record) = self.read().await?.filter(|it| it.is_newer(after))
            {
                return Ok(Claimed::Theirs(record));
            }
            let own = Arc::clone(&self.0);
            aside(move || own.make_folder()).await?;
            let lock = disk::lock(&self.path().with_extension("lock")).await?;
            // Read again: whoever held it before may have fetched.
            let found = match self.read().await {
                Err(_) if after == NONE_WILL_DO => None,
                found => found?,
            };
            Ok(match found {
                Some(record) if record.is_newer(after) => Claimed::Theirs(record),
                record => Claimed::Ours(Box::new(PlainClaim(self.clone(), lock)), record),
            })
        })
    }

    fn newest<'a>(&'a self, _: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(self.read())
    }
}

struct PlainClaim(PlainFile, #[expect(dead_code, reason = "held")] Lock);

impl Claim for PlainClaim {
    fn save<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        let (file, record) = (Arc::clone(&self.0.0), record.clone());
        Box::pin(aside(move || file.write(&record)))
    }
}

impl PlainFile {
    async fn read(&self) -> Result<Option<Record>, StoreError> {
        let file = Arc::clone(&self.0);
        aside(move || file.read()).await
    }
}

impl Named {
    fn read(&self) -> Result<Option<Record>, StoreError> {
        let failed = |error| at(&self.path, &error);
        let bytes = match read_file(&self.path, record::LARGEST as u64) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let shown = self.path.display();
        if fs::metadata(&self.path).map_err(failed)?.mode() & 0o077 != 0 {
            let why = format!("{shown} can be read by others: `chmod 600` it");
            return Err(StoreError::lasting(why));
        }
        let Ok(text) = serde_json::from_slice::<Text>(&bytes) else {
            let why = format!("{shown} is no login that this version has written");
            return Err(StoreError::lasting(why));
        };
        // A refresh token must not go to whoever the configuration names by now.
        if text.token_url != self.token_url || text.client_id != self.client_id {
            return Ok(None);
        }
        Ok(Some(Record::from_text(text.login)))
    }

    fn write(&self, record: &Record) -> Result<(), StoreError> {
        let text = Text {
            token_url: self.token_url.clone(),
            client_id: self.client_id.clone(),
            login: record.to_text(),
        };
        let bytes = record::to_bytes(&text)?;
        disk::replace(&self.path, &bytes).map_err(|error| at(&self.path, &error))
    }

    fn make_folder(&self) -> Result<(), StoreError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        disk::make_folder(folder).map_err(|error| at(folder, &error))
    }
}
