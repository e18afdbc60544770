//! What a client's connection is doing, and so how long it may take over it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use super::load::Load;
use crate::{clock::Watch, layers::Tunnel};

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For the whole head of a request, from its first byte (from the connection's start for the first).
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// To take any of what we write.
    pub write: Duration,
}

/// What a connection is doing; shared by its socket and its requests, which run in one thread.
#[derive(Debug)]
pub(super) struct Phase {
    watch: Watch,
    timeouts: ClientTimeouts,
    load: Arc<Load>,
    /// Requests under way: at most one in HTTP/1.1, one a stream in HTTP/2.
    requests: AtomicU32,
    /// A head has begun and is not complete.
    in_head: AtomicBool,
    /// The client takes nothing of what we write.
    stalled: AtomicBool,
    /// No further request is waited for.
    draining: AtomicBool,
    /// Which of the deadlines the watch has.
    armed: AtomicU8,
    /// An answer has begun whose end only the connection's end tells.
    open_ended: AtomicBool,
    /// The client has begun to speak HTTP/2.
    http2: AtomicBool,
    /// Requests that were given up before they were answered, less those that were answered since.
    given_up: AtomicU32,
    /// What it has become, until that begins.
    tunnel: Mutex<Option<Box<Tunnel>>>,
}

impl Phase {
    pub(super) fn new(watch: Watch, timeouts: ClientTimeouts, load: Arc<Load>) -> Arc<Self> {
        watch.within(timeouts.head);
        Arc::new(Self {
            watch,
            timeouts,
            load,
            requests: AtomicU32::new(0),
            in_head: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            armed: AtomicU8::new(START),
            open_ended: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            given_up: AtomicU32::new(0),
            tunnel: Mutex::default(),
        })
    }

    /// Bytes came by HTTP/1.1: between two requests, a head has begun.
    pub(super) fn received(&self) {
        if self.requests.load(Relaxed) == 0 && !self.in_head.load(Relaxed) {
            self.set_in_head(true);
        }
    }

    pub(super) fn set_in_head(&self, in_head: bool) {
        self.in_head.store(in_head, Relaxed);
        self.arm();
    }

    /// A request begins, whose own deadlines count until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.in_head.store(false, Relaxed);
        self.load.begin();
        self.requests
            .store(self.requests.load(Relaxed) + 1, Relaxed);
        self.arm();
        Busy {
            phase: Arc::clone(self),
            answered: false,
        }
    }

    /// Whether the client takes nothing of what we write.
    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
        self.arm();
    }

    /// The answer is a tunnel, which keeps its own deadlines.
    pub(super) fn becomes(&self, tunnel: Tunnel) {
        self.armed.store(TUNNEL, Relaxed);
        self.watch.rest();
        let mut place = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(tunnel));
    }

    /// What it has become.
    pub(super) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        let mut place = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }

    /// From now on an idle connection is only given the time to say goodbye.
    pub(super) fn drain(&self) {
        self.draining.store(true, Relaxed);
        if self.armed.load(Relaxed) == IDLE {
            self.watch.within(self.idle());
        }
    }

    pub(super) fn set_speaks_http2(&self) {
        self.http2.store(true, Relaxed);
    }

    pub(super) fn speaks_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    /// Until it is unset, the connection's end would tell an HTTP/1.0 client that its answer is whole.
    pub(super) fn set_open_ended(&self, open_ended: bool) {
        self.open_ended.store(open_ended, Relaxed);
    }

    pub(super) fn is_open_ended(&self) -> bool {
        self.open_ended.load(Relaxed)
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn is_in_head(&self) -> bool {
        self.in_head.load(Relaxed)
    }

    /// Whether nobody has waited for anything for a while.
    pub(super) fn may_rest(&self) -> bool {
        self.watch.is_nudged() && self.is_idle()
    }

    /// Whether nobody waits for anything.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.armed.load(Relaxed), IDLE | START)
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(super) fn timeouts(&self) -> ClientTimeouts {
        self.timeouts
    }

    /// Sets the deadline of what the connection does now. One that runs already is left alone: else a client that
    /// takes nothing could go on by sending, and one that drips a head by taking.
    fn arm(&self) {
        let armed = self.armed.load(Relaxed);
        let (in_head, stalled) = (self.in_head.load(Relaxed), self.stalled.load(Relaxed));
        let next = match armed {
            TUNNEL => TUNNEL,
            HEAD if in_head => HEAD,
            STALLED if stalled => STALLED,
            _ if in_head => HEAD,
            _ if stalled => STALLED,
            _ if self.requests.load(Relaxed) > 0 => BUSY,
            _ => IDLE,
        };
        if next == armed {
            return;
        }
        self.armed.store(next, Relaxed);
        match next {
            HEAD => self.watch.within(self.timeouts.head),
            STALLED => self.watch.within(self.timeouts.write),
            BUSY => self.watch.rest(),
            _ => {
                self.watch.within(self.idle());
                self.watch.nudges_after(REST);
            }
        }
    }

    fn idle(&self) -> Duration {
        if self.draining.load(Relaxed) {
            self.timeouts.idle.min(FAREWELL)
        } else {
            self.timeouts.idle
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Busy {
    phase: Arc<Phase>,
    answered: bool,
}

impl Busy {
    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether more requests than are taken at once are under way, this one included.
    pub(super) fn is_too_many(&self) -> bool {
        self.phase.load.is_exceeded()
    }

    /// The head of its answer is there.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let phase = &self.phase;
        phase.load.end();
        let requests = phase.requests.load(Relaxed);
        phase.requests.store(requests.saturating_sub(1), Relaxed);
        phase.arm();
        let given_up = phase.given_up.load(Relaxed);
        if self.answered {
            if given_up > 0 {
                phase.given_up.store(given_up - 1, Relaxed);
            }
        } else {
            phase.given_up.store(given_up + 1, Relaxed);
            if given_up >= MAX_GIVEN_UP {
                // Asking costs a client nothing when it does not stay for the answer (CVE-2023-44487).
                phase.watch.kill();
            }
        }
    }
}

/// How many more requests of a connection may be given up than are answered.
const MAX_GIVEN_UP: u32 = 200;
/// How long a connection that waits for its next request keeps what a request needs.
const REST: Duration = Duration::from_secs(1);
/// For saying goodbye.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

const START: u8 = 0;
const IDLE: u8 = 1;
const HEAD: u8 = 2;
const BUSY: u8 = 3;
const STALLED: u8 = 4;
const TUNNEL: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{TICK, Verdict, Watchdog};

    const TIMEOUTS: ClientTimeouts = ClientTimeouts {
        head: Duration::from_secs(2),
        idle: Duration::from_secs(20),
        write: Duration::from_secs(6),
    };

    /// A connection's phase, and the dog that watches it.
    fn phase() -> Arc<Phase> {
        let dog = Watchdog::new();
        let phase = Phase::new(dog.watch(), TIMEOUTS, Load::of_workers(1, 1).remove(0));
        tokio::spawn(dog.run());
        phase
    }

    async fn lives_through(phase: &Phase, seconds: u64) -> bool {
        tokio::time::sleep(Duration::from_secs(seconds) + 3 * TICK).await;
        phase.watch().verdict() == Verdict::Live
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_deadlines_of_its_own() {
        let phase = phase();
        phase.received();
        let busy = phase.begin();
        assert!(lives_through(&phase, 60).await);
        drop(busy);
        assert!(lives_through(&phase, 10).await);
        assert!(!lives_through(&phase, 10).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_beside_other_requests_has_its_deadline() {
        let phase = phase();
        let _busy = phase.begin();
        phase.set_in_head(true);
        assert!(!lives_through(&phase, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_gains_no_time_by_asking() {
        let phase = phase();
        let first = phase.begin();
        phase.set_stalled(true);
        for _ in 0..3 {
            phase.set_in_head(true);
            drop(phase.begin());
            assert!(lives_through(&phase, 1).await);
        }
        assert!(!lives_through(&phase, 3).await);
        drop(first);
    }

    #[tokio::test(start_paused = true)]
    async fn who_drips_a_head_gains_no_time_by_stalling() {
        let phase = phase();
        phase.set_in_head(true);
        phase.set_stalled(true);
        phase.set_stalled(false);
        assert!(!lives_through(&phase, 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_given_up_soon_once_it_drains() {
        let phase = phase();
        drop(phase.begin());
        phase.drain();
        assert!(!lives_through(&phase, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_request_after_request_is_given_up() {
        let phase = phase();
        for _ in 0..3 * MAX_GIVEN_UP {
            drop(phase.begin());
            phase.begin().answered();
        }
        assert_eq!(phase.watch().verdict(), Verdict::Live);
        for _ in 0..=MAX_GIVEN_UP {
            drop(phase.begin());
        }
        assert_eq!(phase.watch().verdict(), Verdict::Killed);
    }
}
