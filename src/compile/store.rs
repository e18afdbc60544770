//! The store that the file names. Nothing is opened: a store that can't be read is no fault of the configuration.

use super::credentials::read_secret;
use crate::{
    config::{
        Decoder, Diagnostic, Resolver, SecretSource, Sp,
        raw::{RawFile, RawFileStore},
    },
    credentials::{FileStore, Fingerprint, FingerprintBuilder, Keyring},
    secret::Secret,
};

/// A store, and what tells it from another.
pub(super) struct Store {
    pub(super) files: FileStore,
    pub(super) identity: Fingerprint,
}

pub(super) fn compile(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Store> {
    let store = file.store.as_ref()?;
    let Some(files) = &store.file else {
        if store.failed.is_empty() {
            let error = Diagnostic::error(store.span, "this store has no place");
            decoder.push(error.hint("write `file: { path: ..., key: ... }`"));
        }
        return None;
    };
    of_files(files, decoder, resolver)
}

fn of_files(
    files: &Sp<RawFileStore>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Store> {
    // Each is looked at, so that all that is wrong is told at once.
    let key = key(&files.key, decoder, resolver);
    let older = files.old_key.as_ref();
    let older = older.map(|source| self::key(source, decoder, resolver));
    if files.max_records.value == 0 {
        let span = files.max_records.span;
        return decoder.fail(span, "a store of 0 records keeps nothing");
    }
    let (key, older) = (key?, older.map_or(Some(None), |older| older.map(Some))?);
    let path = resolver.path(&files.path);
    let identity = FingerprintBuilder::new("file")
        .bytes(path.as_os_str().as_encoded_bytes())
        .secret(&key)
        .option(older.as_ref(), |b, older| b.secret(older))
        .number(files.max_records.value)
        .finish();
    // None of a stand-in for a secret that was not read.
    let keys = Keyring::new(&key, older.as_ref()).ok()?;
    let most = usize::try_from(files.max_records.value).unwrap_or(usize::MAX);
    Some(Store {
        files: FileStore::new(path, keys, most),
        identity,
    })
}

fn key(
    source: &Sp<SecretSource>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Secret> {
    let key = read_secret(source, decoder, resolver)?;
    if resolver.reads_secrets() && Keyring::new(&key, None).is_err() {
        let error = Diagnostic::error(source.span, "the key of a store is 32 bytes in base64");
        decoder.push(error.hint("`openssl rand -base64 32` makes one"));
        return None;
    }
    Some(key)
}
