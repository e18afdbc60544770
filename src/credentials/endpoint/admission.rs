//! Which calls may be made to an endpoint, and when: what all credentials that call it share.
//!
//! A few at the same time, those that requests wait for before renewals ahead of time; none while the endpoint is in
//! trouble. So a thousand credentials on an endpoint that is down make it one call for each pause, not a thousand.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Answer,
    breaker::{Breaker, Held},
};
use crate::{
    clock,
    credentials::{
        EndpointView, FailureKind, FetchError, Fingerprint, Retry, calls, token_response,
    },
};

/// One endpoint, called with one trust and certificate: what is wrong with those is no fault of it for others.
#[derive(Debug)]
pub(super) struct Admission {
    /// Scheme, host and path, as the file has them.
    shown: Arc<str>,
    tls: Fingerprint,
    turns: Semaphore,
    /// Of those, what renewals ahead may take.
    turns_ahead: Semaphore,
    breaker: Mutex<Breaker>,
    held: AtomicU64,
}

/// The limit that an endpoint sets one client (429): for all calls of one credential, and no other's.
#[derive(Clone, Debug)]
pub(super) struct Limit(Arc<Mutex<Breaker>>);

impl Default for Limit {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Breaker::new(1))))
    }
}

/// Leave to make one call; its end is told by [`Ticket::ended`].
pub(super) struct Ticket<'a> {
    admission: &'a Admission,
    limit: &'a Limit,
    probes: bool,
    probes_limit: bool,
    _turn: Turn<'a>,
}

type Turn<'a> = (Option<SemaphorePermit<'a>>, Option<SemaphorePermit<'a>>);

impl Admission {
    /// That of the endpoint at `shown`, for whoever calls it in this way.
    pub(super) fn of(shown: &Arc<str>, tls: Fingerprint) -> Arc<Self> {
        let mut all = all();
        let key = (Arc::clone(shown), tls);
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let admission = Arc::new(Self {
            shown: Arc::clone(shown),
            tls,
            turns: Semaphore::new(MOST_CALLS),
            turns_ahead: Semaphore::new(MOST_AHEAD),
            breaker: Mutex::new(Breaker::new(TRIPS_AT)),
            held: AtomicU64::new(0),
        });
        all.insert(key, Arc::downgrade(&admission));
        admission
    }

    /// Waits for a turn, for `patience` at most. Cancel safe.
    ///
    /// # Errors
    /// [`FetchError`] of a call that was not sent: there is a pause, or no turn came.
    pub(super) async fn enter<'a>(
        &'a self,
        limit: &'a Limit,
        patience: Duration,
    ) -> Result<Ticket<'a>, FetchError> {
        // Before it waits, and again after: who waits for a turn must not wait for nothing.
        let now = clock::now();
        if let Some(held) = lock(&limit.0).held(now).or(lock(&self.breaker).held(now)) {
            return Err(self.hold(held));
        }
        let turn = tokio::time::timeout(patience.min(LONGEST_WAIT), self.turn()).await;
        let mut ticket = Ticket {
            admission: self,
            limit,
            probes: false,
            probes_limit: false,
            _turn: turn.map_err(|_| no_turn())?,
        };
        let now = clock::now();
        let admitted = lock(&limit.0).admit(now);
        ticket.probes_limit = admitted.map_err(|held| self.hold(held))?;
        let admitted = lock(&self.breaker).admit(now);
        ticket.probes = admitted.map_err(|held| self.hold(held))?;
        Ok(ticket)
    }

    /// Renewals ahead stand in a line of their own, so that thousands of them delay no request.
    async fn turn(&self) -> Turn<'_> {
        let ahead = tokio::select! {
            biased;
            () = calls::hurried() => None,
            permit = self.turns_ahead.acquire() => permit.ok(),
        };
        (ahead, self.turns.acquire().await.ok())
    }

    fn hold(&self, held: Held) -> FetchError {
        self.held.fetch_add(1, Ordering::Relaxed);
        refusal(held)
    }

    fn view(&self) -> EndpointView {
        let held = lock(&self.breaker).held(clock::now());
        EndpointView {
            endpoint: Arc::clone(&self.shown),
            paused_for: held.map(|held| held.retry_in),
            held: self.held.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let key = (Arc::clone(&self.shown), self.tls);
        let mut all = all();
        // Another may have taken its place meanwhile.
        if all.get(&key).is_some_and(|it| it.strong_count() == 0) {
            all.remove(&key);
        }
    }
}

impl Ticket<'_> {
    /// Tells how the call ended.
    pub(super) fn ended(mut self, result: &Result<Answer, FetchError>) {
        let trouble = match result {
            // Whatever it says, it answers.
            Ok(answer) => token_response::trouble(answer.status, &answer.body),
            Err(error) => Some(error.kind).filter(|kind| *kind != FailureKind::Malformed),
        };
        let after = result
            .as_ref()
            .ok()
            .and_then(|answer| token_response::retry_after(&answer.headers, answer.wall));
        let limited = result
            .as_ref()
            .is_ok_and(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS);
        match trouble {
            Some(kind) => self.failed(kind, after),
            None => self.answered(limited.then_some(after)),
        }
    }

    fn failed(&mut self, kind: FailureKind, after: Option<Duration>) {
        let probes = std::mem::take(&mut self.probes);
        let mut breaker = lock(&self.admission.breaker);
        let pause = breaker.failed(probes, kind, after, clock::now(), fastrand::f64());
        drop(breaker);
        let (endpoint, kind) = (&self.admission.shown, kind.as_str());
        match pause {
            Some(pause) if probes => {
                tracing::debug!(%endpoint, kind, ?pause, "the endpoint still fails");
            }
            Some(pause) => tracing::warn!(
                %endpoint,
                kind,
                ?pause,
                "the endpoint has failed {TRIPS_AT} times in a row: not called before the pause is over, then once"
            ),
            None => {}
        }
    }

    /// `limited`: it says that this client calls too often, and maybe for how long.
    fn answered(&mut self, limited: Option<Option<Duration>>) {
        self.probes = false;
        if lock(&self.admission.breaker).answered() {
            tracing::info!(endpoint = %self.admission.shown, "the endpoint answers again");
        }
        let probes = std::mem::take(&mut self.probes_limit);
        let mut limit = lock(&self.limit.0);
        match limited {
            Some(after) => {
                let (now, dice) = (clock::now(), fastrand::f64());
                let _ = limit.failed(probes, FailureKind::RateLimited, after, now, dice);
            }
            // One that was under way before the limit says nothing of it.
            None if probes => drop(limit.answered()),
            None => {}
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let now = clock::now();
        if self.probes {
            lock(&self.admission.breaker).abandoned(now);
        }
        if self.probes_limit {
            lock(&self.limit.0).abandoned(now);
        }
    }
}

/// Why a call to the endpoint at `shown` would not be made now, in whatever way it is called.
pub(in crate::credentials) fn held(shown: &str) -> Option<FetchError> {
    let now = clock::now();
    let mut held = known().into_iter().filter(|it| *it.shown == *shown);
    let first = lock(&held.next()?.breaker).held(now)?;
    let all = held.all(|it| lock(&it.breaker).held(now).is_some());
    all.then(|| refusal(first).at(shown))
}

/// Every endpoint that may be called now or later, by its URL as it may be shown.
pub(in crate::credentials) fn views() -> HashMap<Arc<str>, EndpointView> {
    let mut views = HashMap::new();
    for one in known() {
        let view = one.view();
        views
            .entry(Arc::clone(&view.endpoint))
            .and_modify(|other: &mut EndpointView| {
                other.held += view.held;
                other.paused_for = other.paused_for.max(view.paused_for);
            })
            .or_insert(view);
    }
    views
}

fn refusal(held: Held) -> FetchError {
    let Held {
        kind,
        failures,
        retry_in,
    } = held;
    let detail = match kind {
        FailureKind::RateLimited => "not called: it has limited our calls (429)".to_owned(),
        _ => format!("not called: its calls have failed {failures} times in a row"),
    };
    FetchError {
        retry: Retry::Held { after: retry_in },
        ..FetchError::transient(kind, detail)
    }
    .before_sending()
}

fn no_turn() -> FetchError {
    FetchError {
        retry: Retry::Held {
            after: Duration::from_secs(1),
        },
        ..FetchError::transient(FailureKind::Timeout, "too many calls wait for it")
    }
    .before_sending()
}

fn known() -> Vec<Arc<Admission>> {
    all().values().filter_map(Weak::upgrade).collect()
}

/// Of the process, as the endpoint sees it: credentials of two configurations, while one replaces the other, call as one.
fn all() -> MutexGuard<'static, All> {
    static ALL: OnceLock<Mutex<All>> = OnceLock::new();
    lock(ALL.get_or_init(Mutex::default))
}

type All = HashMap<(Arc<str>, Fingerprint), Weak<Admission>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls to one endpoint at the same time.
const MOST_CALLS: usize = 8;

/// Renewals ahead among those.
const MOST_AHEAD: usize = 6;

/// Failures in a row, of whichever credentials, that begin a pause.
const TRIPS_AT: u32 = 5;

/// A request waits no longer either, unless the file says so.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
