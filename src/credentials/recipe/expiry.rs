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
            .ok_or_else(|| FetchError::malformed("this is no number"))
    };
    let seconds = match kind {
        ExpiryKind::None => return Ok(None),
        ExpiryKind::Seconds => number()?,
        ExpiryKind::Millis => number()? / 1000.0,
        ExpiryKind::EpochSeconds => number()? - now,
        ExpiryKind::EpochMillis => number()? / 1000.0 - now,
        ExpiryKind::Rfc3339 => {
            moment(text).ok_or_else(|| FetchError::malformed("this is no date"))? - now
        }
        ExpiryKind::JwtExp => return token_response::jwt_life(text, date.unwrap_or(wall)),
    };
    token_response::alive(token_response::from_seconds(seconds)).map(Some)
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
