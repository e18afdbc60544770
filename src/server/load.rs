//! How many requests are under way in the process, of which each worker counts its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The requests under way on all connections of a worker, which is one thread, beside those of its siblings.
#[derive(Debug)]
pub(super) struct Load {
    workers: Arc<[Count]>,
    own: usize,
    limit: usize,
}

/// On a cache line of its own: workers count without disturbing each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Count(AtomicUsize);

impl Load {
    /// One for each worker; `limit` is for all of them.
    pub(super) fn of_workers(workers: usize, limit: usize) -> Vec<Arc<Self>> {
        let counts: Arc<[Count]> = (0..workers).map(|_| Count::default()).collect();
        let load = |own| {
            Arc::new(Self {
                workers: Arc::clone(&counts),
                own,
                limit,
            })
        };
        (0..workers).map(load).collect()
    }

    fn own(&self) -> &AtomicUsize {
        &self.workers[self.own].0
    }

    pub(super) fn begin(&self) {
        self.own().store(self.own().load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn end(&self) {
        let requests = self.own().load(Relaxed);
        self.own().store(requests.saturating_sub(1), Relaxed);
    }

    pub(super) fn is_exceeded(&self) -> bool {
        // Connections are shared out unevenly: only beyond its share are the others looked at.
        self.own().load(Relaxed) > self.limit / self.workers.len() && {
            let all = self.workers.iter().map(|count| count.0.load(Relaxed));
            all.sum::<usize>() > self.limit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_may_have_more_than_its_share_while_all_have_no_more_than_the_limit() {
        let loads = Load::of_workers(2, 4);
        let begin = |worker: usize, times| (0..times).for_each(|_| loads[worker].begin());
        begin(0, 4);
        assert!(!loads[0].is_exceeded());
        begin(1, 1);
        assert!(!loads[1].is_exceeded(), "within its share");
        begin(0, 1);
        assert!(loads[0].is_exceeded());
        loads[1].end();
        loads[0].end();
        assert!(!loads[0].is_exceeded());
    }
}
