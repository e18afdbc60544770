//! A histogram of durations that workers fill without a lock.
//!
//! prometheus-client's own stands behind a mutex, which all workers would share on every request.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counts durations in fixed buckets: one observation is two relaxed additions.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Histogram {
    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        let (bucket, nanos) = place(duration);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// What was counted so far. Values added meanwhile may be in it or not.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (sum, count) in snapshot.counts.iter_mut().zip(&self.counts) {
            *sum = count.load(Relaxed);
        }
        snapshot.nanos = self.nanos.load(Relaxed);
        snapshot
    }
}

/// The contents of a [`Histogram`] at one moment, or of several added up.
///
/// Also a histogram by itself, for those who count under a lock of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    counts: [u64; BUCKETS],
    nanos: u64,
}

impl Snapshot {
    /// Adds one duration.
    pub fn observe(&mut self, duration: Duration) {
        let (bucket, nanos) = place(duration);
        self.counts[bucket] += 1;
        self.nanos = self.nanos.saturating_add(nanos);
    }

    /// Adds another histogram's contents.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.saturating_add(count);
        }
        self.nanos = self.nanos.saturating_add(other.nanos);
    }

    /// How many durations are in it.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, in seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_nanos(self.nanos).as_secs_f64()
    }

    /// Upper bounds in seconds, the last one infinite, each with the count of its own bucket.
    pub fn buckets(&self) -> [(f64, u64); BUCKETS] {
        std::array::from_fn(|i| {
            let bound = BOUNDS
                .get(i)
                .map(|nanos| Duration::from_nanos(*nanos).as_secs_f64());
            (bound.unwrap_or(f64::INFINITY), self.counts[i])
        })
    }
}

/// The bucket of a duration and its nanoseconds.
fn place(duration: Duration) -> (usize, u64) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    (BOUNDS.partition_point(|bound| *bound < nanos), nanos)
}

/// Upper bounds in nanoseconds: 250 us, where a proxy's own share would show, to a minute.
const BOUNDS: [u64; 16] = {
    const US: u64 = 1_000;
    const MS: u64 = 1_000 * US;
    const S: u64 = 1_000 * MS;
    [
        250 * US,
        500 * US,
        MS,
        2_500 * US,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        S,
        2_500 * MS,
        5 * S,
        10 * S,
        60 * S,
    ]
};

const BUCKETS: usize = BOUNDS.len() + 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_of(duration: Duration) -> f64 {
        let histogram = Histogram::default();
        histogram.observe(duration);
        let buckets = histogram.snapshot().buckets();
        buckets
            .iter()
            .find(|(_, count)| *count == 1)
            .expect("one was counted")
            .0
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        assert_eq!(bucket_of(Duration::ZERO), 0.000_25);
        assert_eq!(bucket_of(Duration::from_millis(1)), 0.001);
        assert_eq!(bucket_of(Duration::from_nanos(1_000_001)), 0.002_5);
        assert_eq!(bucket_of(Duration::from_secs(60)), 60.0);
        assert_eq!(bucket_of(Duration::from_secs(61)), f64::INFINITY);
        assert_eq!(bucket_of(Duration::MAX), f64::INFINITY);
    }

    #[test]
    fn snapshots_add_up() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(500));
        histogram.observe(Duration::from_secs(1));
        let mut sum = histogram.snapshot();
        sum.add(&histogram.snapshot());
        sum.observe(Duration::from_secs(2));
        assert_eq!(sum.count(), 5);
        assert_eq!(sum.sum(), 5.0);
    }
}
