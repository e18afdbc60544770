//! One worker: a thread with its own runtime, its own sockets, its clients and its pools.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use rustls::ServerConfig;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_util::task::TaskTracker;

use super::{
    accept::{Accepting, Arrived},
    connection::{HeadLimits, Serving, Stack, serve},
    handshake::{Accepted, HandshakeError},
    listener::Listening,
    load::Load,
    phase::ClientTimeouts,
    transport::Transport,
};
use crate::{
    app::ListenerTls, clock::Watchdog, downstream::Peer, layers::Connection,
    telemetry::metrics::Metrics, upstream::Pools,
};

/// What bounds one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Client connections open at once.
    pub connections: usize,
    /// How large the head of a request may be.
    pub head: HeadLimits,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long a client may take.
    pub client: ClientTimeouts,
    /// How long requests in flight may go on after the signal to end.
    pub drain: Duration,
}

/// What one worker has of its own.
pub(super) struct Worker<S> {
    pub(super) stack: S,
    pub(super) pools: Pools,
    pub(super) watchdog: Watchdog,
    pub(super) limits: WorkerLimits,
    pub(super) load: Arc<Load>,
    pub(super) metrics: Metrics,
    pub(super) shutdown: watch::Receiver<bool>,
}

/// A socket that accepts, and what is done with whoever comes.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) socket: Listening,
    pub(super) tls: Option<ListenerTls>,
    /// From where the PROXY protocol is spoken.
    pub(super) proxies: Arc<[IpNet]>,
    /// Whether the socket stays when we go, with all who wait in its queue.
    pub(super) outlives_us: bool,
}

impl<S: Stack> Worker<S> {
    /// Accepts and serves until the signal to end, then drains.
    ///
    /// # Errors
    /// Where a socket can't be handed to this runtime.
    pub(super) async fn run(mut self, entrances: Vec<Entrance>) -> io::Result<()> {
        let draining = Arc::new(AtomicBool::new(false));
        let serving = Serving {
            stack: self.stack.clone(),
            limits: self.limits.head,
            streams: self.limits.streams,
            timeouts: self.limits.client,
            load: Arc::clone(&self.load),
            draining: Arc::clone(&draining),
            metrics: self.metrics.clone(),
        };
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut accepting = tokio::task::JoinSet::new();
        for entrance in entrances {
            let listener = Accepting::adopt(entrance.socket)?;
            let acceptor = Acceptor {
                tls: entrance.tls,
                proxies: entrance.proxies,
                outlives_us: entrance.outlives_us,
                serving: serving.clone(),
                watchdog: self.watchdog.clone(),
                slots: Arc::clone(&slots),
                tasks: tasks.clone(),
                shutdown: self.shutdown.clone(),
            };
            accepting.spawn(acceptor.run(listener));
        }
        let watching = tokio::spawn(self.watchdog.clone().run());
        let sweeping = tokio::spawn(sweep(self.pools.clone()));
        // An error means that the sender is gone: as good a reason to end.
        let _ = self.shutdown.wait_for(|ended| *ended).await;
        // The sockets close here: new connections are refused while the old ones end.
        while accepting.join_next().await.is_some() {}
        draining.store(true, Ordering::Relaxed);
        self.watchdog.wake_all();
        tasks.close();
        let _ = tokio::time::timeout(self.limits.drain, tasks.wait()).await;
        watching.abort();
        sweeping.abort();
        Ok(())
    }
}

struct Acceptor<S> {
    tls: Option<ListenerTls>,
    proxies: Arc<[IpNet]>,
    outlives_us: bool,
    serving: Serving<S>,
    watchdog: Watchdog,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: watch::Receiver<bool>,
}

impl<S: Stack> Acceptor<S> {
    async fn run(self, listener: Accepting) {
        let mut shutdown = self.shutdown.clone();
        let ended = async move { shutdown.wait_for(|ended| *ended).await.is_ok() };
        tokio::pin!(ended);
        loop {
            // At the limit, clients wait in the kernel's queue.
            let slot = tokio::select! {
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
                _ = &mut ended => break,
            };
            let Ok(slot) = slot else { return };
            let arrived = tokio::select! {
                arrived = listener.accept() => arrived,
                _ = &mut ended => break,
            };
            match arrived {
                Ok(arrived) => self.spawn(arrived, slot),
                Err(_) => {
                    self.serving.metrics.process().accept_errors.inc();
                    drop(slot);
                    // Out of descriptors: some time passes before one is free.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if self.outlives_us {
            // The next process serves them; and there would be no end of them.
            return;
        }
        // Those who had connected before the end are served still.
        let mut rest = listener.into_rest();
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
            && let Some(arrived) = rest.next()
        {
            self.spawn(arrived, slot);
        }
    }

    fn spawn(&self, arrived: Arrived, slot: OwnedSemaphorePermit) {
        let metrics = self.serving.metrics.clone();
        metrics.process().connections.inc();
        metrics.process().connections_open.inc();
        let Arrived {
            transport,
            connection,
        } = arrived;
        let connection = connection.with_fields(self.serving.limits.fields);
        let serving = self.serving.clone();
        let watchdog = self.watchdog.clone();
        let tls = self.tls.as_ref().map(|tls| tls.load_full());
        let proxied = self.is_proxied(connection.peer);
        self.tasks.spawn(async move {
            let accepted = match transport {
                // Boxed: a connection in clear would keep the room for it.
                Transport::Tcp(tcp) if proxied || tls.is_some() => {
                    let limit = serving.timeouts.head;
                    Box::pin(prepare(tcp, connection, proxied, tls, limit, &metrics)).await
                }
                transport => Some(Accepted::clear(transport, connection)),
            };
            if let Some(accepted) = accepted {
                serve(serving, accepted, watchdog.watch()).await;
            }
            metrics.process().connections_open.dec();
            drop(slot);
        });
    }

    fn is_proxied(&self, peer: Peer) -> bool {
        let contains =
            |address: SocketAddr| self.proxies.iter().any(|it| it.contains(&address.ip()));
        !self.proxies.is_empty() && peer.address().is_some_and(contains)
    }
}

/// Does what comes before HTTP; `None` where it came to nothing.
async fn prepare(
    mut tcp: TcpStream,
    mut connection: Connection,
    proxied: bool,
    tls: Option<Arc<ServerConfig>>,
    limit: Duration,
    metrics: &Metrics,
) -> Option<Accepted> {
    let peer = connection.peer;
    if proxied {
        connection = match Accepted::named(&mut tcp, connection, limit).await {
            Ok(connection) => connection,
            Err(error) => {
                metrics.process().connection_errors.inc();
                tracing::debug!(%peer, %error, "a balancer does not say who its client is");
                return None;
            }
        };
    }
    let Some(tls) = tls else {
        return Some(Accepted::clear(Transport::Tcp(tcp), connection));
    };
    match Accepted::over_tls(tcp, connection, tls, limit).await {
        Ok(accepted) => Some(accepted),
        Err(HandshakeError::Left) => None,
        Err(error) => {
            metrics.process().handshake_errors.inc();
            tracing::debug!(%peer, %error, "no TLS with a client");
            None
        }
    }
}

async fn sweep(pools: Pools) {
    let mut interval = tokio::time::interval(SWEEP);
    loop {
        interval.tick().await;
        pools.sweep();
    }
}

/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at idle upstream connections.
const SWEEP: Duration = Duration::from_secs(1);
