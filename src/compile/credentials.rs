//! The file's credentials as sources, and their slots in the cache.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Context, inject::is_ours, settings};
use crate::{
    config::{
        Decoder, Diagnostic, Resolver, SecretSource, Sp, Span,
        raw::{RawCredential, RawFile},
        scalars::Named,
        secret_source::{SecretError, read_file},
    },
    credentials::{
        CacheSettings, CredentialHandle, Linked, Source, TokenCall,
        grants::{self, BuildContext, Placement},
    },
    secret::Secret,
};

/// A credential that could be built, but has no slot yet.
pub(super) struct Built {
    pub(super) source: Arc<dyn Source>,
    pub(super) placement: Placement,
    settings: CacheSettings,
    /// What others that build on it hold.
    linked: Linked,
}

/// All credentials that could be built. The others have their diagnostics.
#[derive(Default)]
pub(super) struct Sources {
    built: HashMap<String, Built>,
    /// Each after those that it builds on.
    order: Vec<String>,
}

impl Sources {
    pub(super) fn get(&self, name: &str) -> Option<&Built> {
        self.built.get(name)
    }
}

/// The largest file of certificates, in bytes.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

pub(super) fn compile(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Sources {
    let Some(credentials) = &file.credentials else {
        return Sources::default();
    };
    let limits = settings::limits(file);
    let mut compiler = Compiler {
        credentials,
        decoder,
        resolver,
        max_waiters: usize::try_from(limits.credential_waiters.value).unwrap_or(usize::MAX),
        max_subjects: usize::try_from(limits.subjects.value).unwrap_or(usize::MAX),
        has_store: file.store.is_some(),
        sources: Sources::default(),
        done: HashSet::new(),
        path: Vec::new(),
    };
    for (name, raw) in credentials.iter() {
        check_name(name, compiler.decoder);
        check_strip(raw, compiler.decoder);
        compiler.build(&name.value);
    }
    let sources = compiler.sources;
    warn_of_unused(file, &sources, decoder);
    sources
}

/// The slots of all credentials. One that no route uses is never fetched ahead, and forgotten with its handle.
pub(super) fn handles(
    file: &RawFile,
    sources: Sources,
    cx: &Context<'_>,
) -> HashMap<String, CredentialHandle> {
    let used = used_names(file, &sources);
    let Sources { mut built, order } = sources;
    let mut handles = HashMap::with_capacity(order.len());
    for name in order {
        let Some(built) = built.remove(&name) else {
            continue;
        };
        let settings = CacheSettings {
            prewarm: built.settings.prewarm && cx.prewarm && used.contains(&name),
            ..built.settings
        };
        let handle = cx.credentials.handle(&name, built.source, settings);
        built.linked.connect(handle.clone());
        handles.insert(name, handle);
    }
    handles
}

/// Builds each credential once, after those that it builds on.
struct Compiler<'a, 'r, 'e> {
    credentials: &'a Sp<Named<RawCredential>>,
    decoder: &'a mut Decoder,
    resolver: &'r mut Resolver<'e>,
    max_waiters: usize,
    max_subjects: usize,
    has_store: bool,
    sources: Sources,
    /// Built or found wrong.
    done: HashSet<String>,
    /// The credentials that are being built, each for the one before.
    path: Vec<String>,
}

impl Compiler<'_, '_, '_> {
    fn build(&mut self, name: &str) {
        let Some(raw) = self.credentials.get(name) else {
            return;
        };
        if !self.done.insert(name.to_owned()) {
            return;
        }
        self.path.push(name.to_owned());
        let grant = grants::find(raw.kind).expect("the decoder takes no other kinds");
        let config = (grant.decode)(&raw.grant, self.decoder);
        let built = config.and_then(|config| {
            let mut builder = Builder {
                compiler: self,
                span: raw.kind_span,
            };
            Some((config.build(&mut builder)?, config.placement()))
        });
        self.path.pop();
        let Some((source, placement)) = built else {
            return;
        };
        let prewarm = &raw.settings.prewarm;
        if prewarm.value && source.per_subject() {
            let message = format!(
                "the credential `{name}` is one for each user: there is nobody to obtain it for at start"
            );
            self.decoder.push(
                Diagnostic::warning(prewarm.span, message)
                    .hint("remove `prewarm`: it does nothing here"),
            );
        }
        self.warn_of_revocation(name, raw.kind_span, &*source);
        let settings = CacheSettings {
            prewarm: raw.settings.prewarm.value,
            max_waiters: self.max_waiters,
            max_subjects: self.max_subjects,
            probe_after: raw
                .settings
                .probe_after
                .as_ref()
                .map_or(Duration::ZERO, |pause| pause.value),
        };
        let built = Built {
            linked: Linked::new(name, &*source),
            source,
            placement,
            settings,
        };
        self.sources.built.insert(name.to_owned(), built);
        self.sources.order.push(name.to_owned());
    }

    /// `revoke_on_exit`, where it does nothing.
    fn warn_of_revocation(&mut self, name: &str, span: Span, source: &dyn Source) {
        if !source.token_call().is_some_and(TokenCall::revokes) {
            return;
        }
        let needs_a_person = source.refreshing().is_some_and(|how| !how.restarts);
        let why = if needs_a_person {
            "only a person could replace them"
        } else if self.has_store && source.keeps() {
            "the `store` keeps them for the next start"
        } else {
            return;
        };
        let message = format!("the tokens of `{name}` are not revoked: {why}");
        let warning = Diagnostic::warning(span, message);
        self.decoder
            .push(warning.hint("remove `revoke_on_exit`: it does nothing here"));
    }

    /// The link to a credential, which is built first; `None` after reporting why not.
    fn link(&mut self, name: &Sp<String>) -> Option<Linked> {
        if let Some(at) = self.path.iter().position(|one| *one == name.value) {
            let circle = self.path[at..].join("` builds on `");
            let message = format!("`{circle}` builds on `{}`: a circle", name.value);
            return self.decoder.fail(name.span, message);
        }
        if self.path.len() > LONGEST_CHAIN {
            let message = format!("a chain of more than {LONGEST_CHAIN} credentials");
            return self.decoder.fail(name.span, message);
        }
        if self.credentials.get(&name.value).is_none() {
            let message = format!("there is no credential `{}`", name.value);
            let names: Vec<&str> = self.credentials.names().collect();
            self.decoder
                .push(Diagnostic::error(name.span, message).suggest(name, names));
            return None;
        }
        self.build(&name.value);
        // None where it has diagnostics of its own.
        let built = self.sources.get(&name.value)?;
        Some(built.linked.clone())
    }
}

/// Far beyond any vendor's dance; below what the stack of this thread holds.
const LONGEST_CHAIN: usize = 16;

/// Names appear in metrics, logs and headers of answers.
pub(super) fn check_name(name: &Sp<String>, decoder: &mut Decoder) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        let error = Diagnostic::error(name.span, "this name can't be used");
        decoder.push(error.hint("names have up to 100 letters, digits, `-`, `_` and `.`"));
    }
}

fn check_strip(raw: &RawCredential, decoder: &mut Decoder) {
    let strip = raw.settings.strip.iter();
    let headers = strip.filter_map(|strip| strip.headers.as_ref());
    for name in headers.flat_map(|names| names.iter()) {
        if is_ours(name) {
            let message = format!("`{}` is the proxy's own and can't be stripped", name.value);
            decoder.diagnostics.error(name.span, message);
        }
    }
}

/// The credentials of routes, those of their families, and those that they build on.
fn used_names(file: &RawFile, sources: &Sources) -> HashSet<String> {
    let defaults = file
        .defaults
        .as_ref()
        .and_then(|defaults| defaults.credential.as_ref());
    let routes = file
        .routes
        .iter()
        .filter_map(|route| route.credential.as_ref());
    let mut open: Vec<String> = routes
        .chain(defaults)
        .map(|name| name.value.clone())
        .collect();
    let mut names = HashSet::new();
    while let Some(name) = open.pop() {
        let links = sources.get(&name).map(|built| built.source.links());
        for linked in links.into_iter().flatten() {
            open.push(linked.name().to_string());
        }
        let raw = file.credentials.as_ref().and_then(|all| all.get(&name));
        let families = raw.and_then(|raw| raw.settings.families.as_ref());
        for family in families.iter().flat_map(|families| families.iter()) {
            if !names.contains(&family.credential.value) {
                open.push(family.credential.value.clone());
            }
        }
        names.insert(name);
    }
    names
}

fn warn_of_unused(file: &RawFile, sources: &Sources, decoder: &mut Decoder) {
    let used = used_names(file, sources);
    // A route that could not be read may be the one that uses it.
    if decoder.diagnostics.has_errors() {
        return;
    }
    for (name, _) in file.credentials.iter().flat_map(|all| all.iter()) {
        if !used.contains(&name.value) {
            let message = format!("no route uses the credential `{}`", name.value);
            decoder.push(Diagnostic::warning(name.span, message));
        }
    }
}

/// What a grant asks of us while it is built.
struct Builder<'c, 'a, 'r, 'e> {
    compiler: &'c mut Compiler<'a, 'r, 'e>,
    span: Span,
}

impl BuildContext for Builder<'_, '_, '_, '_> {
    fn secret(&mut self, source: &Sp<SecretSource>) -> Option<Secret> {
        read_secret(source, self.compiler.decoder, self.compiler.resolver)
    }

    fn file(&mut self, path: &Sp<&Path>) -> Option<Vec<u8>> {
        read_pem(path, self.compiler.decoder, self.compiler.resolver)
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.compiler.resolver.path(path)
    }

    fn name(&self) -> &str {
        self.compiler.path.last().map_or("", String::as_str)
    }

    fn has_store(&self) -> bool {
        self.compiler.has_store
    }

    fn reads_secrets(&self) -> bool {
        self.compiler.resolver.reads_secrets()
    }

    fn credential(&mut self, name: &Sp<String>) -> Option<Linked> {
        self.compiler.link(name)
    }

    fn span(&self) -> Span {
        self.span
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.compiler.decoder.push(diagnostic);
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

/// Reads a file of certificates, an authority's or our own.
pub(super) fn read_pem(
    path: &Sp<&Path>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Vec<u8>> {
    let located = resolver.locate(path.value);
    match read_file(&located, MAX_PEM_BYTES) {
        Ok(bytes) => Some(bytes),
        Err(error) => decoder.fail(
            path.span,
            format!("unreadable file {}: {error}", located.display()),
        ),
    }
}
