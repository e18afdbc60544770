//! Listeners, workers and their end: thread per core, nothing of a request crosses a thread.

use std::{io as stdio, sync::Arc, thread};

use tokio::sync::watch;

use crate::{
    app::App,
    clock::Watchdog,
    compile::{Limits, Listener},
    config::raw::ListenAddress,
    downstream::Inherited,
    stack::stack,
    upstream::Pools,
};

mod accept;
mod connection;
mod handler;
mod handshake;
mod http2;
mod io;
mod listener;
mod load;
mod phase;
mod sniff;
mod transport;
mod worker;

pub use connection::HeadLimits;
pub use listener::BindError;
use listener::{Listening, SocketFile};
use load::Load;
pub use phase::ClientTimeouts;
pub use worker::WorkerLimits;

/// Why serving ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A worker could not be started or ended before its time.
    #[error("a worker failed")]
    Worker(#[source] stdio::Error),
}

/// Sockets that are bound, not yet accepting.
#[derive(Debug)]
pub struct Bound {
    /// For each worker, one socket an address, and which listener of the file it belongs to.
    sockets: Vec<Vec<(usize, Listening)>>,
    addresses: Vec<ListenAddress>,
    /// Removed at the end.
    files: Vec<SocketFile>,
}

/// Binds `listeners`, for `workers` workers; those of systemd are among `inherited`.
///
/// # Errors
/// [`BindError`] for the first address that is in use or not ours.
pub fn bind(
    listeners: &[Listener],
    workers: usize,
    inherited: &Inherited,
) -> Result<Bound, BindError> {
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let (mut addresses, mut files) = (Vec::new(), Vec::new());
    for (number, listener) in listeners.iter().enumerate() {
        for bound in listener::bind(listener, workers, inherited)? {
            addresses.push(bound.address);
            files.extend(bound.file);
            for (worker, socket) in sockets.iter_mut().zip(bound.sockets) {
                worker.push((number, socket));
            }
        }
    }
    Ok(Bound {
        sockets,
        addresses,
        files,
    })
}

impl Bound {
    /// Where clients find us; the port is the real one also where the file says 0.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Serves `app` until `shutdown` turns true and every worker has drained. Blocks the calling thread.
    ///
    /// # Errors
    /// [`ServeError::Worker`] where a thread can't be started, or a worker failed.
    pub fn serve(self, app: &App, shutdown: &watch::Receiver<bool>) -> Result<(), ServeError> {
        let workers = self.sockets.len();
        let limits = worker_limits(&app.settings().limits, workers);
        let loads = Load::of_workers(workers, app.settings().limits.requests);
        let threads: Vec<_> = self
            .sockets
            .into_iter()
            .zip(loads)
            .enumerate()
            .map(|(number, (sockets, load))| {
                let (app, shutdown) = (app.clone(), shutdown.clone());
                thread::Builder::new()
                    .name(format!("worker-{number}"))
                    .spawn(move || work(sockets, &app, limits, load, shutdown))
            })
            .collect::<Result<_, _>>()
            .map_err(ServeError::Worker)?;
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(stdio::Error::other("it panicked")));
            ended.map_err(ServeError::Worker)?;
        }
        drop(self.files);
        Ok(())
    }
}

/// The limits of the process, shared out.
fn worker_limits(limits: &Limits, workers: usize) -> WorkerLimits {
    WorkerLimits {
        connections: limits.connections.div_ceil(workers.max(1)),
        head: HeadLimits {
            bytes: limits.header_bytes,
            fields: limits.headers,
        },
        streams: limits.streams,
        client: ClientTimeouts {
            head: limits.header_timeout,
            idle: limits.keep_alive,
            write: limits.write_timeout,
        },
        drain: limits.drain,
    }
}

/// The life of one worker's thread.
fn work(
    sockets: Vec<(usize, Listening)>,
    app: &App,
    limits: WorkerLimits,
    load: Arc<Load>,
    shutdown: watch::Receiver<bool>,
) -> stdio::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entrances = sockets
        .into_iter()
        .map(|(number, socket)| {
            let listener = &app.settings().listen[number];
            worker::Entrance {
                socket,
                tls: app.tls()[number].clone(),
                proxies: Arc::clone(&listener.proxies),
                outlives_us: matches!(listener.address, ListenAddress::Systemd(_)),
            }
        })
        .collect();
    let ended = runtime.block_on(async {
        let watchdog = Watchdog::new();
        let pools = Pools::new(watchdog.clone());
        let worker = worker::Worker {
            stack: stack(
                Arc::clone(app.snapshot()),
                app.metrics().clone(),
                pools.clone(),
            ),
            pools,
            watchdog,
            limits,
            load,
            metrics: app.metrics().clone(),
            shutdown,
        };
        worker.run(entrances).await
    });
    // A look-up of a name may be stuck in the blocking pool: it is not waited for.
    runtime.shutdown_background();
    ended
}
