//! The store that the file names. Nothing is opened, but a folder that others may use is warned about, and a link refused: a store that can't be read is no fault of the configuration.

use std::path::Path;

use super::credentials::{read_pem, read_secret};
use crate::{
    config::{
        Decoder, Diagnostic, Resolver, SecretSource, Sp,
        raw::{RawFile, RawFileStore, RawRedisStore},
    },
    credentials::{
        AnyStore, EndpointError, FileStore, Fingerprint, FingerprintBuilder, Keyring, RedisServer,
        RedisStore,
    },
    secret::Secret,
};

/// A store, and what tells it from another.
pub(super) struct Store {
    pub(super) store: AnyStore,
    pub(super) identity: Fingerprint,
}

pub(super) fn compile(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Store> {
    let store = file.store.as_ref()?;
    match (&store.file, &store.redis) {
        (Some(files), None) => of_files(files, decoder, resolver),
        (None, Some(redis)) => of_redis(redis, decoder, resolver),
        (Some(files), Some(redis)) => {
            let error = Diagnostic::error(redis.span, "a store has one place");
            let error = error.related(files.span, "the other one");
            decoder.push(error.hint("keep `file` or `redis`"));
            None
        }
        (None, None) => {
            if store.failed.is_empty() {
                let error = Diagnostic::error(store.span, "this store has no place");
                decoder.push(error.hint(
                    "write `file: { path: ..., key: ... }`, or `redis: { url: ..., key: ... }`",
                ));
            }
            None
        }
    }
}

fn of_files(
    files: &Sp<RawFileStore>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Store> {
    let keys = Keys::read(&files.key, files.old_key.as_ref(), decoder, resolver);
    if files.max_records.value == 0 {
        let span = files.max_records.span;
        return decoder.fail(span, "a store of 0 records keeps nothing");
    }
    let keys = keys?;
    let path = resolver.path(&files.path);
    let shown = path.display();
    if FileStore::is_link(&path) {
        let error = format!("{shown} is a symbolic link, which is not followed");
        let error = Diagnostic::error(files.path.span, error);
        decoder.push(error.hint("give the folder that it leads to"));
        return None;
    }
    if let Some(what) = FileStore::exposure(&path) {
        let warning = Diagnostic::warning(
            files.path.span,
            format!("others than its owner may {what} the store's folder, {shown}"),
        );
        decoder.push(warning.hint(format!("`chmod 700 {shown}`")));
    }
    let identity = FingerprintBuilder::new("file")
        .bytes(path.as_os_str().as_encoded_bytes())
        .number(files.max_records.value);
    let most = usize::try_from(files.max_records.value).unwrap_or(usize::MAX);
    Some(Store {
        identity: keys.identify(identity),
        store: FileStore::new(path, keys.ring()?, most).into(),
    })
}

fn of_redis(
    redis: &Sp<RawRedisStore>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Store> {
    let keys = Keys::read(&redis.key, redis.old_key.as_ref(), decoder, resolver);
    let account = account(redis, decoder, resolver);
    check_prefix(&redis.prefix, decoder);
    let ca = ca(redis, decoder, resolver)?;
    let (keys, (username, password)) = (keys?, account?);
    if !redis.failed.is_empty() {
        return None;
    }
    let url = redis.url.value.clone();
    let identity = FingerprintBuilder::new("redis")
        .text(&url.to_string())
        .option(username.as_deref(), FingerprintBuilder::text)
        .option(password.as_ref(), FingerprintBuilder::secret)
        .option(ca.as_deref(), FingerprintBuilder::bytes)
        .text(&redis.prefix);
    let server = RedisServer {
        url,
        username,
        password,
        ca,
    };
    let identity = keys.identify(identity);
    match RedisStore::new(server, keys.ring()?, redis.prefix.value.clone()) {
        Ok(store) => Some(Store {
            store: store.into(),
            identity,
        }),
        Err(error) => {
            let ca = redis.tls.as_ref().and_then(|tls| tls.ca.as_ref());
            let at = ca.filter(|_| matches!(error, EndpointError::Ca));
            let span = at.map_or(redis.url.span, |ca| ca.span);
            decoder.fail(span, error.to_string())
        }
    }
}

/// Who we are there; `None` where diagnostics say why nobody.
fn account(
    redis: &RawRedisStore,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<(Option<String>, Option<Secret>)> {
    let url = &redis.url;
    let beside = redis.username.is_some() || redis.password.is_some();
    if beside && (url.username.is_some() || url.password.is_some()) {
        let error = Diagnostic::error(url.span, "user and password are given twice");
        decoder.push(error.hint("remove what stands before the `@`"));
        return None;
    }
    let username = redis.username.as_ref().map(|name| name.value.clone());
    let username = username.or_else(|| url.username.clone());
    let password = match &redis.password {
        Some(source) => Some(read_secret(source, decoder, resolver)?),
        None => url.password.clone(),
    };
    if username.is_some() && password.is_none() && !redis.failed.contains(&"password") {
        let span = redis.username.as_ref().map_or(url.span, |name| name.span);
        let error = Diagnostic::error(span, "this user has no password");
        decoder.push(error.hint("add `password: { env: NAME }`"));
        return None;
    }
    let in_clear = !url.tls && !url.is_loopback() && !redis.danger_plaintext.value;
    if password.is_some() && in_clear {
        let error = Diagnostic::error(
            url.span,
            "the password would be sent to this Redis in clear",
        );
        decoder.push(error.hint("write `rediss://`, or say `danger_plaintext: true`"));
        return None;
    }
    Some((username, password))
}

fn check_prefix(prefix: &Sp<String>, decoder: &mut Decoder) {
    let plain = |b: u8| b.is_ascii_graphic() && !b"{}*?[]\\".contains(&b);
    if prefix.is_empty() || prefix.len() > 100 || !prefix.bytes().all(plain) {
        let error = Diagnostic::error(prefix.span, "this can't begin the names of keys");
        decoder.push(error.hint("write up to 100 letters, digits, `-`, `_`, `.` and `:`"));
    }
}

/// The authorities to trust; `None` where diagnostics say why there are none.
fn ca(
    redis: &RawRedisStore,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Option<Vec<u8>>> {
    let Some(tls) = &redis.tls else {
        return Some(None);
    };
    if !redis.url.tls {
        let error = Diagnostic::error(tls.span, "`tls` means nothing for a URL with `redis://`");
        decoder.push(error.hint("write `rediss://`, or remove `tls`"));
        return None;
    }
    let Some(path) = &tls.ca else {
        return tls.failed.is_empty().then_some(None);
    };
    let path = Sp::new(Path::new(&path.value), path.span);
    read_pem(&path, decoder, resolver).map(Some)
}

/// What a keyring is made of.
struct Keys {
    newest: Secret,
    older: Option<Secret>,
}

impl Keys {
    /// Each is looked at, so that all that is wrong is told at once.
    fn read(
        newest: &Sp<SecretSource>,
        older: Option<&Sp<SecretSource>>,
        decoder: &mut Decoder,
        resolver: &mut Resolver<'_>,
    ) -> Option<Self> {
        let newest = key(newest, decoder, resolver);
        let older = older.map(|source| key(source, decoder, resolver));
        Some(Self {
            newest: newest?,
            older: older.map_or(Some(None), |older| older.map(Some))?,
        })
    }

    fn identify(&self, builder: FingerprintBuilder) -> Fingerprint {
        let builder = builder.secret(&self.newest);
        builder
            .option(self.older.as_ref(), FingerprintBuilder::secret)
            .finish()
    }

    /// None of a stand-in for a secret that was not read.
    fn ring(&self) -> Option<Keyring> {
        Keyring::new(&self.newest, self.older.as_ref()).ok()
    }
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
