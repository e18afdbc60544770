//! Moments as RFC 3339 writes them: `2026-11-22T20:15:00Z`, with fractions and offsets.

use std::time::Duration;

/// The time since 1970 of such a text; none for anything else, and for moments before.
pub(crate) fn read(text: &str) -> Option<Duration> {
    let bytes = text.trim().as_bytes();
    let date = [
        number(bytes, 0..4)?,
        number(bytes, 5..7)?,
        number(bytes, 8..10)?,
    ];
    let time = [
        number(bytes, 11..13)?,
        number(bytes, 14..16)?,
        number(bytes, 17..19)?,
    ];
    let framed = bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't' | b' ')
        && bytes[13] == b':'
        && bytes[16] == b':';
    let [year, month, day] = date;
    let [hour, minute, second] = time;
    let real = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second.
        && second <= 60;
    if !framed || !real {
        return None;
    }
    let (nanos, rest) = fraction(&bytes[19..])?;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        - offset(rest)?;
    let whole = u64::try_from(seconds).ok()?;
    Some(Duration::new(whole, nanos))
}

/// The text of a moment, in UTC and whole seconds.
pub(crate) fn write(unix: Duration) -> String {
    let seconds = unix.as_secs();
    // Days since 1970 to a date, by eras of 400 years that begin in March.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn number(bytes: &[u8], range: std::ops::Range<usize>) -> Option<i64> {
    let digits = bytes.get(range)?;
    digits.iter().try_fold(0, |sum, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(sum * 10 + i64::from(digit))
    })
}

/// `.123` and what follows; digits beyond nanoseconds are dropped.
fn fraction(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b".") else {
        return Some((0, bytes));
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(count);
    let kept = (0..9).fold(0, |sum, at| {
        sum * 10 + digits.get(at).map_or(0, |digit| u32::from(digit - b'0'))
    });
    (count > 0).then_some((kept, rest))
}

/// Seconds east of Greenwich.
fn offset(bytes: &[u8]) -> Option<i64> {
    if matches!(bytes, b"Z" | b"z") {
        return Some(0);
    }
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(bytes, 1..3)?, number(bytes, 4..6)?);
    let fine = bytes.len() == 6 && bytes[3] == b':' && hours < 24 && minutes < 60;
    fine.then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days before this one since 1970-01-01, in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 306 + 5) / 10 + day - 1 - 719_468
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T20:15:00Z", 1_795_378_500),
            ("2026-11-22t20:15:00z", 1_795_378_500),
            ("2026-11-22 21:15:00+01:00", 1_795_378_500),
            ("2026-11-22T14:45:00-05:30", 1_795_378_500),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(read(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        let fine = read("1970-01-01T00:00:01.2345678912Z");
        assert_eq!(fine, Some(Duration::new(1, 234_567_891)));
    }

    #[test]
    fn moments_are_written() {
        for (unix, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_743_426_737, "2025-03-31T13:12:17Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(write(Duration::from_secs(unix)), date);
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T20:15:00",
            "2026-11-22T20:15Z",
            "2026-13-22T20:15:00Z",
            "2026-02-30T20:15:00Z",
            "2100-02-29T20:15:00Z",
            "2026-11-22T24:15:00Z",
            "2026-11-22T20:60:00Z",
            "2026-11-22T20:15:00.Z",
            "2026-11-22T20:15:00+1:00",
            "2026-11-22T20:15:00+01:00x",
            "2026/11/22T20:15:00Z",
            "1969-12-31T23:59:59Z",
            "1795378500",
            "2026-11-22T20:15:  Z",
            "-999-11-22T20:15:00Z",
            "äöüäöüäöüäöüäöü",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
