//! The file's credentials as sources, and their slots in the cache.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{Context, settings};
use crate::{
    config::{
        Decoder, Diagnostic, Resolver, SecretSource, Sp, Span,
        raw::{RawCredential, RawFile},
        secret_source::{SecretError, read_file},
    },
    credentials::{
        CacheSettings, CredentialHandle, Source,
        grants::{self, BuildContext, Placement},
    },
    secret::Secret,
};

/// A credential that could be built, but has no slot yet.
pub(super) struct Built {
    pub(super) source: Arc<dyn Source>,
    pub(super) placement: Placement,
    /// Whether a secret of its own stands in the file: says nothing about the others.
    settings: CacheSettings,
}

/// All credentials that could be built, by name. The others have their diagnostics.
pub(super) type Sources = HashMap<String, Built>;

/// The largest CA file, in bytes.
const MAX_CA_BYTES: u64 = 1024 * 1024;

pub(super) fn compile(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Sources {
    let mut sources = Sources::new();
    let Some(credentials) = &file.credentials else {
        return sources;
    };
    let max_waiters =
        usize::try_from(settings::limits(file).credential_waiters.value).unwrap_or(usize::MAX);
    for (name, raw) in credentials.iter() {
        check_name(name, decoder);
        if let Some((source, placement)) = build(raw, decoder, resolver) {
            let settings = CacheSettings {
                prewarm: raw.settings.prewarm.value,
                max_waiters,
            };
            sources.insert(
                name.value.clone(),
                Built {
                    source,
                    placement,
                    settings,
                },
            );
        }
    }
    warn_of_unused(file, decoder);
    sources
}

/// The slots of all credentials. One that no route uses is never fetched ahead, and forgotten with its handle.
pub(super) fn handles(
    file: &RawFile,
    sources: Sources,
    cx: &Context<'_>,
) -> HashMap<String, CredentialHandle> {
    let used = used_names(file);
    let handle = |(name, built): (String, Built)| {
        let settings = CacheSettings {
            prewarm: built.settings.prewarm && cx.prewarm && used.contains(&name.as_str()),
            ..built.settings
        };
        let handle = cx.credentials.handle(&name, built.source, settings);
        (name, handle)
    };
    sources.into_iter().map(handle).collect()
}

fn build(
    raw: &Sp<RawCredential>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<(Arc<dyn Source>, Placement)> {
    let grant = grants::find(raw.kind).expect("the decoder takes no other kinds");
    let config = (grant.decode)(&raw.grant, decoder)?;
    let mut builder = Builder {
        decoder,
        resolver,
        span: raw.kind_span,
    };
    Some((config.build(&mut builder)?, config.placement()))
}

/// Names appear in metrics, logs and headers of answers.
pub(super) fn check_name(name: &Sp<String>, decoder: &mut Decoder) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        let error = Diagnostic::error(name.span, "this name can't be used");
        decoder.push(error.hint("names have up to 100 letters, digits, `-`, `_` and `.`"));
    }
}

fn used_names(file: &RawFile) -> Vec<&str> {
    let defaults = file
        .defaults
        .as_ref()
        .and_then(|defaults| defaults.credential.as_ref());
    let routes = file
        .routes
        .iter()
        .filter_map(|route| route.credential.as_ref());
    let mut names: Vec<&str> = routes
        .chain(defaults)
        .map(|name| name.value.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn warn_of_unused(file: &RawFile, decoder: &mut Decoder) {
    let used = used_names(file);
    // A route that could not be read may be the one that uses it.
    if decoder.diagnostics.has_errors() {
        return;
    }
    for (name, _) in file.credentials.iter().flat_map(|all| all.iter()) {
        if !used.contains(&name.value.as_str()) {
            let message = format!("no route uses the credential `{}`", name.value);
            decoder.push(Diagnostic::warning(name.span, message));
        }
    }
}

/// What a grant asks of us while it is built.
struct Builder<'a, 'r, 'e> {
    decoder: &'a mut Decoder,
    resolver: &'r mut Resolver<'e>,
    span: Span,
}

impl BuildContext for Builder<'_, '_, '_> {
    fn secret(&mut self, source: &Sp<SecretSource>) -> Option<Secret> {
        read_secret(source, self.decoder, self.resolver)
    }

    fn file(&mut self, path: &Sp<&Path>) -> Option<Vec<u8>> {
        read_ca(path, self.decoder, self.resolver)
    }

    fn span(&self) -> Span {
        self.span
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.decoder.push(diagnostic);
    }
}

/// Reads a secret; `None` after reporting why not.
pub(super) fn read_secret(
    source: &Sp<SecretSource>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Secret> {
    let error = match source.resolve(resolver) {
        Ok(secret) => return Some(secret),
        Err(error) => error,
    };
    let found = Diagnostic::error(source.span, error.to_string());
    decoder.push(match error {
        SecretError::NotSet(name) => found.hint(format!(
            "set it where bearerd runs: `{name}=... bearerd ...`"
        )),
        _ => found,
    });
    None
}

/// Reads a file of certificates.
pub(super) fn read_ca(
    path: &Sp<&Path>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Vec<u8>> {
    let located = resolver.locate(path.value);
    match read_file(&located, MAX_CA_BYTES) {
        Ok(bytes) => Some(bytes),
        Err(error) => decoder.fail(
            path.span,
            format!("unreadable file {}: {error}", located.display()),
        ),
    }
}
