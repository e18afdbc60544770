//! The addresses of an upstream's name. The system's resolver does not say how long an answer holds, so it is asked again
//! now and then.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::clock::{Instant, now};

/// What is known of one name; shared by all workers.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: Mutex<Known>,
    /// Whether an address that it had is no longer its.
    moved: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    /// The newest answer, in the order in which addresses are tried.
    newest: Option<(Arc<[SocketAddr]>, Instant)>,
    /// When the resolver was last asked, whatever came of it.
    tried: Option<Instant>,
    /// Every address that was in an answer of late. Some names are answered with another few of many each time.
    seen: Vec<(SocketAddr, Instant)>,
}

impl Addresses {
    /// Where `host` is, as of the last few seconds.
    ///
    /// # Errors
    /// What the resolver says, where no answer of the last minutes can stand in.
    pub(super) async fn of(&self, host: &str, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        {
            let mut known = self.lock();
            if let Some((newest, asked)) = &known.newest
                && asked.elapsed() < FRESH
            {
                return Ok(Arc::clone(newest));
            }
            known.tried = Some(now());
        }
        let answer = tokio::net::lookup_host((host, port)).await;
        let addresses = answer.map(|all| interleaved(all.take(MAX_ADDRESSES)));
        let mut known = self.lock();
        match addresses {
            Ok(addresses) if !addresses.is_empty() => {
                let (newest, lost) = known.learn(addresses);
                if lost {
                    self.moved.store(true, Ordering::Relaxed);
                }
                Ok(newest)
            }
            failed => match &known.newest {
                Some((stale, asked)) if asked.elapsed() < FORGOTTEN => Ok(Arc::clone(stale)),
                _ => Err(failed
                    .err()
                    .unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
            },
        }
    }

    /// Whether it is time to ask again, for the sake of connections that are kept.
    pub(super) fn is_due(&self) -> bool {
        let known = self.lock();
        let asked = known.newest.as_ref().map(|(_, asked)| *asked);
        asked
            .max(known.tried)
            .is_some_and(|last| last.elapsed() >= CHECKED)
    }

    /// Whether a connection to `peer` is one to this name still. Costs nothing while no address was ever lost.
    pub(super) fn are_still(&self, peer: Option<SocketAddr>) -> bool {
        !self.moved.load(Ordering::Relaxed) || peer.is_none_or(|peer| self.knows(peer))
    }

    /// Whether the name had `peer` among its addresses of late.
    fn knows(&self, peer: SocketAddr) -> bool {
        let known = self.lock();
        known.seen.iter().any(|(address, _)| *address == peer)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The addresses, and whether others are the name's no longer.
    fn learn(&mut self, addresses: Vec<SocketAddr>) -> (Arc<[SocketAddr]>, bool) {
        let now = now();
        let before = self.seen.len();
        self.seen
            .retain(|(address, seen)| seen.elapsed() < FORGOTTEN || addresses.contains(address));
        self.seen.truncate(MAX_SEEN);
        let lost = self.seen.len() < before;
        self.seen
            .retain(|(address, _)| !addresses.contains(address));
        self.seen.extend(addresses.iter().map(|it| (*it, now)));
        let newest: Arc<[SocketAddr]> = addresses.into();
        self.newest = Some((Arc::clone(&newest), now));
        (newest, lost)
    }
}

/// The families in turn, that of the resolver's first choice first (RFC 8305, 4).
fn interleaved(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let all: Vec<_> = addresses.collect();
    let first = all.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|it| it.is_ipv6() == first);
    let mut mixed = Vec::with_capacity(one.len() + other.len());
    one.reverse();
    other.reverse();
    while !(one.is_empty() && other.is_empty()) {
        mixed.extend(one.pop());
        mixed.extend(other.pop());
    }
    mixed
}

/// Addresses of one answer that are tried.
const MAX_ADDRESSES: usize = 8;
/// Addresses of earlier answers that are remembered.
const MAX_SEEN: usize = 64;
/// An answer serves so long without another look.
const FRESH: Duration = Duration::from_secs(5);
/// While there are connections, the name is looked up so often.
const CHECKED: Duration = Duration::from_secs(30);
/// An address that was in no answer for so long is not the name's any more.
const FORGOTTEN: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts
            .iter()
            .map(|it| it.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn the_families_take_turns() {
        let all = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"]);
        assert_eq!(
            interleaved(all.into_iter()),
            addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_the_names_until_it_was_in_no_answer_for_minutes() {
        let known = Addresses::default();
        let [old, new] = [addresses(&["10.0.0.1:1"]), addresses(&["10.0.0.2:1"])];
        known.lock().learn(old.clone());
        for _ in 0..9 {
            assert!(!known.is_due());
            tokio::time::advance(CHECKED).await;
            assert!(known.is_due());
            known.lock().learn(new.clone());
            assert!(known.knows(old[0]) && known.knows(new[0]));
        }
        tokio::time::advance(CHECKED).await;
        known.lock().learn(new.clone());
        assert!(!known.knows(old[0]) && known.knows(new[0]));
    }

    #[tokio::test]
    async fn a_resolver_that_fails_leaves_the_last_answer() {
        let known = Addresses::default();
        let last = addresses(&["10.0.0.1:1"]);
        known.lock().learn(last.clone());
        let stale = now() - FRESH;
        if let Some((_, asked)) = &mut known.lock().newest {
            *asked = stale;
        }
        let found = known.of("no-such-host.invalid", 1).await;
        assert_eq!(found.expect("the last answer").to_vec(), last);
        let none = Addresses::default();
        assert!(none.of("no-such-host.invalid", 1).await.is_err());
    }
}
