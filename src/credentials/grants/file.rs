//! `file`: a token that somebody else keeps fresh in a file, such as Kubernetes' projected ones.

use std::{path::PathBuf, sync::Arc};

use super::{BuildContext, Grant, GrantConfig, decode};
use crate::{
    clock,
    config::table::Variant,
    credentials::{
        BoxFuture, Credential, FailureKind, Fetch, FetchError, Fingerprint, FingerprintBuilder,
        Source, Watched,
        token_response::{jwt_life, usable_token},
    },
};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_struct! {
    /// A bearer token in a file that others keep fresh, as Kubernetes' projected service account tokens. Read again when
    /// it changes; a JWT is used until it expires, anything else until the file changes.
    pub struct Config = "`file`", short = "path" {
        /// The file, relative to this one; a line break at its end is cut.
        required path: PathBuf,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        Some(Arc::new(TokenFile::new(cx.path(&self.path))))
    }
}

/// Hands out what is in the file.
#[derive(Debug)]
pub struct TokenFile {
    file: Arc<Watched>,
}

impl TokenFile {
    /// Of the token in the file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self {
            file: Arc::new(Watched::new(path)),
        }
    }
}

impl Source for TokenFile {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        let path = self.file.path().as_os_str().as_encoded_bytes();
        FingerprintBuilder::new(KEY).bytes(path).finish()
    }

    fn watched(&self) -> Vec<&Watched> {
        vec![&self.file]
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(read(&self.file))
    }
}

/// The token that is in `file` now.
///
/// # Errors
/// [`FetchError`] that names the file: it can't be read, or holds no usable token.
pub(super) async fn read(file: &Arc<Watched>) -> Result<Credential, FetchError> {
    let (sent, wall) = (clock::now(), clock::unix_time());
    let shown = file.path().display().to_string();
    let reader = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || reader.read(LARGEST)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(unreadable(error.to_string()).at(&shown)),
        Err(_) => return Err(unreadable("the reader panicked".into()).at(&shown)),
    };
    let text = std::str::from_utf8(bytes.trim_ascii_end()).unwrap_or("not visible ASCII");
    let token = usable_token(text.into()).map_err(|error| error.at(&shown))?;
    let life = jwt_life(token.expose(), wall).map_err(|error| error.at(&shown))?;
    Ok(Credential::bearer(token, life, sent))
}

/// Whoever writes the file may mend it at any time.
fn unreadable(detail: String) -> FetchError {
    FetchError::transient(FailureKind::Failing, detail)
}

const KEY: &str = "file";
const LARGEST: u64 = 64 * 1024;
