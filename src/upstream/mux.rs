//! One worker's HTTP/2 connections to one upstream: each carries many requests, and another is made when all are full.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::http2::SendRequest;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Http2, OutgoingBody, SendError, connect, connect::Multiplexed, heard::Heard, http2::UNTOLD,
    pool::Pool, resolve::Addresses,
};
use crate::clock::{Instant, Verdict, Watch, now};

/// The HTTP/2 connections of a pool.
#[derive(Debug, Default)]
pub(super) struct Mux(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<Arc<Line>>,
    waiting: VecDeque<oneshot::Sender<Result<Way, SendError>>>,
    /// One is being made.
    dialling: bool,
    /// Until then the upstream is known to speak HTTP/1.1 alone.
    older_until: Option<Instant>,
}

/// One connection.
#[derive(Debug)]
struct Line {
    sender: SendRequest<OutgoingBody>,
    watch: Watch,
    heard: Heard,
    since: Instant,
    /// How many frames had come, and when, as a request began to wait for the next one.
    quiet: Mutex<(usize, Instant)>,
    /// How many streams it has.
    streams: AtomicUsize,
    served: AtomicBool,
    peer: Option<SocketAddr>,
}

/// How a request gets to an upstream that was asked for HTTP/2.
#[derive(Debug)]
pub(super) enum Way {
    /// As a stream of a connection.
    Stream(Stream),
    /// Over HTTP/1.1: the upstream speaks nothing else.
    Older,
}

/// The right to one stream, held until the exchange is complete.
#[derive(Debug)]
pub(super) struct Stream {
    line: Arc<Line>,
    pool: Arc<Pool>,
    answered: bool,
    pub(super) watch: Watch,
    /// Whether the connection had served a request before.
    pub(super) reused: bool,
}

impl Stream {
    /// The connection that it belongs to.
    pub(super) fn sender(&self) -> SendRequest<OutgoingBody> {
        self.line.sender.clone()
    }

    /// Whether its upstream takes extended CONNECT.
    pub(super) async fn takes_connect(&self) -> bool {
        self.line.heard.takes_connect().await
    }

    /// The head of its answer has come.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        self.line.heard.expect_heads();
    }

    /// Why the upstream ended TLS, where it did.
    pub(super) fn alert(&self) -> Option<io::Error> {
        self.line.heard.alert()
    }

    /// Whether the upstream sent far more than the heads of answers.
    pub(super) fn is_flooded(&self) -> bool {
        self.line.heard.is_flooded()
    }

    /// The upstream asks for HTTP/1.1 from now on, where it may choose.
    pub(super) fn fall_back(&self) {
        if self.pool.upstream().config().http2 != Http2::PriorKnowledge {
            self.pool.lines().older_until = Some(now() + REMEMBERED);
        }
    }
}

impl Pool {
    /// A stream on a connection that has room, or on a new one, within `limit`.
    ///
    /// Cancel safe: connections are made by a task of their own, and a request that goes away gives its turn to the next.
    pub(super) async fn stream(self: &Arc<Self>, limit: Duration) -> Result<Way, SendError> {
        let queued = {
            let mut state = self.lines();
            if state.older_until.is_some_and(|until| now() < until) {
                return Ok(Way::Older);
            }
            if let Some(line) = state.with_room(self.upstream().addresses()) {
                drop(state);
                return Ok(Way::Stream(self.begin(line)));
            }
            if state.waiting.len() >= self.limits().max_waiting {
                return Err(SendError::PoolFull);
            }
            let (sender, queued) = oneshot::channel();
            state.waiting.push_back(sender);
            self.dial_if_needed(&mut state, limit);
            queued
        };
        match timeout(limit, queued).await {
            Ok(Ok(way)) => way,
            // The queue never drops a sender unanswered; if it did, that is no connection.
            Ok(Err(_)) | Err(_) => Err(SendError::ConnectTimeout),
        }
    }

    /// Drops connections that have ended, and makes others where requests wait.
    pub(super) fn sweep_lines(self: &Arc<Self>) {
        let ended: Vec<_> = {
            let mut state = self.lines();
            let addresses = self.upstream().addresses();
            // One that is busy ends with its last stream.
            let ended = state.lines.extract_if(.., |line| {
                !line.is_usable() || !addresses.are_still(line.peer)
            });
            ended.collect()
        };
        drop(ended);
        self.serve_waiting(DIAL);
    }

    /// Whether there is none.
    pub(super) fn has_no_lines(&self) -> bool {
        self.lines().lines.is_empty()
    }

    fn lines(&self) -> MutexGuard<'_, State> {
        self.mux.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `line` has a stream more already.
    fn begin(self: &Arc<Self>, line: Arc<Line>) -> Stream {
        line.watch.rest();
        line.wait_for_word();
        line.heard.expect_heads();
        Stream {
            reused: line.served.swap(true, Ordering::Relaxed),
            answered: false,
            watch: self.watchdog().watch(),
            pool: Arc::clone(self),
            line,
        }
    }

    fn dial_if_needed(self: &Arc<Self>, state: &mut State, limit: Duration) {
        let most = self.limits().max_connections;
        let settling = state.lines.last().is_some_and(|line| line.is_settling());
        if state.dialling || settling || state.waiting.is_empty() || state.lines.len() >= most {
            return;
        }
        state.dialling = true;
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let made = timeout(limit, pool.dial()).await;
            pool.dialled(made.unwrap_or(Err(SendError::ConnectTimeout)), limit);
        });
    }

    async fn dial(&self) -> Result<Option<Line>, SendError> {
        let watch = self.watchdog().watch();
        let made = connect::connect_multiplexed(self.upstream(), &watch).await?;
        let Some(Multiplexed {
            sender,
            mut heard,
            peer,
        }) = made
        else {
            return Ok(None);
        };
        // What is sent to one that takes nothing waits with h2, out of reach. One that speaks only when it is spoken to
        // has one request for that.
        if timeout(TELLING, heard.told()).await == Ok(false) {
            return Err(heard.end());
        }
        watch.within(self.limits().idle_timeout);
        Ok(Some(Line {
            sender,
            watch,
            quiet: Mutex::new((heard.frames(), now())),
            heard,
            since: now(),
            streams: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            peer,
        }))
    }

    /// Tells all who wait how it went.
    fn dialled(self: &Arc<Self>, made: Result<Option<Line>, SendError>, limit: Duration) {
        let told = {
            let mut state = self.lines();
            state.dialling = false;
            match made {
                Ok(Some(line)) => {
                    state.lines.push(Arc::new(line));
                    None
                }
                Ok(None) => {
                    state.older_until = Some(now() + REMEMBERED);
                    Some((std::mem::take(&mut state.waiting), Ok(())))
                }
                Err(error) => Some((std::mem::take(&mut state.waiting), Err(error))),
            }
        };
        let Some((waiting, outcome)) = told else {
            return self.serve_waiting(limit);
        };
        for waiter in waiting {
            let _ = waiter.send(match &outcome {
                Ok(()) => Ok(Way::Older),
                Err(error) => Err(error.again()),
            });
        }
    }

    /// Hands streams that are free to those who wait, and makes a connection where that is not enough.
    fn serve_waiting(self: &Arc<Self>, limit: Duration) {
        loop {
            let (waiter, line) = {
                let mut state = self.lines();
                while state
                    .waiting
                    .front()
                    .is_some_and(oneshot::Sender::is_closed)
                {
                    state.waiting.pop_front();
                }
                if state.waiting.is_empty() {
                    return;
                }
                let Some(line) = state.with_room(self.upstream().addresses()) else {
                    return self.dial_if_needed(&mut state, limit);
                };
                (state.waiting.pop_front(), line)
            };
            let stream = self.begin(line);
            if let Some(waiter) = waiter {
                // One that left meanwhile drops the stream, which comes here again.
                let _ = waiter.send(Ok(Way::Stream(stream)));
            }
        }
    }
}

impl State {
    /// A connection that takes another stream, which it has then.
    fn with_room(&mut self, addresses: &Addresses) -> Option<Arc<Line>> {
        let line = self.lines.iter().find(|line| {
            line.is_usable()
                && addresses.are_still(line.peer)
                && line.streams.load(Ordering::Relaxed) < line.heard.most().unwrap_or(UNTOLD)
        })?;
        line.streams.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(line))
    }
}

impl Line {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.watch.verdict() == Verdict::Live
    }

    /// A request waits for an answer: since now, unless another has heard nothing either.
    fn wait_for_word(&self) {
        let frames = self.heard.frames();
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        if quiet.0 != frames {
            *quiet = (frames, now());
        }
    }

    /// Whether requests have waited for long, and nothing at all came.
    fn is_silent(&self) -> bool {
        let (frames, since) = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        frames == self.heard.frames() && since.elapsed() >= SILENCE
    }

    /// Whether it is new, and its upstream has not said that it takes any stream: another would be of no use yet.
    fn is_settling(&self) -> bool {
        let takes_none = self.heard.most().unwrap_or(0) == 0;
        takes_none && self.since.elapsed() < SETTLING && self.is_usable()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.answered && self.line.is_silent() {
            // It may be dead, which only the kernel finds out, and late: it takes no more, and ends with its last stream.
            self.line.watch.kill();
        }
        if self.line.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.line.watch.within(self.pool.limits().idle_timeout);
        }
        let pool = Arc::clone(&self.pool);
        pool.serve_waiting(DIAL);
    }
}

/// How long it is waited for that an upstream says how many streams it takes, which it does at once.
const TELLING: Duration = Duration::from_millis(250);
/// How long it has to say that it takes any, before another connection to it is tried.
const SETTLING: Duration = Duration::from_secs(1);
/// A connection is silent when nothing came for so long while requests waited: short deadlines alone don't make it so.
const SILENCE: Duration = Duration::from_secs(2);
/// How long it is taken for granted that an upstream speaks no HTTP/2.
const REMEMBERED: Duration = Duration::from_secs(60);
/// For a connection that is made for those who wait, whose own deadlines go on.
const DIAL: Duration = Duration::from_secs(5);
