//! The parts that threads and tasks share, compiled once more with [`sync`] in the place of the product's: shuttle
//! decides at each step who runs next, and tries thousands of orders.
//!
//! The state machine is the product's own, and so are the counters of a lease: nothing waits for those.

#![allow(
    clippy::duplicate_mod,
    dead_code,
    unreachable_pub,
    reason = "whole files are taken, and not all of them is called"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use shuttle::{
    Config, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};

use self::{
    cache::{Kin, Slot, State},
    flight::{Landing, Landings},
    lease::Lease,
    process::Process,
    subjects::Subjects,
    sync::Handle,
};
use crate::{
    clock,
    credentials::{
        Bound, BoxFuture, CacheSettings, Call, Counters, Credential, CredentialError,
        CredentialErrorKind, CredentialView, FailureKind, Fetch, FetchError, FetchView,
        Fingerprint, FingerprintBuilder, ProofKey, Rejection, Retry, SlotState, Source, Subject,
        SubjectsView, calls, life, sources, store, watched,
    },
    secret::Secret,
};

#[path = "../cache.rs"]
mod cache;
#[path = "../flight.rs"]
mod flight;
#[path = "../lease.rs"]
mod lease;
#[path = "../process.rs"]
mod process;
#[path = "../refresher.rs"]
mod refresher;
#[path = "../subjects.rs"]
mod subjects;
mod sync;

/// Nothing is revoked here.
mod revocation {
    pub(super) fn begin(_: &super::Slot) {}
}

/// Without a store there is only the call.
mod renewal {
    use super::*;
    pub(super) use crate::credentials::renewal::{Kept, Obtained};

    pub(super) async fn obtain(
        slot: &Arc<Slot>,
        source: &Arc<dyn Source>,
        purpose: life::Purpose,
        _: &calls::Calls,
    ) -> Result<Obtained, FetchError> {
        let ask = Fetch {
            subject: &slot.subject,
            previous: None,
            refused: purpose == life::Purpose::Refused,
        };
        Ok(Obtained {
            credential: source.fetch(ask).await?,
            kept: Kept::default(),
            adopted: false,
        })
    }

    pub(super) fn see_saved(_: &Arc<Slot>, _: &mut State) {}
}

/// A new token each call, and never two calls for one subject at once.
#[derive(Debug, Default)]
struct Endpoint {
    calls: AtomicUsize,
    failing: AtomicUsize,
    flying: Mutex<Vec<String>>,
}

impl Endpoint {
    /// The first so many calls fail.
    fn failing(calls: usize) -> Arc<Self> {
        Arc::new(Self {
            failing: AtomicUsize::new(calls),
            ..Self::default()
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// A slot with its task; with room for so many subjects, where it has any.
    fn slot(self: &Arc<Self>, max_waiters: usize, subjects: Option<usize>) -> Arc<Slot> {
        let settings = CacheSettings {
            max_waiters,
            ..CacheSettings::default()
        };
        let source = Arc::clone(self) as Arc<dyn Source>;
        let subjects = subjects.map(Subjects::new);
        let slot = Slot::new(
            "name".into(),
            source,
            None,
            Arc::new(Process::new(Handle)),
            settings,
            subjects,
        );
        let slot = Arc::new(slot);
        refresher::start(&slot);
        slot
    }
}

impl Source for Endpoint {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("endpoint").finish()
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async move {
            let whose = match ask.subject {
                Subject::User(name) => name.to_string(),
                _ => String::new(),
            };
            let again = self.flying.lock().unwrap().contains(&whose);
            assert!(!again, "two calls at once");
            self.flying.lock().unwrap().push(whose.clone());
            let sent = clock::now();
            let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            shuttle::future::yield_now().await;
            self.flying.lock().unwrap().retain(|it| *it != whose);
            if number <= self.failing.load(Ordering::SeqCst) {
                // Of a pause that no slow machine outlasts.
                return Err(FetchError::permanent(FailureKind::Rejected, "no"));
            }
            let token = Secret::new(format!("{whose}#{number}"));
            Ok(Credential::bearer(token, Some(HOUR), sent))
        })
    }
}

/// Tries so many orders at random, and as many with few but telling switches.
fn explore(body: impl Fn() + Send + Sync + 'static) {
    let body = Arc::new(body);
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    let random = Arc::clone(&body);
    Runner::new(RandomScheduler::new(ORDERS), config.clone()).run(move || random());
    Runner::new(PctScheduler::new(3, ORDERS), config).run(move || body());
}

fn on_threads<T: Send + 'static>(
    work: impl IntoIterator<Item = Box<dyn FnOnce() -> T + Send>>,
) -> Vec<T> {
    let threads: Vec<_> = work.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|it| it.join().unwrap()).collect()
}

fn lease(slot: &Arc<Slot>) -> Result<Lease, CredentialError> {
    block_on(Arc::clone(slot).lease(HOUR))
}

fn number(lease: &Lease) -> u64 {
    lease.0.issue.number
}

fn user(name: &str) -> Subject {
    Subject::user(name).unwrap()
}

#[test]
fn a_landing_wakes_every_waiter_of_every_thread() {
    explore(|| {
        let landings = Arc::new(Landings::default());
        let waiting = [(); 2].map(|()| {
            let landings = Arc::clone(&landings);
            thread::spawn(move || {
                block_on(async { tokio::join!(landings.wait(1), landings.wait(1)) });
            })
        });
        landings.land(1, Landing::Arrived);
        for thread in waiting {
            thread.join().unwrap();
        }
    });
}

#[test]
fn who_waits_for_a_flight_is_not_content_with_an_older_one() {
    explore(|| {
        let landings = Arc::new(Landings::default());
        let waiting = {
            let landings = Arc::clone(&landings);
            thread::spawn(move || {
                block_on(async { tokio::join!(landings.wait(2), landings.wait(1)) })
            })
        };
        let error = FetchError::transient(FailureKind::Failing, "no");
        landings.land(1, Landing::Failed(error.into()));
        landings.land(2, Landing::Arrived);
        let (newer, _) = waiting.join().unwrap();
        assert!(matches!(newer, Landing::Arrived));
    });
}

#[test]
fn threads_that_find_nothing_share_one_call() {
    explore(|| {
        let endpoint = Endpoint::failing(0);
        let slot = endpoint.slot(9, None);
        let work = [(); 3].map(|()| -> Box<dyn FnOnce() -> u64 + Send> {
            let slot = Arc::clone(&slot);
            Box::new(move || number(&lease(&slot).unwrap()))
        });
        assert_eq!(on_threads(work), [1, 1, 1]);
        assert_eq!(endpoint.calls(), 1);
    });
}

#[test]
fn threads_that_find_nothing_share_one_failure() {
    explore(|| {
        let endpoint = Endpoint::failing(1);
        let slot = endpoint.slot(9, None);
        let work = [(); 3].map(|()| -> Box<dyn FnOnce() + Send> {
            let slot = Arc::clone(&slot);
            Box::new(move || {
                let error = lease(&slot).unwrap_err();
                assert_eq!(error.kind, CredentialErrorKind::Rejected);
                assert!(error.retry_after.is_some(), "told when to come back");
            })
        });
        on_threads(work);
        assert_eq!(endpoint.calls(), 1);
    });
}

#[test]
fn who_forces_a_renewal_is_told_of_that_one() {
    explore(|| {
        let endpoint = Endpoint::failing(1);
        let slot = endpoint.slot(9, None);
        let asking = Arc::clone(&slot);
        let work: [Box<dyn FnOnce() + Send>; 2] = [
            Box::new(move || {
                let _ = lease(&asking);
            }),
            Box::new(move || {
                let flight = slot.force();
                let landing = block_on(slot.landings.wait(flight));
                assert_eq!(flight > 1, matches!(landing, Landing::Arrived));
            }),
        ];
        on_threads(work);
    });
}

#[test]
fn a_refusal_and_a_renewal_at_once_lose_no_token_and_bring_back_none() {
    explore(|| {
        let endpoint = Endpoint::failing(0);
        let slot = endpoint.slot(9, None);
        let first = lease(&slot).unwrap();
        first.0.issue.accept();
        let refuse = |slot: Arc<Slot>, first: Lease| {
            move || {
                assert_eq!(slot.reject(&first), Rejection::Renewing);
                let again = slot.try_lease_at(clock::now());
                assert!(
                    again.is_none_or(|it| number(&it) > 1),
                    "the refused one is leased"
                );
                assert!(number(&lease(&slot).unwrap()) > 1);
            }
        };
        let forcing = Arc::clone(&slot);
        let watching = Arc::clone(&slot);
        let work: [Box<dyn FnOnce() + Send>; 4] = [
            Box::new(refuse(Arc::clone(&slot), first.clone())),
            Box::new(refuse(Arc::clone(&slot), first)),
            Box::new(move || {
                let flight = forcing.force();
                assert!(matches!(
                    block_on(forcing.landings.wait(flight)),
                    Landing::Arrived
                ));
            }),
            Box::new(move || {
                let mut newest = 0;
                for _ in 0..4 {
                    if let Some(lease) = watching.try_lease_at(clock::now()) {
                        assert!(number(&lease) >= newest, "an older one came back");
                        newest = number(&lease);
                    }
                }
            }),
        ];
        on_threads(work);
        assert!(endpoint.calls() <= 3, "{} calls", endpoint.calls());
        let newest = slot.try_lease_at(clock::now()).map(|it| number(&it));
        assert_eq!(newest, Some(slot.view().generation));
        assert_eq!(newest, Some(endpoint.calls() as u64));
    });
}

#[test]
fn no_more_wait_than_may_and_all_who_went_are_counted_out() {
    explore(|| {
        let endpoint = Endpoint::failing(0);
        let slot = endpoint.slot(1, None);
        let work = [(); 3].map(|()| -> Box<dyn FnOnce() -> bool + Send> {
            let slot = Arc::clone(&slot);
            Box::new(move || match lease(&slot) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind, CredentialErrorKind::Overloaded);
                    false
                }
            })
        });
        assert!(on_threads(work).contains(&true));
        // One who went away while it waited, and one who finds that place free.
        let first = slot.try_lease_at(clock::now()).unwrap();
        first.0.issue.accept();
        slot.reject(&first);
        drop(Arc::clone(&slot).lease(HOUR));
        assert!(lease(&slot).is_ok());
    });
}

#[test]
fn subjects_that_make_room_for_each_other_have_one_call_each_at_a_time() {
    explore(|| {
        let endpoint = Endpoint::failing(0);
        let root = endpoint.slot(9, Some(1));
        let work = ["a", "a", "b"].map(|name| -> Box<dyn FnOnce() -> bool + Send> {
            let root = Arc::clone(&root);
            Box::new(move || {
                let Kin::Root(subjects) = &root.kin else {
                    unreachable!("it has subjects");
                };
                let Ok(slot) = subjects.slot(&root, &user(name)) else {
                    return false;
                };
                let lease = lease(&slot).unwrap();
                let token = lease.part("access_token").unwrap().expose().to_owned();
                assert!(token.starts_with(name), "{token} for {name}");
                true
            })
        });
        assert!(on_threads(work).contains(&true));
        let view = root.view();
        assert_eq!(view.subjects.unwrap().kept, 1);
        assert_eq!(view.counters.fetches, endpoint.calls() as u64);
    });
}

#[test]
fn a_slot_that_somebody_holds_is_not_forgotten() {
    explore(|| {
        let endpoint = Endpoint::failing(0);
        let root = endpoint.slot(9, Some(2));
        let work = [(); 2].map(|()| -> Box<dyn FnOnce() + Send> {
            let root = Arc::clone(&root);
            Box::new(move || {
                let Kin::Root(subjects) = &root.kin else {
                    unreachable!("it has subjects");
                };
                // Let go at once: its task may find it spent and forget it.
                drop(subjects.slot(&root, &user("a")));
                let held = subjects.slot(&root, &user("a")).unwrap();
                lease(&held).unwrap();
                let again = subjects.slot(&root, &user("a")).unwrap();
                assert!(Arc::ptr_eq(&held, &again));
            })
        });
        on_threads(work);
        assert_eq!(endpoint.calls(), 1);
    });
}

const HOUR: Duration = Duration::from_secs(3600);
const ORDERS: usize = 500;
