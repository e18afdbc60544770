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

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_util::task::TaskTracker;

use super::{
    connection::{HeadLimits, Serving, Stack, serve},
    listener,
    phase::ClientTimeouts,
};
use crate::{clock::Watchdog, layers::Connection, telemetry::metrics::Metrics, upstream::Pools};

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
    pub(super) metrics: Metrics,
    pub(super) shutdown: watch::Receiver<bool>,
}

impl<S: Stack> Worker<S> {
    /// Accepts and serves until the signal to end, then drains.
    ///
    /// # Errors
    /// Where a socket can't be handed to this runtime.
    pub(super) async fn run(mut self, sockets: Vec<std::net::TcpListener>) -> io::Result<()> {
        let draining = Arc::new(AtomicBool::new(false));
        let serving = Serving {
            stack: self.stack.clone(),
            limits: self.limits.head,
            streams: self.limits.streams,
            timeouts: self.limits.client,
            draining: Arc::clone(&draining),
            metrics: self.metrics.clone(),
        };
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut accepting = tokio::task::JoinSet::new();
        for socket in sockets {
            let listener = listener::adopt(socket)?;
            let acceptor = Acceptor {
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
    serving: Serving<S>,
    watchdog: Watchdog,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: watch::Receiver<bool>,
}

impl<S: Stack> Acceptor<S> {
    async fn run(self, listener: TcpListener) {
        let Ok(local) = listener.local_addr() else {
            return;
        };
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
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = &mut ended => break,
            };
            match accepted {
                Ok((tcp, peer)) => self.spawn(tcp, peer, local, slot),
                Err(_) => {
                    self.serving.metrics.process().accept_errors.inc();
                    drop(slot);
                    // Out of descriptors: some time passes before one is free.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.accept_the_rest(listener, local);
    }

    /// Those who had connected before the end are served still: in the kernel's queue they would be reset.
    fn accept_the_rest(&self, listener: TcpListener, local: SocketAddr) {
        // As the kernel has them: the runtime may not have heard of them yet.
        let Ok(listener) = listener.into_std() else {
            return;
        };
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
            && let Ok((tcp, peer)) = listener.accept()
        {
            let adopted = tcp
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(tcp));
            if let Ok(tcp) = adopted {
                self.spawn(tcp, peer, local, slot);
            }
        }
    }

    fn spawn(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        listener: SocketAddr,
        slot: OwnedSemaphorePermit,
    ) {
        let local = tcp.local_addr().unwrap_or(listener);
        let metrics = self.serving.metrics.clone();
        metrics.process().connections.inc();
        metrics.process().connections_open.inc();
        let served = serve(
            self.serving.clone(),
            tcp,
            Connection::new(peer, local).with_fields(self.serving.limits.fields),
            self.watchdog.watch(),
        );
        self.tasks.spawn(async move {
            served.await;
            metrics.process().connections_open.dec();
            drop(slot);
        });
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
