//! Months of traffic in paused time: what it costs the token endpoint, and who waits.

use std::time::Duration;

use tokio::time::sleep;

use super::fake::{Fake, Step};
use crate::{
    clock,
    credentials::{FailureKind, Retry},
};

const DAYS: u32 = 60;
const DAY: Duration = Duration::from_secs(86_400);
const LIFE: Duration = Duration::from_secs(3600);

/// Renewed between 70 % and 80 % of its life.
const INTERVAL: f64 = 0.75 * 3600.0;

#[tokio::test(start_paused = true)]
async fn sixty_days_of_hourly_tokens_make_nobody_wait_and_cost_one_call_a_renewal() {
    // Half a second for a call, and one in ten fails.
    let source = Fake::new(Duration::from_millis(500), |n| match n % 10 {
        0 => Step::Fail(FailureKind::Failing, Retry::Transient { after: None }),
        _ => Step::Token(format!("t{n}"), LIFE),
    });
    let slot = source.slot();
    let wait = Duration::from_secs(10);
    slot.lease(wait).await.unwrap();
    let (began, mut requests) = (clock::now(), 0_u64);
    while began.elapsed() < DAY * DAYS {
        sleep(Duration::from_secs(20)).await;
        let lease = slot.try_lease();
        assert!(
            lease.is_some(),
            "a request had to wait after {:?}",
            began.elapsed()
        );
        requests += 1;
    }
    let counters = slot.view().counters;
    assert_eq!(counters.waits, 1, "the first one alone waited");
    assert_eq!(counters.uses, requests + 1);
    let renewals = f64::from(DAYS) * DAY.as_secs_f64() / INTERVAL;
    let issued = counters.fetches as f64;
    assert!(
        issued <= 1.02 * renewals,
        "{issued} issued, {renewals} renewals are due"
    );
    assert!(
        issued >= 0.9 * renewals,
        "{issued} issued: was it traffic at all?"
    );
    assert!(
        counters.failures > 200,
        "{} calls failed",
        counters.failures
    );
}
