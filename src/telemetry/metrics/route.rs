//! What is counted of the requests of one route.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;

use super::{
    histogram::{Histogram, Snapshot},
    samples::Samples,
    table,
};

/// A route's hold on its series. Cheap to clone; every call is a few relaxed additions to memory that
/// other workers rarely touch.
#[derive(Clone, Debug)]
pub struct RouteMetrics(Arc<Series>);

impl RouteMetrics {
    /// Counts a request as in flight until [`finished`](Self::finished) or [`aborted`](Self::aborted).
    pub fn started(&self) {
        self.0.cells().in_flight.fetch_add(1, Relaxed);
    }

    /// Counts a request that was answered, after `duration`.
    pub fn finished(&self, status: StatusCode, duration: Duration) {
        let cells = self.0.cells();
        cells.in_flight.fetch_sub(1, Relaxed);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        cells.statuses[class].fetch_add(1, Relaxed);
        cells.duration.observe(duration);
    }

    /// Counts a request whose client left before the answer was complete.
    pub fn aborted(&self, duration: Duration) {
        let cells = self.0.cells();
        cells.in_flight.fetch_sub(1, Relaxed);
        cells.statuses[ABORTED].fetch_add(1, Relaxed);
        cells.duration.observe(duration);
    }

    /// Counts an answer of our own. Not for the hit path: it takes a lock.
    pub fn error(&self, code: &'static str) {
        let mut codes = self.0.codes.lock().unwrap_or_else(PoisonError::into_inner);
        *codes.entry(code).or_default() += 1;
    }

    /// Counts the time from sending a request on to the head of the upstream's answer.
    pub fn upstream(&self, duration: Duration) {
        self.0.cells().upstream.observe(duration);
    }

    pub(super) fn new(name: &str) -> Self {
        Self(Arc::new(Series {
            name: name.into(),
            shards: Default::default(),
            codes: Mutex::default(),
        }))
    }

    /// Whether nobody else holds it.
    pub(super) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(super) fn collect(&self, samples: &mut Samples) {
        let name = &*self.0.name;
        for (code, count) in self
            .0
            .codes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            samples.counter(&table::ERRORS, &[name, code], *count);
        }
        let mut shards = self.0.shards.iter().filter_map(OnceLock::get).peekable();
        if shards.peek().is_none() {
            return;
        }
        let mut in_flight = 0;
        let mut statuses = [0; STATUSES.len()];
        let (mut duration, mut upstream) = (Snapshot::default(), Snapshot::default());
        for cells in shards {
            in_flight += cells.in_flight.load(Relaxed);
            for (sum, count) in statuses.iter_mut().zip(&cells.statuses) {
                *sum += count.load(Relaxed);
            }
            duration.add(&cells.duration.snapshot());
            upstream.add(&cells.upstream.snapshot());
        }
        for (status, count) in STATUSES
            .iter()
            .zip(statuses)
            .filter(|(_, count)| *count > 0)
        {
            samples.counter(&table::REQUESTS, &[name, status], count);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "far fewer than 2^52 are in flight"
        )]
        samples.gauge(&table::REQUESTS_IN_FLIGHT, &[name], in_flight as f64);
        samples.histogram(&table::REQUEST_SECONDS, &[name], duration);
        if upstream.count() > 0 {
            samples.histogram(&table::UPSTREAM_SECONDS, &[name], upstream);
        }
    }
}

/// One route's series, in shards that are allocated when a thread first needs one: a table of ten
/// thousand routes costs little until they are used, and two workers seldom share a cache line.
#[derive(Debug)]
struct Series {
    name: Box<str>,
    shards: [OnceLock<Box<Cells>>; SHARDS],
    codes: Mutex<BTreeMap<&'static str, u64>>,
}

impl Series {
    fn cells(&self) -> &Cells {
        SHARD.with(|shard| self.shards[*shard].get_or_init(Box::default))
    }
}

#[derive(Debug, Default)]
struct Cells {
    /// Signed: a request may end on another thread than it began on.
    in_flight: AtomicI64,
    statuses: [AtomicU64; STATUSES.len()],
    duration: Histogram,
    upstream: Histogram,
}

const STATUSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"];
const ABORTED: usize = 5;
const SHARDS: usize = 8;

thread_local! {
    /// Threads take shards in turn, so that the workers of up to eight cores share none.
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % SHARDS
    };
}
