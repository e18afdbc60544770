//! From the raw file to what runs: checks the whole, gathers every error, makes the routing snapshot.
//!
//! The only I/O is what secrets and CA files take, and a look at who may use the store's folder. Nothing is started: a credential's slot is asked for only once no
//! error was found, so that a file that is refused causes no token call.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    callers::KeySets,
    config::{self, Loaded, Report, Resolver, interpolate::Env},
    credentials::{CredentialHandle, Credentials, grants, presets::PRESETS},
    downstream::{Inherited, ServerTls, TlsServers},
    routes::{Snapshot, table::TableBuilder},
    telemetry::metrics::Metrics,
    upstream::Upstreams,
};

mod callers;
mod credentials;
mod hosts;
mod inject;
mod listeners;
mod logins;
mod matcher;
mod peers;
mod routes;
mod settings;
mod store;
mod upstreams;

pub use self::{
    listeners::Listener,
    settings::{Limits, LogSettings, Settings},
};

/// What outlives a configuration, and where variables come from.
pub struct Context<'a> {
    /// Where `${NAME}` and `{ env: NAME }` are looked up.
    pub env: Env<'a>,
    /// The cache of credentials.
    pub credentials: &'a Credentials,
    /// The upstreams in use.
    pub upstreams: &'a Upstreams,
    /// The TLS of the listeners in use.
    pub tls: &'a TlsServers,
    /// The public keys of issuers in use.
    pub key_sets: &'a KeySets,
    /// The series of the routes.
    pub metrics: &'a Metrics,
    /// Counts the configurations applied since the start, from 1.
    pub generation: u64,
    /// Whether credentials with `prewarm` are fetched at once; not where a file is only looked at.
    pub prewarm: bool,
    /// What systemd has passed; none where a file is only looked at.
    pub inherited: Option<&'a Inherited>,
}

/// A configuration that can run.
#[derive(Debug)]
pub struct Compiled {
    /// Who may call, and which requests go where.
    pub snapshot: Snapshot,
    /// Listeners, threads, limits, logs.
    pub settings: Settings,
    /// The TLS of each listener that speaks it.
    pub tls: Vec<Option<ServerTls>>,
    /// Every credential of the file by name, also those that no route uses.
    pub credentials: HashMap<String, CredentialHandle>,
    /// Warnings; no errors.
    pub report: Report,
    /// The files that it depends on besides its own, to be watched.
    pub files: Vec<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is wrong.
    #[error("{} is not a usable configuration", report.source.name())]
    Invalid {
        /// What is wrong with it.
        report: Box<Report>,
    },
}

/// Reads and compiles the file at `path`. Blocks while secrets are read, up to 10 s for each program.
///
/// # Errors
/// [`LoadError`] where the file can't be read, or with everything that is wrong with it.
pub fn load_file(path: &Path, cx: &Context<'_>) -> Result<Compiled, LoadError> {
    let loaded = read(path, cx)?;
    compile(loaded, cx).map_err(|report| LoadError::Invalid { report })
}

/// As [`load_file`], but no secret is read: what needs one must not be used.
///
/// # Errors
/// As [`load_file`], without those about secrets.
pub fn load_file_without_secrets(path: &Path, cx: &Context<'_>) -> Result<Compiled, LoadError> {
    let loaded = read(path, cx)?;
    let resolver = Resolver::new(cx.env, &loaded.folder).without_secrets();
    compile_with(loaded, resolver, cx).map_err(|report| LoadError::Invalid { report })
}

fn read(path: &Path, cx: &Context<'_>) -> Result<Loaded, LoadError> {
    let read = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = config::secret_source::read_file(path, config::yaml::MAX_FILE_BYTES as u64)
        .map_err(read)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        read(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not UTF-8",
        ))
    })?;
    let name = path.display().to_string();
    Ok(config::load(&name, &text, cx.env, grants::KINDS, PRESETS))
}

/// Compiles `text`, which messages call `name`; relative paths in it start at the folder of `name`.
///
/// # Errors
/// Everything that is wrong with it, warnings included.
pub fn load_text(name: &str, text: &str, cx: &Context<'_>) -> Result<Compiled, Box<Report>> {
    compile(config::load(name, text, cx.env, grants::KINDS, PRESETS), cx)
}

/// Compiles what was read.
///
/// # Errors
/// Everything that is wrong with it, warnings included.
pub fn compile(loaded: Loaded, cx: &Context<'_>) -> Result<Compiled, Box<Report>> {
    let resolver = Resolver::new(cx.env, &loaded.folder);
    compile_with(loaded, resolver, cx)
}

fn compile_with(
    mut loaded: Loaded,
    mut resolver: Resolver<'_>,
    cx: &Context<'_>,
) -> Result<Compiled, Box<Report>> {
    let Some(file) = loaded.file.take() else {
        return Err(Box::new(loaded.into_report()));
    };
    let decoder = &mut loaded.decoder;

    let mut settings = settings::compile(&file, decoder, cx.inherited);
    let tls = listeners::tls(&file, decoder, &mut resolver, cx.tls);
    let store = store::compile(&file, decoder, &mut resolver);
    settings.store = store.as_ref().map(|store| store.identity);
    let callers = callers::compile(&file, decoder, &mut resolver, cx);
    let sources = credentials::compile(&file, decoder, &mut resolver);
    let targets = upstreams::compile(&file, decoder, &mut resolver, cx.upstreams);
    let drafts = routes::draft(
        &file,
        &sources,
        &targets,
        decoder,
        &mut resolver,
        cx.upstreams,
    );
    routes::check_table(&drafts, decoder);
    let hosts = hosts::compile(&file, &drafts, decoder);

    if loaded.decoder.diagnostics.has_errors() {
        return Err(Box::new(loaded.into_report()));
    }
    if let Some(store) = store {
        cx.credentials.keep_in(store.store);
    }
    if cx.prewarm {
        callers.jwts().prewarm();
    }
    let handles = credentials::handles(&file, sources, cx);
    let mut table = TableBuilder::new();
    let mut placeholders = false;
    for draft in drafts {
        let (matcher, route) = draft.finish(&handles, &callers, &loaded.source, cx);
        placeholders |= route.placeholders.is_some();
        table.add(matcher, Arc::new(route));
    }
    let snapshot = Snapshot {
        generation: cx.generation,
        callers,
        hosts,
        placeholders,
        table: table
            .build()
            .expect("`check_table` has found no ambiguous routes"),
    };
    let files = resolver.into_files();
    Ok(Compiled {
        snapshot,
        settings,
        tls,
        credentials: handles,
        report: loaded.into_report(),
        files,
    })
}

#[cfg(test)]
mod tests;
