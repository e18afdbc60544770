//! How long to wait between token calls: ahead of an end, after failures, after refusals. Pure arithmetic.

use std::time::Duration;

use super::Retry;

/// What is kept back of a life for the flight of a request: min(1 s, 5 % of the life).
pub(crate) fn margin(life: Duration) -> Duration {
    (life / 20).min(Duration::from_secs(1))
}

/// When in its life a used credential is renewed: at 80 % less up to 10 % of jitter, and at the
/// latest min(60 s, 10 %) before the end. `dice` is in 0..1.
pub(crate) fn renew_after(life: Duration, dice: f64) -> Duration {
    life.mul_f64(0.8 - 0.1 * dice).min(latest_renewal(life))
}

/// The last good moment for a renewal.
pub(crate) fn latest_renewal(life: Duration) -> Duration {
    life - (life / 10).min(Duration::from_secs(60))
}

/// The pause after the `failures`th failure of one class in a row (1 for the first).
pub(crate) fn pause(retry: Retry, failures: u32, dice: f64) -> Duration {
    match retry {
        Retry::Transient { after } => {
            let step = doubled(TRANSIENT_FLOOR, failures, Duration::from_secs(60));
            heeding(after, step, dice)
        }
        // All that were held do not come at once.
        Retry::Held { after } => after + TRANSIENT_FLOOR.mul_f64(dice),
        Retry::Permanent => doubled(Duration::from_secs(30), failures, LONGEST),
    }
}

/// The `pauses`th pause in a row of an endpoint that fails whoever calls it.
///
/// Shorter than those of a single credential, which it then finds over.
pub(crate) fn endpoint_pause(after: Option<Duration>, pauses: u32, dice: f64) -> Duration {
    let step = doubled(TRANSIENT_FLOOR, pauses, Duration::from_secs(30));
    heeding(after, step, dice)
}

/// Some time up to `step`, and not before the endpoint's own Retry-After.
fn heeding(after: Option<Duration>, step: Duration, dice: f64) -> Duration {
    // Full jitter over everything above the floor: at most one call a second, whatever the load.
    let jittered = TRANSIENT_FLOOR + (step - TRANSIENT_FLOOR).mul_f64(dice);
    jittered.max(after.unwrap_or_default().min(LONGEST))
}

/// How long a slot cools down after its `refusals`th refused unproven credential in a row.
pub(crate) fn cool_down(refusals: u32) -> Duration {
    doubled(Duration::from_secs(1), refusals, Duration::from_secs(60))
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(most)
}

const TRANSIENT_FLOOR: Duration = Duration::from_secs(1);

/// No Retry-After and no probe is further away, so that a slip of a server is not an outage of a day.
const LONGEST: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_margin_is_a_second_or_a_twentieth() {
        assert_eq!(margin(s(3600)), s(1));
        assert_eq!(margin(s(1)), Duration::from_millis(50));
    }

    #[test]
    fn renewal_lies_between_seven_and_eight_tenths() {
        for life in [s(1), s(300), s(3600), s(30 * 86_400)] {
            assert_eq!(renew_after(life, 0.0), life.mul_f64(0.8));
            assert!(renew_after(life, 0.999_999) >= life.mul_f64(0.7));
            assert!(renew_after(life, 0.0) <= latest_renewal(life));
        }
        assert_eq!(latest_renewal(s(3600)), s(3540));
    }

    #[test]
    fn transient_failures_back_off_from_a_second_to_a_minute() {
        let retry = Retry::Transient { after: None };
        assert_eq!(pause(retry, 1, 0.9), s(1));
        assert_eq!(pause(retry, 3, 0.0), s(1));
        assert_eq!(pause(retry, 3, 1.0), s(4));
        assert_eq!(pause(retry, 40, 1.0), s(60));
    }

    #[test]
    fn retry_after_is_heeded_up_to_a_cap() {
        assert_eq!(
            pause(Retry::Transient { after: Some(s(20)) }, 1, 0.5),
            s(20)
        );
        assert_eq!(
            pause(
                Retry::Transient {
                    after: Some(s(86_400))
                },
                1,
                0.5
            ),
            s(900)
        );
        assert_eq!(pause(Retry::Transient { after: Some(s(0)) }, 1, 0.5), s(1));
    }

    #[test]
    fn permanent_failures_are_probed_at_thirty_seconds_doubling_to_a_quarter_hour() {
        let probes: Vec<_> = (1..8)
            .map(|n| pause(Retry::Permanent, n, 0.3).as_secs())
            .collect();
        assert_eq!(probes, [30, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn cooling_doubles_to_a_minute() {
        let steps: Vec<_> = (1..9).map(|n| cool_down(n).as_secs()).collect();
        assert_eq!(steps, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
