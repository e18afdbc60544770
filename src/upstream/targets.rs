//! An upstream at several places: which of them a request goes to.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{SendError, TargetView, Upstream, standing::Standing};

/// The places of one upstream. They differ in nothing but where connections go: one URL, one credential, one set of rules
/// for TLS.
#[derive(Debug)]
pub struct Targets {
    all: Box<[Arc<Upstream>]>,
    balance: Balance,
    next: AtomicUsize,
}

/// How requests are shared out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// To the one with the fewest requests under way.
    LeastRequests,
}

/// Which targets a request was sent to in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

impl Tried {
    /// One more.
    pub fn add(&mut self, target: u8) {
        self.0 |= 1_u64 << (target % 64);
    }
}

/// The target that a request goes to. It is under way there until this is dropped.
pub struct Chosen {
    targets: Arc<Targets>,
    at: u8,
}

impl Targets {
    /// Shares out requests among `all`: from one to [`MAX_TARGETS`].
    pub fn new(all: Vec<Arc<Upstream>>, balance: Balance) -> Self {
        debug_assert!((1..=MAX_TARGETS).contains(&all.len()));
        Self {
            all: all.into(),
            balance,
            next: AtomicUsize::new(0),
        }
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Where each is, as `host:port`, and how it stands.
    pub fn views(&self) -> impl Iterator<Item = (String, TargetView)> {
        let view = |it: &Arc<Upstream>| (it.place(), it.standing().view());
        self.all.iter().map(view)
    }

    /// The one for a request: rather one that it has not been to, and rather one that is left out than none.
    pub fn choose(self: &Arc<Self>, tried: Tried) -> Chosen {
        let ticket = self.next.fetch_add(1, Relaxed);
        let untried = self.those(|at, _| tried.0 & (1_u64 << at) == 0);
        let available = self.those(|_, standing| standing.is_available());
        let candidates = [untried & available, untried, available];
        let candidates = candidates.into_iter().find(|some| *some != 0);
        let candidates = candidates.unwrap_or_else(|| self.those(|_, _| true));
        let in_turn = ticket % candidates.count_ones().max(1) as usize;
        let at = match self.balance {
            Balance::RoundRobin => members(candidates).nth(in_turn),
            Balance::LeastRequests => {
                // Those that have equally many take turns.
                let (before, from) = (members(candidates), members(candidates).skip(in_turn));
                let in_order = from.chain(before.take(in_turn));
                in_order.min_by_key(|at| self.at(*at).standing().under_way())
            }
        };
        let at = at.unwrap_or(0);
        self.at(at).standing().enter();
        Chosen {
            targets: Arc::clone(self),
            at,
        }
    }

    fn at(&self, at: u8) -> &Arc<Upstream> {
        &self.all[usize::from(at) % self.all.len()]
    }

    fn those(&self, which: impl Fn(u8, &Standing) -> bool) -> u64 {
        let all = (0_u8..).zip(self.all.iter());
        let chosen = all.filter(|(at, it)| which(*at, it.standing()));
        chosen.fold(0, |set, (at, _)| set | 1_u64 << at)
    }
}

fn members(set: u64) -> impl Iterator<Item = u8> {
    (0..64_u8).filter(move |at| set & (1_u64 << at) != 0)
}

impl Chosen {
    /// Where it goes.
    pub fn upstream(&self) -> &Arc<Upstream> {
        self.targets.at(self.at)
    }

    /// Which one it is.
    pub fn number(&self) -> u8 {
        self.at
    }

    /// It answered.
    pub fn succeeded(&self) {
        let upstream = self.upstream();
        if upstream.standing().succeeded() {
            tracing::info!(upstream = %upstream.origin(), target = %upstream.place(), "answers again");
        }
    }

    /// It did not, for this reason.
    pub fn failed(&self, error: &SendError) {
        if !error.tells_of_target() {
            return;
        }
        let others = self
            .targets
            .those(|at, standing| at != self.at && standing.is_available());
        let upstream = self.upstream();
        if let Some(pause) = upstream.standing().failed(others != 0) {
            tracing::warn!(
                upstream = %upstream.origin(),
                target = %upstream.place(),
                for_seconds = pause.as_secs(),
                "has failed too often in a row, and is left out: {error}"
            );
        }
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.upstream().standing().leave();
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chosen").field(&self.at).finish()
    }
}

/// As many as a request can remember.
pub const MAX_TARGETS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Scheme, UpstreamConfig, Upstreams};

    fn targets(count: u16, balance: Balance) -> Arc<Targets> {
        let upstreams = Upstreams::default();
        let target = |port| {
            let target = Some(("127.0.0.1".to_owned(), port));
            let config = UpstreamConfig {
                target,
                ..UpstreamConfig::new(Scheme::Http, "app.test", 80)
            };
            upstreams.intern(config).expect("a host")
        };
        Arc::new(Targets::new((1..=count).map(target).collect(), balance))
    }

    fn refused() -> SendError {
        SendError::Refused(std::io::ErrorKind::ConnectionRefused.into())
    }

    fn numbers(targets: &Arc<Targets>, count: usize) -> Vec<u8> {
        let choose = |_| targets.choose(Tried::default()).number();
        (0..count).map(choose).collect()
    }

    #[tokio::test]
    async fn requests_go_round() {
        let targets = targets(3, Balance::RoundRobin);
        assert_eq!(numbers(&targets, 6), [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test]
    async fn requests_go_where_the_fewest_are_under_way() {
        let targets = targets(3, Balance::LeastRequests);
        let held: Vec<_> = (0..5).map(|_| targets.choose(Tried::default())).collect();
        let count = |at| held.iter().filter(|it| it.number() == at).count();
        assert!((0..3).all(|at| (1..=2).contains(&count(at))));
        let least = (0..3).find(|at| count(*at) == 1).expect("one has fewer");
        assert_eq!(targets.choose(Tried::default()).number(), least);
        drop(held);
        assert_eq!(
            targets
                .all
                .iter()
                .map(|it| it.standing().under_way())
                .sum::<usize>(),
            0
        );
        let turns: std::collections::HashSet<_> = numbers(&targets, 3).into_iter().collect();
        assert_eq!(turns.len(), 3, "those that are equal take turns");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_is_left_out_and_the_last_one_never_is() {
        let targets = targets(2, Balance::RoundRobin);
        for _ in 0..6 {
            targets.choose(Tried::default()).failed(&refused());
        }
        let states: Vec<_> = targets
            .views()
            .map(|(_, view)| view.state.as_str())
            .collect();
        assert_eq!(
            states.iter().filter(|it| **it == "up").count(),
            1,
            "{states:?}"
        );
        let up = states.iter().position(|it| *it == "up").expect("one");
        assert!(numbers(&targets, 4).iter().all(|at| usize::from(*at) == up));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_goes_elsewhere_and_to_one_that_is_left_out_rather_than_nowhere() {
        let targets = targets(2, Balance::RoundRobin);
        let mut tried = Tried::default();
        tried.add(0);
        assert!((0..4).all(|_| targets.choose(tried).number() == 1));
        targets.at(1).standing().check(false);
        assert_eq!(targets.choose(tried).number(), 1);
        assert_eq!(numbers(&targets, 3), [0, 0, 0]);
        tried.add(1);
        assert_eq!(targets.choose(tried).number(), 0);
        targets.at(0).standing().check(false);
        let both: std::collections::HashSet<_> = numbers(&targets, 4).into_iter().collect();
        assert_eq!(both.len(), 2);
    }

    #[tokio::test]
    async fn what_says_nothing_of_the_target_is_not_held_against_it() {
        let targets = targets(2, Balance::RoundRobin);
        for _ in 0..9 {
            targets
                .choose(Tried::default())
                .failed(&SendError::PoolFull);
            targets
                .choose(Tried::default())
                .failed(&SendError::Protocol(None));
        }
        assert!(targets.views().all(|(_, view)| view.failures == 0));
    }
}
