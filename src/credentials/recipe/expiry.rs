//! When what a recipe made ends: every kind of number and date that vendors answer with.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, header::DATE};

use crate::credentials::{FetchError, rfc3339, token_response};

crate::config_words! {
    /// What `from` holds.
    pub enum ExpiryKind {
        /// Seconds from now: a number, also as text or with a fraction.
        Seconds = "seconds",
        /// Milliseconds from now.
        Millis = "millis",
        /// Seconds since 1970.
        EpochSeconds = "epoch_s",
        /// Milliseconds since 1970.
        EpochMillis = "epoch_ms",
        /// A date such as `2026-11-22T18:00:00Z`; without an offset it is UTC.
        Rfc3339 = "rfc3339",
        /// A JWT, whose `exp` counts.
        JwtExp = "jwt_exp",
        /// No end: it is used until it is refused.
        None = "none",
    }
}

/// The life that `text` speaks of, from the moment that the request was sent; none where it speaks of none.
///
/// What is absolute is compared with the vendor's own clock, where the answer has a `Date`.
pub(super) fn life(
    kind: ExpiryKind,
    text: &str,
    date: Option<Duration>,
    wall: Duration,
) -> Result<Option<Duration>, FetchError> {
    let now = date.unwrap_or(wall).as_secs_f64();
    let text = text.trim();
    let number = || {
        let number: Option<f64> = text.parse().ok();
        number
            .filter(|number| number.is_finite())
            .ok_or_else(|| FetchError::malformed("`expires`: this is no number"))
    };
    let seconds = match kind {
        ExpiryKind::None => return Ok(None),
        ExpiryKind::Seconds => number()?,
        ExpiryKind::Millis => number()? / 1000.0,
        ExpiryKind::EpochSeconds => number()? - now,
        ExpiryKind::EpochMillis => number()? / 1000.0 - now,
        ExpiryKind::Rfc3339 => {
            moment(text).ok_or_else(|| FetchError::malformed("`expires`: this is no date"))? - now
        }
        ExpiryKind::JwtExp => return token_response::jwt_life(text, date.unwrap_or(wall)),
    };
    if seconds <= 0.0 {
        return Err(FetchError::malformed("it had expired when it arrived"));
    }
    Ok(Some(Duration::from_secs_f64(seconds.min(LONGEST))))
}

/// The vendor's clock, from the answer's `Date`.
pub(super) fn date(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(UNIX_EPOCH).ok()
}

/// Without an offset it is UTC, as most vendors mean it.
fn moment(text: &str) -> Option<f64> {
    let moment = rfc3339::read(text).or_else(|| rfc3339::read(&format!("{text}Z")))?;
    Some(moment.as_secs_f64())
}

/// A year: far beyond any renewal.
const LONGEST: f64 = 366.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn of(kind: ExpiryKind, text: &str) -> Option<Duration> {
        // 2026-11-22T18:00:00Z
        life(kind, text, None, s(1_795_370_400)).expect(text)
    }

    #[test]
    fn every_kind_of_end_is_understood() {
        assert_eq!(of(ExpiryKind::Seconds, "3600"), Some(s(3600)));
        assert_eq!(
            of(ExpiryKind::Seconds, " 86399.5 "),
            Some(Duration::from_millis(86_399_500))
        );
        assert_eq!(
            of(ExpiryKind::Millis, "1500"),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(of(ExpiryKind::EpochSeconds, "1795370460"), Some(s(60)));
        assert_eq!(of(ExpiryKind::EpochMillis, "1795370460000"), Some(s(60)));
        assert_eq!(of(ExpiryKind::Rfc3339, "2026-11-22T18:01:00Z"), Some(s(60)));
        assert_eq!(
            of(ExpiryKind::Rfc3339, "2026-11-22T11:01:00.000-07:00"),
            Some(s(60))
        );
        assert_eq!(of(ExpiryKind::Rfc3339, "2026-11-22T18:01:00"), Some(s(60)));
        assert_eq!(of(ExpiryKind::None, "whatever"), None);
        assert_eq!(of(ExpiryKind::JwtExp, "opaque"), None);
    }

    #[test]
    fn dates_are_measured_by_the_vendors_clock() {
        let skewed = Some(s(1_795_370_400 - 600));
        let life = life(
            ExpiryKind::Rfc3339,
            "2026-11-22T18:00:00Z",
            skewed,
            s(1_795_370_400),
        );
        assert_eq!(life.unwrap(), Some(s(600)));
    }

    #[test]
    fn what_is_over_or_no_time_is_an_error() {
        for (kind, text) in [
            (ExpiryKind::Seconds, "0"),
            (ExpiryKind::Seconds, "soon"),
            (ExpiryKind::Seconds, "NaN"),
            (ExpiryKind::Rfc3339, "2026-11-22T17:59:00Z"),
            (ExpiryKind::Rfc3339, "tomorrow"),
            (ExpiryKind::EpochSeconds, "60"),
        ] {
            assert!(life(kind, text, None, s(1_795_370_400)).is_err(), "{text}");
        }
    }
}
