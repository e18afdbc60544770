//! The proxy as a command runs it: control runtime, app, bound listeners, reloads, the way down.

use std::{
    fmt, io, process,
    thread::{self, available_parallelism},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{
    file,
    notify::{State, notify},
    output::Failure,
    signals::{Asked, Signals},
    watch::{self as files, Watch},
};
use crate::{
    admin::{self, Status, Surface},
    app::{App, Origin, Variables},
    compile::LoadError,
    config::raw::ListenAddress,
    downstream::Inherited,
    server::{self, Bound},
    telemetry::logs,
};

/// A proxy whose listeners are bound; clients wait until it serves.
pub(super) struct Proxy {
    control: Runtime,
    app: App,
    status: Status,
    bound: Bound,
}

impl Proxy {
    /// Reads the configuration, binds every listener and starts those for operators.
    pub(super) fn start(
        origin: Origin,
        variables: Variables,
        workers: Option<usize>,
        inherited: Inherited,
    ) -> Result<Self, Failure> {
        let control = control_runtime()
            .map_err(|error| Failure::failed("no threads to be had").because(&error))?;
        let (app, report) = App::start(origin, variables, control.handle(), inherited)
            .map_err(|error| file::refused(&error))?;
        file::show(&report);
        let settings = app.settings();
        let workers = workers.or(settings.workers).unwrap_or_else(cores);
        let bound = server::bind(&settings.listen, workers, app.inherited())
            .map_err(|error| listen_failure(&error.address, &error.source))?;
        tell_unused(&app);
        let routes = app.clone();
        let status = Status::new(
            app.metrics().clone(),
            app.credentials().clone(),
            move || routes.snapshot().load().table.values().to_vec(),
        );
        for (address, surface) in [
            (settings.health, Surface::Health),
            (settings.admin, Surface::Admin),
        ] {
            if let Some(address) = address {
                let listener = control
                    .block_on(TcpListener::bind(address))
                    .map_err(|error| listen_failure(&address, &error))?;
                let serving = admin::serve(admin::Listener::Tcp(listener), status.clone(), surface);
                control.spawn(serving);
            }
        }
        Ok(Self {
            control,
            app,
            status,
            bound,
        })
    }

    /// The app, for its settings.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Where clients find it.
    pub(super) fn addresses(&self) -> &[ListenAddress] {
        self.bound.addresses()
    }

    /// Serves until a signal, reloading when asked or when a file changes; then drains.
    pub(super) fn serve_until_signal(self) -> Result<(), Failure> {
        let (stop, stopped) = watch::channel(false);
        let signals = {
            let _context = self.control.enter();
            Signals::listen()
                .map_err(|error| Failure::failed("signals can't be received").because(&error))?
        };
        let app = self.app.clone();
        notify(State::Ready);
        self.control
            .spawn(supervise(signals, self.app, self.status, stop));
        let served = self.bound.serve(&app, &stopped);
        self.control.block_on(app.credentials().finish());
        self.control.shutdown_timeout(Duration::from_millis(100));
        tracing::info!("ended");
        served.map_err(|error| Failure::failed("serving ended").because(&error))
    }

    /// Serves on threads of its own; the returned sender ends it. Reloads nothing.
    pub(super) fn serve_in_background(self) -> (watch::Sender<bool>, Runtime) {
        let (stop, stopped) = watch::channel(false);
        let (bound, app) = (self.bound, self.app);
        thread::spawn(move || {
            if let Err(error) = bound.serve(&app, &stopped) {
                tracing::error!("serving ended: {error}");
            }
        });
        (stop, self.control)
    }
}

/// Follows signals and files until told to stop, then sees to the end.
async fn supervise(mut signals: Signals, app: App, status: Status, stop: watch::Sender<bool>) {
    let mut files = Watch::new(app.files());
    let mut looks = interval(files::PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => reload(&app, &mut files, "asked to").await,
            },
            _ = looks.tick() => {
                let looked = spawn_blocking(move || (files.look(), files)).await;
                let Ok((changed, same)) = looked else { return };
                files = same;
                if changed {
                    reload(&app, &mut files, "a file changed").await;
                }
            }
        }
    }
    let drain = app.settings().limits.drain;
    tracing::info!(?drain, "draining; a second signal ends at once");
    status.drain();
    notify(State::Stopping);
    // The workers are gone already: nothing left to tell.
    let _ = stop.send(true);
    while signals.next().await != Asked::Stop {}
    tracing::warn!("ended at once by a second signal");
    logs::flush(Duration::from_secs(1));
    process::exit(1);
}

async fn reload(app: &App, files: &mut Watch, why: &str) {
    notify(State::Reloading);
    let reloading = app.clone();
    // Reading secrets blocks: a program may be asked for one.
    let Ok(result) = spawn_blocking(move || reloading.reload()).await else {
        return;
    };
    notify(State::Ready);
    match result {
        Ok(reloaded) => {
            files.follow(app.files());
            tracing::info!(
                generation = reloaded.generation,
                why,
                "configuration reloaded"
            );
            if !reloaded.report.diagnostics.is_empty() {
                tracing::warn!(
                    "about the configuration:\n{}",
                    reloaded.report.render(false)
                );
            }
            if !reloaded.needs_restart.is_empty() {
                let keys = reloaded.needs_restart.join(", ");
                tracing::warn!(keys, "these settings changed and wait for the next start");
            }
        }
        Err(LoadError::Invalid { report }) => {
            let shown = report.render(false);
            tracing::error!(
                why,
                "configuration refused, the old one stays:\n{}",
                shown.trim_end()
            );
        }
        Err(error) => tracing::error!(why, "configuration refused, the old one stays: {error}"),
    }
}

/// The threads for everything that is no client's request.
fn control_runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("control")
        .enable_all()
        .build()
}

fn cores() -> usize {
    available_parallelism().map_or(1, Into::into)
}

/// Clients of a socket that nobody accepts from wait for ever.
fn tell_unused(app: &App) {
    let listen = &app.settings().listen;
    for name in app.inherited().names() {
        let is_it =
            |address: &ListenAddress| matches!(address, ListenAddress::Systemd(it) if it == name);
        if !listen.iter().any(|listener| is_it(&listener.address)) {
            tracing::warn!(
                name,
                "systemd passes a socket that no listener of the file takes"
            );
        }
    }
}

/// An address that is taken is a matter of the machine, not of the file: exit code 1.
fn listen_failure(address: &dyn fmt::Display, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("can't listen on {address}")).because(error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failure
            .hint("another program has it, maybe another bearerd; stop that or change the address"),
        io::ErrorKind::PermissionDenied => failure.hint("ports below 1024 need privileges"),
        io::ErrorKind::AddrNotAvailable => failure.hint("this machine has no such address"),
        _ => failure,
    }
}
