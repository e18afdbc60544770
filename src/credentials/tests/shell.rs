use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::sleep};

use super::fake::{Fake, Step, cache};
use crate::{
    clock,
    credentials::{
        CacheSettings, CredentialError, CredentialErrorKind, CredentialHandle, FailureKind, Lease,
        Rejection, Retry, SlotState, Source, grants::Fixed,
    },
    secret::Secret,
};

const WAIT: Duration = Duration::from_secs(10);
const TRANSIENT: Retry = Retry::Transient { after: None };

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn token(lease: &Lease) -> &str {
    lease
        .authorization()
        .expect("a bearer")
        .to_str()
        .expect("ascii")
}

async fn error(slot: &CredentialHandle) -> CredentialError {
    slot.lease(WAIT).await.expect_err("a failure")
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_cold_requests_cause_one_token_call() {
    let source = Fake::tokens(s(3600));
    let slot = source.slot();
    let waiting: Vec<_> = (0..10_000)
        .map(|_| tokio::spawn(slot.lease(WAIT)))
        .collect();
    for task in waiting {
        assert_eq!(token(&task.await.unwrap().unwrap()), "Bearer t1");
    }
    assert_eq!(source.calls(), 1);
    let view = slot.view();
    assert_eq!((view.counters.waits, view.counters.uses), (10_000, 10_000));
}

#[test]
fn workers_with_runtimes_of_their_own_share_one_call() {
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let source = Fake::new(Duration::from_millis(50), |n| {
        Step::Token(format!("t{n}"), s(60))
    });
    let cache = crate::credentials::Credentials::new(control.handle().clone());
    let slot = cache.handle(
        "name",
        Arc::clone(&source) as Arc<dyn Source>,
        CacheSettings::default(),
    );
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let slot = slot.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.unwrap().block_on(async {
                    let tasks: Vec<_> = (0..500).map(|_| tokio::spawn(slot.lease(WAIT))).collect();
                    for task in tasks {
                        assert_eq!(token(&task.await.unwrap().unwrap()), "Bearer t1");
                    }
                });
            })
        })
        .collect();
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_cancels_nobodys_fetch() {
    let source = Fake::tokens(s(3600));
    let slot = source.slot();
    let first = tokio::spawn(slot.lease(WAIT));
    sleep(Duration::from_millis(10)).await;
    first.abort();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(token(&slot.try_lease().unwrap()), "Bearer t1");
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_refusals_of_one_generation_cause_one_call() {
    let source = Fake::tokens(s(3600));
    let slot = source.slot();
    let lease = slot.lease(WAIT).await.unwrap();
    slot.accept(&lease);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (slot, lease) = (slot.clone(), lease.clone());
            tokio::spawn(async move {
                assert_eq!(slot.reject(&lease), Rejection::Renewing);
                assert!(
                    slot.try_lease().is_none(),
                    "the refused one is not leased again"
                );
                slot.lease(WAIT).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(token(&task.await.unwrap()), "Bearer t2");
    }
    assert_eq!(
        slot.reject(&lease),
        Rejection::Renewing,
        "a late one finds the newer token"
    );
    assert_eq!(token(&slot.try_lease().unwrap()), "Bearer t2");
    sleep(s(5)).await;
    assert_eq!(source.calls(), 2);
    assert_eq!(slot.view().counters.rejections, 101);
}

#[tokio::test(start_paused = true)]
async fn a_used_token_is_renewed_ahead_and_no_request_waits() {
    let source = Fake::new(Duration::from_millis(500), |n| {
        Step::Token(format!("t{n}"), s(100))
    });
    let slot = source.slot();
    slot.lease(WAIT).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10_000 {
        sleep(Duration::from_millis(100)).await;
        seen.insert(token(&slot.try_lease().expect("no request waits")).to_owned());
    }
    // The clock may stop within the half second of a call; its token comes, and the next call is far off.
    for _ in 0..10 {
        if seen.len() < source.calls() {
            sleep(Duration::from_millis(100)).await;
            seen.insert(token(&slot.try_lease().expect("no request waits")).to_owned());
        }
    }
    assert_eq!(seen.len(), source.calls());
    assert!((12..=16).contains(&source.calls()), "{}", source.calls());
}

#[tokio::test(start_paused = true)]
async fn tokens_of_one_second_roll_over_under_load() {
    let source = Fake::new(Duration::from_millis(20), |n| {
        Step::Token(format!("t{n}"), s(1))
    });
    let slot = source.slot();
    slot.lease(WAIT).await.unwrap();
    for _ in 0..6000 {
        sleep(Duration::from_millis(10)).await;
        assert!(slot.try_lease().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unused_token_lapses_and_the_next_request_fetches() {
    let source = Fake::tokens(s(100));
    let slot = source.slot();
    slot.lease(WAIT).await.unwrap();
    // Renewed once, since it was used; its successor was not.
    sleep(s(1000)).await;
    assert_eq!(source.calls(), 2);
    assert_eq!(slot.view().state, SlotState::Empty);
    assert_eq!(token(&slot.lease(WAIT).await.unwrap()), "Bearer t3");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_never_leased_even_when_no_task_of_ours_runs() {
    let source = Fake::new(Duration::ZERO, |n| Step::Token(format!("t{n}"), s(100)));
    let slot = source.slot();
    slot.lease(WAIT).await.unwrap();
    // No await from here: the refresher has no say.
    let now = clock::now();
    assert!(
        slot.try_lease_at(now + Duration::from_millis(98_900))
            .is_some()
    );
    let end = now + s(99);
    assert!(
        slot.try_lease_at(end).is_none(),
        "a second is kept back for the flight"
    );
}

#[tokio::test(start_paused = true)]
async fn life_counts_from_the_moment_the_request_was_sent() {
    let source = Fake::new(s(8), |n| Step::Token(format!("t{n}"), s(10)));
    let slot = source.slot();
    slot.lease(WAIT).await.unwrap();
    let left = slot.view().expires_in.unwrap();
    assert_eq!(left, Duration::from_millis(1500));
}

#[tokio::test(start_paused = true)]
async fn waiting_has_a_deadline_and_the_fetch_goes_on() {
    let source = Fake::new(s(30), |n| Step::Token(format!("t{n}"), s(3600)));
    let slot = source.slot();
    let began = clock::now();
    let error = error(&slot).await;
    assert_eq!(error.kind, CredentialErrorKind::Timeout);
    assert_eq!(clock::now() - began, WAIT);
    sleep(s(21)).await;
    assert!(slot.try_lease().is_some());
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_waiters_are_told_so() {
    let source = Fake::tokens(s(3600));
    let settings = CacheSettings {
        max_waiters: 2,
        ..CacheSettings::default()
    };
    let slot = cache().handle("name", Arc::clone(&source) as Arc<dyn Source>, settings);
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(slot.lease(WAIT))).collect();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(error(&slot).await.kind, CredentialErrorKind::Overloaded);
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    assert!(slot.lease(WAIT).await.is_ok(), "those who went left room");
}

#[tokio::test(start_paused = true)]
async fn waiters_share_one_failure_and_later_ones_fail_at_once() {
    let source = Fake::new(s(1), |_| {
        Step::Fail(FailureKind::Rejected, Retry::Permanent)
    });
    let slot = source.slot();
    let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(slot.lease(WAIT))).collect();
    for task in waiting {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind, CredentialErrorKind::Rejected);
        assert_eq!(error.retry_after, Some(s(30)));
    }
    let began = clock::now();
    sleep(s(10)).await;
    assert_eq!(error(&slot).await.retry_after, Some(s(20)), "truthful");
    assert_eq!(clock::now() - began, s(10), "at once");
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_attempt_that_was_told_is_made_without_another_request() {
    let source = Fake::new(Duration::ZERO, |n| match n {
        1 => Step::Fail(FailureKind::Rejected, Retry::Permanent),
        n => Step::Token(format!("t{n}"), s(100)),
    });
    let slot = source.slot();
    error(&slot).await;
    sleep(s(10)).await;
    assert_eq!(error(&slot).await.retry_after, Some(s(20)));
    sleep(s(21)).await;
    assert!(slot.try_lease().is_some());
    assert_eq!(source.calls(), 2);
    assert_eq!(slot.account().failure, None, "and it is mended");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changed_renews_what_is_held_and_leaves_alone_what_has_lapsed() {
    let source = Fake::tokens(s(100));
    let slot = source.slot().0;
    Arc::clone(&slot).lease(WAIT).await.unwrap();
    let (before, now) = (vec![None], [Some((1, 1, 1, 1))]);
    slot.state().files = before.clone();
    slot.catch_up(&now);
    sleep(s(1)).await;
    assert_eq!(source.calls(), 2);
    sleep(s(1000)).await;
    slot.state().files = before;
    slot.catch_up(&now);
    sleep(s(1)).await;
    assert_eq!(source.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_wrong_secrets_lock_an_account_the_first_pause_is_as_long_as_the_settings_say() {
    let source = Fake::new(Duration::ZERO, |_| {
        Step::Fail(FailureKind::Rejected, Retry::Permanent)
    });
    let settings = CacheSettings {
        probe_after: s(1200),
        ..CacheSettings::default()
    };
    let slot = cache().handle("name", source, settings);
    assert_eq!(error(&slot).await.retry_after, Some(s(1200)));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_is_kept_by_nobody_and_shown_to_nobody() {
    let source = Fake::new(Duration::ZERO, |n| match n {
        1 => Step::Token("t1".into(), s(100)),
        _ => Step::Fail(FailureKind::Rejected, Retry::Permanent),
    });
    let slot = source.slot();
    let lease = slot.lease(WAIT).await.unwrap();
    assert!(lease.authorization().unwrap().is_sensitive());
    sleep(s(100)).await;
    assert_eq!(slot.view().state, SlotState::Failed);
    assert_eq!(Arc::strong_count(&lease.0), 1, "only by who still sends it");
}

#[tokio::test(start_paused = true)]
async fn the_task_of_a_slot_ends_with_it() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let slot = Fake::tokens(s(3600)).slot();
    slot.lease(WAIT).await.unwrap();
    assert!(tasks() > before);
    drop(slot);
    sleep(s(1)).await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_a_second_cause_at_most_one_call_a_second_while_the_endpoint_is_down() {
    let source = Fake::new(Duration::ZERO, |_| {
        Step::Fail(FailureKind::Unreachable, TRANSIENT)
    });
    let slot = source.slot();
    for _ in 0..30_000 {
        error(&slot).await;
        sleep(Duration::from_millis(1)).await;
    }
    for pair in source.began.lock().unwrap().windows(2) {
        assert!(pair[1] - pair[0] >= s(1), "{:?}", pair[1] - pair[0]);
    }
    assert!(source.calls() >= 4, "{}", source.calls());
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_used_while_the_endpoint_is_down_and_then_comes_the_error_and_then_it_recovers()
 {
    let source = Fake::new(Duration::from_millis(10), |n| match n {
        1 => Step::Token("t1".into(), s(100)),
        2..=9 => Step::Fail(FailureKind::Unreachable, TRANSIENT),
        _ => Step::Token("late".into(), s(100)),
    });
    let slot = source.slot();
    slot.lease(WAIT).await.unwrap();
    let (mut served, mut refused) = (0, 0);
    loop {
        match slot.lease(WAIT).await {
            Ok(lease) if token(&lease) == "Bearer late" => break,
            Ok(_) => served += 1,
            Err(error) => {
                assert_eq!(error.kind, CredentialErrorKind::Unavailable);
                assert!(error.retry_after.is_some());
                refused += 1;
            }
        }
        sleep(s(1)).await;
        assert!(served + refused < 1000, "it never recovers");
    }
    assert_eq!(served, 99, "until the very end, less a second");
    assert!(refused > 0);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_heeded() {
    let source = Fake::new(Duration::ZERO, |n| match n {
        1 => Step::Fail(
            FailureKind::RateLimited,
            Retry::Transient { after: Some(s(40)) },
        ),
        n => Step::Token(format!("t{n}"), s(100)),
    });
    let slot = source.slot();
    let error = error(&slot).await;
    assert_eq!(error.kind, CredentialErrorKind::RateLimited);
    assert_eq!(error.retry_after, Some(s(40)));
    sleep(s(39)).await;
    assert!(slot.lease(WAIT).await.is_err());
    assert_eq!(source.calls(), 1);
    sleep(s(2)).await;
    assert!(slot.lease(WAIT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_gives_the_same_token_again_is_left_in_peace() {
    let start = clock::now();
    let source = Fake::new(Duration::from_millis(10), move |_| {
        let age = (clock::now() - start).as_secs();
        Step::Token(format!("t{}", age / 100), s(100 - age % 100))
    });
    let slot = source.slot();
    let first = slot.lease(WAIT).await.unwrap();
    for at in 1..1000 {
        sleep(s(1)).await;
        let lease = slot.lease(WAIT).await.unwrap();
        assert_eq!(
            lease.id() == first.id(),
            token(&lease) == token(&first),
            "{at}"
        );
    }
    assert!(source.calls() <= 31, "{}", source.calls());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_brings_the_refused_token_is_told_from_another() {
    let source = Fake::new(Duration::from_millis(10), |_| {
        Step::Token("same".into(), s(1000))
    });
    let slot = source.slot();
    let lease = slot.lease(WAIT).await.unwrap();
    slot.accept(&lease);
    assert_eq!(slot.reject(&lease), Rejection::Renewing);
    assert_eq!(slot.lease(WAIT).await.unwrap().id(), lease.id());
    assert_eq!(
        slot.reject(&lease),
        Rejection::Renewing,
        "accepted before, it is tried again"
    );
    let calls = source.calls();
    for _ in 0..50 {
        let again = slot.lease(WAIT).await.unwrap();
        assert_eq!(again.id(), lease.id());
    }
    assert_eq!(source.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_refuses_everything_does_not_hammer_the_endpoint() {
    let source = Fake::tokens(s(100_000));
    let slot = source.slot();
    let mut replays = 0;
    for _ in 0..10_000 {
        let lease = slot.lease(WAIT).await.unwrap();
        if slot.reject(&lease) == Rejection::Renewing {
            let second = slot.lease(WAIT).await.unwrap();
            replays += 1;
            assert_eq!(slot.reject(&second), Rejection::NoOther);
        }
        sleep(Duration::from_millis(10)).await;
    }
    // 100 s: cooling for 1, 2, 4, 8, 16, 32, 60.
    assert!(source.calls() <= 9, "{}", source.calls());
    assert_eq!(replays, source.calls() - 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_replacement_share_its_failure() {
    let source = Fake::new(Duration::from_millis(10), |n| match n {
        1 => Step::Token("t1".into(), s(1000)),
        2 => Step::Fail(FailureKind::Unreachable, TRANSIENT),
        n => Step::Token(format!("t{n}"), s(1000)),
    });
    let slot = source.slot();
    let lease = slot.lease(WAIT).await.unwrap();
    slot.accept(&lease);
    slot.reject(&lease);
    assert_eq!(error(&slot).await.kind, CredentialErrorKind::Unavailable);
    assert!(
        slot.try_lease().is_none(),
        "a refused token is no valid token"
    );
    sleep(s(2)).await;
    assert_eq!(token(&slot.lease(WAIT).await.unwrap()), "Bearer t3");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_source_is_a_failure_like_any_other() {
    let source = Fake::new(Duration::ZERO, |n| match n {
        1 => Step::Panic,
        n => Step::Token(format!("t{n}"), s(100)),
    });
    let slot = source.slot();
    assert_eq!(error(&slot).await.kind, CredentialErrorKind::Internal);
    sleep(s(2)).await;
    assert!(slot.lease(WAIT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_ends_is_ended() {
    let source = Fake::new(Duration::ZERO, |n| match n {
        1 => Step::Never,
        n => Step::Token(format!("t{n}"), s(100)),
    });
    let slot = source.slot();
    assert!(slot.lease(WAIT).await.is_err());
    sleep(s(130)).await;
    assert!(slot.lease(WAIT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_stand_in_a_header_is_malformed() {
    let source = Fake::new(Duration::ZERO, |_| Step::Token("a\r\nX: y".into(), s(100)));
    let slot = source.slot();
    assert_eq!(error(&slot).await.kind, CredentialErrorKind::Malformed);
    let counters = slot.view().counters;
    assert_eq!((counters.failures, counters.fetches), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn prewarm_fetches_before_anybody_asks_and_goes_on_until_it_has_one() {
    let source = Fake::new(Duration::ZERO, |n| match n {
        1..=3 => Step::Fail(FailureKind::Failing, TRANSIENT),
        n => Step::Token(format!("t{n}"), s(100)),
    });
    let cache = cache();
    let settings = CacheSettings {
        prewarm: true,
        ..CacheSettings::default()
    };
    let slot = cache.handle("name", Arc::clone(&source) as Arc<dyn Source>, settings);
    sleep(Duration::from_millis(1)).await;
    assert!(!cache.is_warm());
    sleep(s(30)).await;
    assert!(cache.is_warm());
    assert_eq!(token(&slot.try_lease().unwrap()), "Bearer t4");
}

#[tokio::test(start_paused = true)]
async fn an_equal_configuration_keeps_token_and_flight_over_a_reload() {
    let cache = cache();
    let old = Fake::known_as("one", s(1), |_| Step::Token("old".into(), s(1000)));
    let new = Fake::known_as("one", s(1), |_| Step::Token("new".into(), s(1000)));
    let handle = |source: &Arc<Fake>| {
        cache.handle(
            "name",
            Arc::clone(source) as Arc<dyn Source>,
            CacheSettings::default(),
        )
    };
    let before = handle(&old);
    let waiting = tokio::spawn(before.lease(WAIT));
    sleep(Duration::from_millis(10)).await;
    let after = handle(&new);
    drop(before);
    assert_eq!(token(&after.lease(WAIT).await.unwrap()), "Bearer old");
    waiting.await.unwrap().unwrap();
    assert_eq!((old.calls(), new.calls()), (1, 0));
    assert_eq!(cache.views().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_may_set_another_bound_on_who_waits() {
    let (cache, source) = (cache(), Fake::new(Duration::ZERO, |_| Step::Never));
    let with = |max_waiters| {
        let settings = CacheSettings {
            max_waiters,
            ..CacheSettings::default()
        };
        cache.handle("name", Arc::clone(&source) as Arc<dyn Source>, settings)
    };
    let before = with(1);
    with(0);
    assert_eq!(error(&before).await.kind, CredentialErrorKind::Overloaded);
}

#[tokio::test(start_paused = true)]
async fn a_changed_configuration_is_another_slot_and_the_old_one_is_forgotten() {
    let cache = cache();
    let old = Fake::known_as("one", s(1), |_| Step::Token("old".into(), s(1000)));
    let new = Fake::known_as("two", s(1), |_| Step::Token("new".into(), s(1000)));
    let handle = |source: &Arc<Fake>| {
        cache.handle(
            "name",
            Arc::clone(source) as Arc<dyn Source>,
            CacheSettings::default(),
        )
    };
    let before = handle(&old);
    before.lease(WAIT).await.unwrap();
    let after = handle(&new);
    assert_eq!(token(&after.lease(WAIT).await.unwrap()), "Bearer new");
    assert_eq!(cache.views().len(), 2);
    drop(before);
    assert_eq!(cache.views().len(), 1);
    sleep(s(2000)).await;
    assert_eq!(old.calls(), 1, "what nobody refers to is not renewed");
    assert_eq!(Arc::strong_count(&old), 1, "and its secrets are gone");
}

#[tokio::test(start_paused = true)]
async fn leases_of_different_generations_and_slots_have_different_ids() {
    let (one, two) = (Fake::tokens(s(100)), Fake::tokens(s(100)));
    let (one, two) = (one.slot(), two.slot());
    let a = one.lease(WAIT).await.unwrap();
    let b = two.lease(WAIT).await.unwrap();
    assert_eq!(a.id(), one.lease(WAIT).await.unwrap().id());
    one.renew_now().await.unwrap();
    let c = one.lease(WAIT).await.unwrap();
    assert!(a.id() != b.id() && a.id() != c.id() && b.id() != c.id());
    assert_eq!(token(&a), "Bearer t1", "a request keeps what it leased");
}

#[tokio::test(start_paused = true)]
async fn an_operator_renews_now_whatever_the_back_off_says() {
    let source = Fake::new(Duration::from_millis(10), |n| match n {
        1 => Step::Fail(FailureKind::Rejected, Retry::Permanent),
        n => Step::Token(format!("t{n}"), s(1000)),
    });
    let slot = source.slot();
    error(&slot).await;
    slot.renew_now().await.unwrap();
    assert_eq!(token(&slot.try_lease().unwrap()), "Bearer t2");
}

#[tokio::test(start_paused = true)]
async fn a_static_credential_is_there_for_good_and_a_refusal_changes_nothing() {
    let source: Arc<dyn Source> = Arc::new(Fixed::basic("me", Secret::new("pw")));
    let slot = cache().handle("name", source, CacheSettings::default());
    let lease = slot.lease(WAIT).await.unwrap();
    assert!(lease.authorization().is_none());
    assert_eq!(lease.part("basic").unwrap().expose(), "bWU6cHc=");
    assert_eq!(lease.part("password").unwrap().expose(), "pw");
    assert!(lease.part("nothing").is_none());
    assert_eq!(slot.reject(&lease), Rejection::NoOther);
    sleep(s(10_000_000)).await;
    assert_eq!(slot.try_lease().unwrap().id(), lease.id());
    assert_eq!(slot.view().expires_in, None);
}

#[tokio::test(start_paused = true)]
async fn the_view_tells_what_happened() {
    let source = Fake::tokens(s(100));
    let slot = source.slot();
    assert_eq!(slot.view().state, SlotState::Empty);
    let waiting = tokio::spawn(slot.lease(WAIT));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(slot.view().state, SlotState::Fetching);
    waiting.await.unwrap().unwrap();
    sleep(s(1)).await;
    let view = slot.view();
    assert_eq!((view.state, view.generation), (SlotState::Fresh, 1));
    let fetch = view.last_fetch.unwrap();
    assert_eq!(
        (fetch.outcome(), fetch.took, fetch.ago),
        ("ok", Duration::from_millis(100), s(1))
    );
    assert!(view.next_refresh_in.unwrap() < view.expires_in.unwrap());
    assert_eq!((view.counters.fetches, view.counters.failures), (1, 0));
}
