//! Wiring: what outlives a configuration, and the configuration that is current.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::runtime::Handle;

use crate::{
    callers::KeySets,
    compile::{self, Compiled, Context, LoadError, Settings},
    config::Report,
    credentials::Credentials,
    downstream::{Inherited, ServerTls, TlsServers},
    routes::Snapshot,
    telemetry::metrics::Metrics,
    upstream::Upstreams,
};

/// Where variables of the file are looked up.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where a configuration is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, read again at each reload.
    File(PathBuf),
    /// A text; relative paths in it start at the folder of `name`.
    Text {
        /// What messages call it.
        name: String,
        /// The configuration.
        text: String,
    },
}

/// A running proxy without its listeners. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    origin: Origin,
    variables: Variables,
    credentials: Credentials,
    upstreams: Upstreams,
    key_sets: KeySets,
    tls_servers: TlsServers,
    metrics: Metrics,
    snapshot: Arc<ArcSwap<Snapshot>>,
    settings: Settings,
    inherited: Inherited,
    /// Of each listener, as `settings` has them.
    tls: Vec<Option<ListenerTls>>,
    /// Also keeps reloads one after the other.
    watched: Mutex<Vec<PathBuf>>,
}

/// The TLS of a listener, as it is now.
pub type ListenerTls = Arc<ArcSwap<ServerConfig>>;

/// What a reload led to.
#[derive(Debug)]
pub struct Reloaded {
    /// Warnings of the new configuration.
    pub report: Report,
    /// Its number.
    pub generation: u64,
    /// Settings that differ from those of the start and take effect only at the next one.
    pub needs_restart: Vec<&'static str>,
}

impl App {
    /// Reads the configuration for the first time; token calls run on `control`. Listeners may be among `inherited`.
    ///
    /// Blocks while secrets are read.
    ///
    /// # Errors
    /// [`LoadError`] with everything that is wrong with it.
    pub fn start(
        origin: Origin,
        variables: Variables,
        control: &Handle,
        inherited: Inherited,
    ) -> Result<(Self, Report), LoadError> {
        let credentials = Credentials::new(control.clone());
        let upstreams = Upstreams::checked_on(control.clone());
        let key_sets = KeySets::new(control.clone());
        let tls_servers = TlsServers::default();
        let metrics = Metrics::new();
        let context = Context {
            env: &*variables,
            credentials: &credentials,
            upstreams: &upstreams,
            key_sets: &key_sets,
            tls: &tls_servers,
            metrics: &metrics,
            generation: 1,
            prewarm: true,
            inherited: Some(&inherited),
        };
        let Compiled {
            snapshot,
            settings,
            tls,
            report,
            files,
            ..
        } = load(&origin, &context)?;
        let tls = tls
            .into_iter()
            .map(|tls| Some(Arc::new(ArcSwap::new(tls?))))
            .collect();
        let watched = Mutex::new(watched(&origin, files));
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let inner = Inner {
            origin,
            variables,
            credentials,
            upstreams,
            key_sets,
            tls_servers,
            metrics,
            snapshot,
            settings,
            inherited,
            tls,
            watched,
        };
        Ok((Self(Arc::new(inner)), report))
    }

    /// Reads the configuration again and puts it in the old one's place, or leaves that where it is wrong.
    ///
    /// Requests in flight keep the generation that they began with. Blocks while secrets are read.
    ///
    /// # Errors
    /// [`LoadError`]; the old configuration stays.
    pub fn reload(&self) -> Result<Reloaded, LoadError> {
        let inner = &*self.0;
        let mut files_watched = self.watched();
        let generation = inner.snapshot.load().generation + 1;
        let context = Context {
            env: &*inner.variables,
            credentials: &inner.credentials,
            upstreams: &inner.upstreams,
            key_sets: &inner.key_sets,
            tls: &inner.tls_servers,
            metrics: &inner.metrics,
            generation,
            prewarm: true,
            inherited: Some(&inner.inherited),
        };
        let loaded = load(&inner.origin, &context);
        let counters = inner.metrics.process();
        let Compiled {
            snapshot,
            settings,
            tls,
            report,
            files,
            ..
        } = match loaded {
            Ok(compiled) => compiled,
            Err(error) => {
                counters.reloads_refused.inc();
                return Err(error);
            }
        };
        inner.snapshot.store(Arc::new(snapshot));
        inner.renew_tls(&settings, tls);
        *files_watched = watched(&inner.origin, files);
        counters.reloads_applied.inc();
        let needs_restart = differing(&inner.settings, &settings);
        Ok(Reloaded {
            report,
            generation,
            needs_restart,
        })
    }

    /// The current configuration.
    pub fn snapshot(&self) -> &Arc<ArcSwap<Snapshot>> {
        &self.0.snapshot
    }

    /// What was fixed at the start.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The sockets that were open before the start.
    pub fn inherited(&self) -> &Inherited {
        &self.0.inherited
    }

    /// The TLS of each listener of [`Self::settings`]; a reload changes it.
    pub fn tls(&self) -> &[Option<ListenerTls>] {
        &self.0.tls
    }

    /// The cache of credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The files that a change of which calls for a reload.
    pub fn files(&self) -> Vec<PathBuf> {
        self.watched().clone()
    }

    fn watched(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Connections that come from now on are shown the new certificates, on the listeners that are still in the file.
    fn renew_tls(&self, settings: &Settings, tls: Vec<Option<ServerTls>>) {
        for (listener, new) in settings.listen.iter().zip(tls) {
            let mut running = self.settings.listen.iter().zip(&self.tls);
            if let Some((_, Some(old))) =
                running.find(|(running, _)| running.address == listener.address)
                && let Some(new) = new
            {
                old.store(new);
            }
        }
    }
}

fn load(origin: &Origin, context: &Context<'_>) -> Result<Compiled, LoadError> {
    match origin {
        Origin::File(path) => compile::load_file(path, context),
        Origin::Text { name, text } => {
            compile::load_text(name, text, context).map_err(|report| LoadError::Invalid { report })
        }
    }
}

fn watched(origin: &Origin, secrets: Vec<PathBuf>) -> Vec<PathBuf> {
    let own = match origin {
        Origin::File(path) => Some(Path::to_owned(path)),
        Origin::Text { .. } => None,
    };
    own.into_iter().chain(secrets).collect()
}

fn differing(old: &Settings, new: &Settings) -> Vec<&'static str> {
    [
        ("listen", old.listen != new.listen),
        ("health", old.health != new.health),
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
        ("limits", old.limits != new.limits),
        ("log", old.log != new.log),
        ("store", old.store != new.store),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
