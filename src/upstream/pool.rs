//! One worker's connections to one upstream: bounded, last in first out, with a bounded queue for them.
//!
//! Ours and not hyper-util's `client::pool`, whose cache has no bound on connections and no queue; the
//! cost per request is the same.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use hyper::client::conn::http1::SendRequest;
use tokio::sync::oneshot;

use super::{
    OutgoingBody, PoolConfig, SendError, Upstream, allowance::Allowance, bell::Bell, connect,
    mux::Mux,
};
use crate::clock::{Verdict, Watch, Watchdog};

/// One worker's connections to one upstream.
#[derive(Debug)]
pub struct Pool {
    upstream: Arc<Upstream>,
    watchdog: Watchdog,
    state: Mutex<State>,
    /// Those that speak HTTP/2.
    pub(super) mux: Mux,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    /// Connections that exist or are being made, idle ones included.
    open: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A connection, in a request's hands or idle. Dropped, it is closed and its place is free.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<OutgoingBody>,
    pub(super) watch: Watch,
    pub(super) allowance: Allowance,
    pub(super) bell: Bell,
    /// Whether it has served a request before.
    pub(super) reused: bool,
    /// Whom it is with, where that has an address; boxed, since a connection is moved often.
    peer: Option<Box<SocketAddr>>,
    place: Option<Place>,
}

/// What a waiting request gets: a connection, or the right to make one.
#[derive(Debug)]
enum Turn {
    Connection(Connection),
    Place(Place),
}

/// The right to have one connection open.
#[derive(Debug)]
struct Place(Arc<Pool>);

impl Pool {
    pub(super) fn new(upstream: Arc<Upstream>, watchdog: Watchdog) -> Self {
        upstream.pools.fetch_add(1, Ordering::Relaxed);
        Self {
            upstream,
            watchdog,
            state: Mutex::default(),
            mux: Mux::default(),
        }
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    pub(super) fn limits(&self) -> PoolConfig {
        self.upstream.config().pool
    }

    /// An idle connection, or a new one, or the first that becomes free within `limit`.
    ///
    /// Cancel safe: a request that goes away gives its turn to the next.
    pub(super) async fn check_out(
        self: &Arc<Self>,
        limit: Duration,
        fresh: bool,
    ) -> Result<Connection, SendError> {
        match self.turn(fresh)? {
            Ok(Turn::Connection(connection)) if connection.sender.is_ready() => Ok(connection),
            // Boxed: dialling has a large future, and every request would carry the room for it.
            turn => Box::pin(self.wait_or_make(turn, limit)).await,
        }
    }

    async fn wait_or_make(
        &self,
        turn: Result<Turn, oneshot::Receiver<Turn>>,
        limit: Duration,
    ) -> Result<Connection, SendError> {
        let made = async {
            let turn = match turn {
                Ok(turn) => turn,
                // The pool never drops a queued sender unanswered; if it did, that is no connection.
                Err(queued) => queued.await.map_err(|_| SendError::ConnectTimeout)?,
            };
            match turn {
                Turn::Place(place) => self.make(place).await,
                Turn::Connection(mut connection) => match connection.sender.ready().await {
                    Ok(()) => Ok(connection),
                    Err(_) => match connection.place.take() {
                        Some(place) => self.make(place).await,
                        None => Err(SendError::ConnectTimeout),
                    },
                },
            }
        };
        tokio::time::timeout(limit, made)
            .await
            .unwrap_or(Err(SendError::ConnectTimeout))
    }

    /// What can be had at once, or a place in the queue.
    fn turn(
        self: &Arc<Self>,
        fresh: bool,
    ) -> Result<Result<Turn, oneshot::Receiver<Turn>>, SendError> {
        let limits = self.upstream.config().pool;
        let mut closed = Vec::new();
        let mut state = self.lock();
        while let Some(connection) = state.idle.pop() {
            if fresh || !connection.is_usable() {
                // Dropped after the lock is released: its place takes the lock again.
                closed.push(connection);
                continue;
            }
            return Ok(Ok(Turn::Connection(connection)));
        }
        let turn = if state.open < limits.max_connections {
            state.open += 1;
            Ok(Ok(Turn::Place(Place(Arc::clone(self)))))
        } else if state.waiting.len() < limits.max_waiting {
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            Ok(Err(receiver))
        } else {
            Err(SendError::PoolFull)
        };
        drop(state);
        drop(closed);
        turn
    }

    async fn make(&self, place: Place) -> Result<Connection, SendError> {
        let watch = self.watchdog.watch();
        let allowance = Allowance::new();
        let bell = Bell::default();
        let made = connect::connect(&self.upstream, &watch, &allowance, &bell);
        let (sender, peer) = made.await?;
        Ok(Connection {
            sender,
            watch,
            allowance,
            bell,
            reused: false,
            peer: peer.map(Box::new),
            place: Some(place),
        })
    }

    /// Takes back a connection whose exchange is complete in both directions.
    pub(super) fn give_back(&self, mut connection: Connection) {
        if !connection.is_usable() || !self.is_of_upstream(&connection) {
            return;
        }
        connection.reused = true;
        connection
            .watch
            .within(self.upstream.config().pool.idle_timeout);
        let mut turn = Turn::Connection(connection);
        loop {
            let mut state = self.lock();
            let Some(waiter) = next_waiter(&mut state) else {
                let Turn::Connection(connection) = turn else {
                    return;
                };
                state.idle.push(connection);
                return;
            };
            drop(state);
            match waiter.send(turn) {
                Ok(()) => return,
                Err(back) => turn = back,
            }
        }
    }

    /// Drops connections that ended while idle, or are with an address that the upstream's name has no longer.
    pub(super) fn sweep(self: &Arc<Self>) {
        let mut state = self.lock();
        let ended: Vec<_> = state
            .idle
            .extract_if(.., |connection| {
                !connection.is_usable() || !self.is_of_upstream(connection)
            })
            .collect();
        drop(state);
        drop(ended);
        self.sweep_lines();
        if self.upstream.addresses().is_due() && !self.is_empty() {
            let pool = Arc::clone(self);
            tokio::spawn(async move { pool.upstream.look_up().await });
        }
    }

    /// Whether there are no connections.
    fn is_empty(&self) -> bool {
        self.lock().open == 0 && self.has_no_lines()
    }

    fn is_of_upstream(&self, connection: &Connection) -> bool {
        let peer = connection.peer.as_deref().copied();
        self.upstream.addresses().are_still(peer)
    }

    /// Whether nobody but the workers' tables of pools knows this upstream any more.
    pub(super) fn is_orphan(&self) -> bool {
        Arc::strong_count(&self.upstream) == self.upstream.pools.load(Ordering::Relaxed)
    }

    /// Closes connections that nobody uses: each holds on to its pool.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.lock().idle);
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next_waiter(state: &mut State) -> Option<oneshot::Sender<Turn>> {
    while let Some(waiter) = state.waiting.pop_front() {
        if !waiter.is_closed() {
            return Some(waiter);
        }
    }
    None
}

impl Connection {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.watch.verdict() == Verdict::Live
    }

    /// The pool that it belongs to.
    pub(super) fn pool(&self) -> Option<Arc<Pool>> {
        self.place.as_ref().map(|place| Arc::clone(&place.0))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.upstream.pools.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watch.kill();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        match next_waiter(&mut state) {
            None => state.open -= 1,
            Some(waiter) => {
                drop(state);
                // A waiter that left meanwhile drops the place, which comes here again.
                let _ = waiter.send(Turn::Place(Place(Arc::clone(&self.0))));
            }
        }
    }
}

#[cfg(test)]
mod tests;
