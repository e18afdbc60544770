use std::time::Duration;

use super::*;
use crate::{clock::Instant, credentials::SlotState};

mod model;

const TRANSIENT: Answer = Answer::Failed(Retry::Transient { after: None });

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn token(sent: Instant, life: Duration) -> Answer {
    Answer::Token {
        sent,
        life: Some(life),
        same: false,
    }
}

fn same(sent: Instant, life: Duration) -> Answer {
    Answer::Token {
        sent,
        life: Some(life),
        same: true,
    }
}

/// A slot that holds a token of this life since `now`.
fn fresh(life: Duration, now: Instant) -> Life {
    let mut slot = Life::new(true);
    assert_eq!(slot.want(now), Want::Wait(1));
    assert_eq!(slot.next(false, now), Next::Fetch(Purpose::Cold));
    assert!(matches!(
        slot.fetched(token(now, life), now, 0.0),
        Settled::New { generation: 1, .. }
    ));
    slot
}

#[test]
fn a_used_token_is_renewed_at_eight_tenths() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    assert_eq!(slot.next(true, now), Next::Sleep(now + s(80)));
    assert_eq!(slot.next(true, now + s(80)), Next::Fetch(Purpose::Ahead));
    assert!(slot.leasable(now + s(80)));
    assert_eq!(slot.state(now + s(80)), SlotState::Refreshing);
}

#[test]
fn an_unused_token_is_looked_at_again_and_then_lapses() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    assert_eq!(slot.next(false, now + s(80)), Next::Sleep(now + s(90)));
    assert_eq!(slot.next(false, now + s(90)), Next::Sleep(now + s(99)));
    assert_eq!(slot.next(false, now + s(99)), Next::Expired);
    assert_eq!(slot.next(false, now + s(99)), Next::Idle);
    assert_eq!(slot.state(now + s(99)), SlotState::Empty);
}

#[test]
fn a_token_first_used_late_in_its_life_is_renewed_before_its_end() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    slot.next(false, now + s(80));
    assert_eq!(slot.next(true, now + s(90)), Next::Fetch(Purpose::Ahead));
}

#[test]
fn the_same_token_again_halves_the_way_and_stops_at_three_calls_a_life() {
    let now = Instant::now();
    let mut slot = fresh(s(1000), now);
    let mut calls = 1;
    let mut at = now;
    while at < now + s(1000) {
        match slot.next(true, at) {
            Next::Fetch(_) => {
                calls += 1;
                let left = now + s(1000) - at;
                slot.fetched(same(at, left), at, 0.0);
            }
            Next::Sleep(until) => at = until,
            Next::Expired => {}
            Next::Idle => break,
        }
    }
    assert_eq!(calls, 3);
    // At the true end, not before, the next one is asked for.
    assert_eq!(at, now + s(1000));
    assert_eq!(slot.next(true, at), Next::Fetch(Purpose::Cold));
}

#[test]
fn the_last_moments_of_a_repeated_token_cause_no_more_than_one_call_a_second() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    for left in [s(50), Duration::from_millis(100)] {
        slot.force(now);
        assert!(matches!(slot.next(true, now), Next::Fetch(_)));
        slot.fetched(same(now, left), now, 0.0);
    }
    let end = now + Duration::from_millis(95);
    assert_eq!(slot.next(true, end), Next::Expired);
    assert_eq!(slot.next(false, end), Next::Sleep(now + s(1)));
}

#[test]
fn dead_on_arrival_is_tried_once_more_after_a_second_and_then_fails() {
    let now = Instant::now();
    let mut slot = Life::new(true);
    slot.want(now);
    slot.next(false, now);
    assert_eq!(
        slot.fetched(token(now - s(5), s(2)), now, 0.0),
        Settled::Stillborn
    );
    assert_eq!(slot.next(false, now), Next::Sleep(now + s(1)));
    let later = now + s(1);
    assert_eq!(slot.next(false, later), Next::Fetch(Purpose::Cold));
    assert_eq!(
        slot.fetched(token(later - s(5), s(2)), later, 0.0),
        Settled::NeverAlive
    );
    assert!(matches!(slot.want(later), Want::Failed { .. }));
}

#[test]
fn a_failure_while_a_token_is_valid_is_retried_and_nobody_notices() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    slot.next(true, now + s(80));
    slot.fetched(TRANSIENT, now + s(80), 0.0);
    assert!(slot.leasable(now + s(80)));
    assert_eq!(slot.want(now + s(80)), Want::Ready);
    assert_eq!(slot.next(true, now + s(80)), Next::Sleep(now + s(81)));
    assert_eq!(slot.next(true, now + s(81)), Next::Fetch(Purpose::Ahead));
}

#[test]
fn a_cold_slot_in_trouble_answers_at_once_with_the_time_of_the_next_attempt() {
    let now = Instant::now();
    let mut slot = Life::new(true);
    slot.want(now);
    slot.next(false, now);
    slot.fetched(Answer::Failed(Retry::Permanent), now, 0.0);
    assert_eq!(slot.want(now + s(10)), Want::Failed { retry_in: s(20) });
    // Somebody asked, so the probe needs no request to start it.
    assert_eq!(slot.next(false, now + s(10)), Next::Sleep(now + s(30)));
    assert_eq!(slot.next(false, now + s(30)), Next::Fetch(Purpose::Cold));
}

#[test]
fn a_used_token_that_ends_while_the_endpoint_is_down_is_asked_for_at_the_next_attempt() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    slot.next(true, now + s(80));
    slot.fetched(Answer::Failed(Retry::Permanent), now + s(80), 0.0);
    assert_eq!(slot.next(true, now + s(99)), Next::Expired);
    assert_eq!(slot.next(false, now + s(99)), Next::Sleep(now + s(110)));
    assert_eq!(slot.next(false, now + s(110)), Next::Fetch(Purpose::Cold));
}

#[test]
fn a_token_that_ends_before_the_next_call_may_be_made_ends_on_time() {
    let now = Instant::now();
    let ms = Duration::from_millis;
    let mut slot = fresh(ms(500), now);
    assert_eq!(slot.next(true, now + ms(400)), Next::Sleep(now + ms(475)));
    assert_eq!(slot.next(true, now + ms(475)), Next::Expired);
    assert_eq!(slot.next(false, now + ms(475)), Next::Sleep(now + s(1)));
}

#[test]
fn nobody_asking_means_no_probes() {
    let now = Instant::now();
    let mut slot = Life::new(true);
    slot.want(now);
    slot.next(false, now);
    slot.fetched(TRANSIENT, now, 0.0);
    assert_eq!(slot.next(false, now + s(9)), Next::Idle);
}

#[test]
fn an_accepted_token_that_is_refused_is_withheld_and_replaced_once() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    assert_eq!(slot.reject(1, true, now), Refusal::Withheld);
    for _ in 0..99 {
        assert_eq!(slot.reject(1, true, now), Refusal::Known);
    }
    assert!(!slot.leasable(now));
    assert_eq!(slot.next(true, now), Next::Fetch(Purpose::Refused));
    assert_eq!(slot.want(now), Want::Wait(2));
    slot.fetched(token(now, s(100)), now, 0.0);
    assert!(slot.leasable(now));
    assert_eq!(
        slot.reject(1, true, now),
        Refusal::Known,
        "a newer one is left alone"
    );
    assert!(slot.leasable(now));
}

#[test]
fn a_replacement_that_is_refused_unproven_cools_down_doubling() {
    let mut now = Instant::now();
    let mut slot = fresh(s(10_000), now);
    slot.reject(1, true, now);
    for (generation, cooling) in [(2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 32), (8, 60)] {
        assert_eq!(slot.next(true, now), Next::Fetch(Purpose::Refused));
        slot.fetched(token(now, s(10_000)), now, 0.0);
        assert_eq!(slot.reject(generation, false, now), Refusal::Cooling);
        assert_eq!(slot.state(now), SlotState::CoolingDown);
        assert!(slot.leasable(now));
        now += s(cooling) - Duration::from_millis(1);
        assert_eq!(slot.reject(generation, false, now), Refusal::Cooling);
        assert!(matches!(slot.next(true, now), Next::Sleep(_)));
        now += Duration::from_millis(1);
        assert_eq!(slot.reject(generation, false, now), Refusal::Withheld);
    }
}

#[test]
fn an_acceptance_ends_the_doubling() {
    let now = Instant::now();
    let mut slot = fresh(s(1000), now);
    slot.reject(1, true, now);
    slot.next(true, now);
    slot.fetched(token(now, s(1000)), now, 0.0);
    assert_eq!(slot.reject(2, false, now), Refusal::Cooling);
    assert_eq!(slot.reject(2, true, now), Refusal::Withheld);
}

#[test]
fn a_renewal_that_brings_the_refused_token_counts_as_a_refusal() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    slot.reject(1, true, now);
    slot.next(true, now);
    assert!(matches!(
        slot.fetched(same(now, s(100)), now, 0.0),
        Settled::Same { .. }
    ));
    assert!(slot.leasable(now));
    assert_eq!(slot.reject(1, false, now), Refusal::Cooling);
    assert_eq!(slot.state(now), SlotState::CoolingDown);
}

#[test]
fn a_call_that_a_refusal_brought_forward_is_made_again_when_it_was_told() {
    let now = Instant::now();
    let ms = Duration::from_millis;
    let mut slot = fresh(ms(500), now);
    assert_eq!(slot.next(true, now + ms(400)), Next::Sleep(now + ms(475)));
    slot.reject(1, true, now + ms(400));
    assert_eq!(
        slot.next(true, now + ms(400)),
        Next::Fetch(Purpose::Refused)
    );
    let held = Retry::Held { after: ms(100) };
    slot.fetched(Answer::Failed(held), now + ms(400), 0.0);
    let told = now + ms(500);
    assert_eq!(slot.want(now + ms(480)), Want::Failed { retry_in: ms(20) });
    assert_eq!(slot.next(true, now + ms(480)), Next::Expired);
    assert_eq!(slot.next(false, now + ms(480)), Next::Sleep(told));
    assert!(matches!(slot.next(false, told), Next::Fetch(_)));
}

#[test]
fn a_refused_token_that_came_again_has_cooled_down_once() {
    let now = Instant::now();
    let mut slot = fresh(s(100), now);
    slot.reject(1, true, now);
    slot.next(true, now);
    slot.fetched(same(now, s(100)), now, 0.0);
    assert_eq!(slot.reject(1, false, now + s(1)), Refusal::Withheld);
}

#[test]
fn an_upstream_that_refuses_what_another_accepts_cannot_hammer_the_endpoint() {
    let start = Instant::now();
    let mut slot = fresh(s(100_000), start);
    let (mut calls, mut generation, mut now) = (0, 1, start);
    while now < start + s(600) {
        slot.reject(generation, true, now);
        if let Next::Fetch(_) = slot.next(true, now) {
            calls += 1;
            generation += 1;
            slot.fetched(token(now, s(100_000)), now, 0.0);
        }
        now += Duration::from_millis(10);
    }
    assert!((60..=71).contains(&calls), "{calls}");
}

#[test]
fn a_fixed_credential_is_never_renewed() {
    let now = Instant::now();
    let mut slot = Life::new(false);
    slot.want(now);
    slot.next(false, now);
    slot.fetched(
        Answer::Token {
            sent: now,
            life: None,
            same: false,
        },
        now,
        0.0,
    );
    assert_eq!(slot.reject(1, true, now), Refusal::Fixed);
    assert_eq!(slot.next(true, now + s(1_000_000)), Next::Idle);
    assert!(slot.leasable(now + s(1_000_000)));
}

#[test]
fn lives_of_a_second_and_of_a_month_roll_over_without_a_gap() {
    for (life, rounds) in [(s(1), 50), (s(30 * 86_400), 3)] {
        let start = Instant::now();
        let mut slot = fresh(life, start);
        let (mut now, mut calls) = (start, 0);
        while calls < rounds {
            match slot.next(true, now) {
                Next::Sleep(until) => now = until,
                Next::Fetch(purpose) => {
                    assert_eq!(purpose, Purpose::Ahead, "nobody waits");
                    calls += 1;
                    slot.fetched(token(now, life), now, 0.5);
                }
                other => panic!("{other:?}"),
            }
            assert!(slot.leasable(now));
        }
    }
}

#[test]
fn where_wrong_secrets_lock_an_account_probes_keep_their_distance() {
    let mut slot = Life::new(true);
    slot.probe_after(s(1200));
    let start = Instant::now();
    let mut now = start;
    let mut probes = 0;
    while now < start + s(3 * 3600) {
        let _ = slot.want(now);
        if matches!(slot.next(true, now), Next::Fetch(_)) {
            probes += 1;
            slot.fetched(Answer::Failed(Retry::Permanent), now, 0.0);
        }
        now += s(1);
    }
    assert_eq!(probes, 9, "three an hour");
}
