//! What a program prints: a bare token, or JSON with a token and its end.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    FetchError, rfc3339,
    token_response::{jwt_life, usable_token},
};
use crate::secret::Secret;

/// The token and how long it lives, where that is known; `wall` is the time since 1970.
///
/// # Errors
/// Malformed; the text is never repeated.
pub(super) fn read(bytes: &[u8], wall: Duration) -> Result<(Secret, Option<Duration>), FetchError> {
    let text = std::str::from_utf8(bytes.trim_ascii())
        .map_err(|_| FetchError::malformed("what it printed is not UTF-8"))?;
    if text.is_empty() {
        return Err(FetchError::malformed("it printed nothing"));
    }
    let (token, life) = if text.starts_with('{') {
        of_json(text, wall)?
    } else {
        (usable_token(text.into())?, None)
    };
    let life = match life {
        Some(life) => Some(life),
        None => jwt_life(token.expose(), wall)?,
    };
    Ok((token, life))
}

#[derive(Deserialize)]
struct Printed<'a> {
    #[serde(borrow)]
    access_token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    expires_in: Option<Value>,
    expires_at: Option<String>,
    expiration: Option<String>,
}

fn of_json(text: &str, wall: Duration) -> Result<(Secret, Option<Duration>), FetchError> {
    let printed: Printed<'_> = serde_json::from_str(text).map_err(|_| {
        FetchError::malformed("it printed JSON with fields of another type than expected, or none")
    })?;
    let token = match (printed.access_token, printed.token) {
        (Some(token), None) | (None, Some(token)) => usable_token(token)?,
        (Some(_), Some(_)) => {
            return Err(FetchError::malformed(
                "it printed both `access_token` and `token`",
            ));
        }
        (None, None) => {
            return Err(FetchError::malformed(
                "it printed JSON without `access_token` or `token`",
            ));
        }
    };
    let at = printed.expires_at.or(printed.expiration);
    let life = match (printed.expires_in, at) {
        (None | Some(Value::Null), None) => return Ok((token, None)),
        (Some(seconds), _) => seconds_of(&seconds)
            .ok_or_else(|| FetchError::malformed("its `expires_in` is no number of seconds"))?,
        (None, Some(at)) => rfc3339::read(&at)
            .map(|at| at.saturating_sub(wall))
            .ok_or_else(|| FetchError::malformed("its `expires_at` is no RFC 3339 time"))?,
    };
    if life.is_zero() {
        return Err(FetchError::malformed("the token it printed has expired"));
    }
    Ok((token, Some(life.min(LONGEST_LIFE))))
}

fn seconds_of(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_LIFE.as_secs_f64())).ok()
}

/// A year: far beyond any renewal, far below what overflows a clock.
const LONGEST_LIFE: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(1_795_378_500);

    fn life(text: &str) -> Option<u64> {
        let (token, life) = read(text.as_bytes(), WALL).expect(text);
        assert_eq!(token.expose(), "t0k");
        life.map(|life| life.as_secs())
    }

    #[test]
    fn a_bare_token_or_json() {
        assert_eq!(life("t0k\n"), None);
        assert_eq!(life(r#"{"token":"t0k"}"#), None);
        assert_eq!(life(r#"{"access_token":"t0k","expires_in":60}"#), Some(60));
        assert_eq!(
            life(r#"{"access_token":"t0k","expires_in":"60"}"#),
            Some(60)
        );
        for key in ["expires_at", "expiration"] {
            let text = format!(r#"{{"token":"t0k","{key}":"2026-11-22T20:16:00Z"}}"#);
            assert_eq!(life(&text), Some(60));
        }
        assert_eq!(
            life(r#"{"token":"t0k","expires_in":1e300}"#),
            Some(366 * 86_400)
        );
    }

    #[test]
    fn what_is_no_token_is_told_without_its_text() {
        for text in [
            "",
            "hunter2 hunter2",
            "{hunter2}",
            r#"{"password":"hunter2"}"#,
            r#"{"token":7}"#,
            r#"{"token":"hunter2","access_token":"hunter2"}"#,
            r#"{"token":"hunter2","expires_in":"soon"}"#,
            r#"{"token":"hunter2","expires_in":0}"#,
            r#"{"token":"hunter2","expires_in":-5}"#,
            r#"{"token":"hunter2","expires_at":"tomorrow"}"#,
            r#"{"token":"hunter2","expiration":"2026-11-22T20:14:00Z"}"#,
        ] {
            let error = read(text.as_bytes(), WALL).expect_err(text);
            assert!(!error.detail.contains("hunter2"), "{error}");
        }
    }
}
