//! When what a recipe made ends, by every kind of number and date, against the vendor's clock.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::{clock, credentials::FailureKind};

/// 2026-11-22T18:00:00Z, and the same as the vendor's `Date`.
const NOW: u64 = 1_795_370_400;
const DATE: &str = "Date: Sun, 22 Nov 2026 18:00:00 GMT\r\n";

/// The life of a token whose `end` is this JSON, read as `kind`.
async fn life(kind: &str, end: &str, headers: &str) -> Result<Option<Duration>, FetchError> {
    let headers = format!("Content-Type: application/json\r\n{headers}");
    let body = format!(r#"{{"token":"t","end":{end}}}"#);
    let vendor = Vendor::start(move |_| answer("200 OK", &headers, &body)).await;
    let recipe = format!(
        "{{ steps: [{{ name: s, request: {{ url: VENDOR/ }}, capture: {{ token: {{ json: /token }}, end: {{ json: /end, optional: true }} }} }}], \
         expires: {{ from: '{{{{ s.end }}}}', kind: {kind} }}, outputs: {{ token: '{{{{ s.token }}}}' }} }}"
    );
    vendor
        .obtain(&recipe)
        .await
        .map(|credential| credential.life)
}

fn jwt(claims: &str) -> String {
    format!("\"h.{}.s\"", URL_SAFE_NO_PAD.encode(claims))
}

#[tokio::test]
async fn every_kind_of_end_is_measured_by_the_vendors_clock() {
    let exp = jwt(&format!(r#"{{"exp":{}}}"#, NOW + 60));
    let (epoch, millis) = ((NOW + 60).to_string(), format!("{}500", NOW + 60));
    for (kind, end, expected) in [
        ("seconds", "60", s(60)),
        ("seconds", "60.0", s(60)),
        ("seconds", "59.5", Duration::from_millis(59_500)),
        ("seconds", "\"60\"", s(60)),
        ("seconds", "\" 60.0 \"", s(60)),
        ("seconds", "6e1", s(60)),
        ("millis", "60000", s(60)),
        ("millis", "\"60500\"", Duration::from_millis(60_500)),
        ("epoch_s", &epoch, s(60)),
        ("epoch_s", &format!("\"{epoch}\""), s(60)),
        ("epoch_ms", &millis, Duration::from_millis(60_500)),
        ("rfc3339", "\"2026-11-22T18:01:00Z\"", s(60)),
        ("rfc3339", "\"2026-11-22T18:01:00\"", s(60)),
        ("rfc3339", "\"2026-11-22T11:01:00-07:00\"", s(60)),
        (
            "rfc3339",
            "\"2026-11-22T23:31:00.5+05:30\"",
            Duration::from_millis(60_500),
        ),
        ("jwt_exp", &exp, s(60)),
    ] {
        let found = life(kind, end, DATE).await.expect(end).expect(end);
        let off = found.abs_diff(expected);
        assert!(off < Duration::from_millis(1), "{kind} {end}: {found:?}");
    }
    assert_eq!(life("none", "60", DATE).await.unwrap(), None);
}

#[tokio::test]
async fn an_end_that_is_not_told_is_an_hour_away() {
    for (kind, end) in [
        ("seconds", "null"),
        ("rfc3339", "null"),
        ("jwt_exp", "\"opaque\""),
        ("jwt_exp", "\"a.b\""),
        ("jwt_exp", "\"a.!.c\""),
        ("jwt_exp", &jwt("{}")),
        ("jwt_exp", &jwt(r#"{"exp":"soon"}"#)),
    ] {
        assert_eq!(
            life(kind, end, DATE).await.expect(end),
            Some(s(3600)),
            "{end}"
        );
    }
}

#[tokio::test]
async fn what_is_no_end_or_is_over_is_malformed() {
    let over = jwt(&format!(r#"{{"exp":{}}}"#, NOW - 1));
    for (kind, end) in [
        ("seconds", "0"),
        ("seconds", "-1"),
        ("seconds", "1e-300"),
        ("seconds", "\"\""),
        ("seconds", "\"soon\""),
        ("seconds", "\"NaN\""),
        ("seconds", "\"inf\""),
        ("seconds", "\"1e999\""),
        ("seconds", "\"0x10\""),
        ("seconds", "true"),
        ("seconds", "[\"60\",\"61\"]"),
        ("millis", "0.0"),
        ("epoch_s", "60"),
        ("epoch_ms", &(NOW + 60).to_string()),
        ("rfc3339", "\"2026-11-22T18:00:00Z\""),
        ("rfc3339", "\"1969-01-01T00:00:00Z\""),
        ("rfc3339", "\"2026-02-30T18:00:00Z\""),
        ("rfc3339", "1795370460"),
        ("jwt_exp", &over),
    ] {
        let error = life(kind, end, DATE).await.expect_err(end);
        assert_eq!(error.kind, FailureKind::Malformed, "{end}");
        assert!(
            error.detail.starts_with("`expires.from`: "),
            "{end}: {error}"
        );
    }
}

#[tokio::test]
async fn no_end_is_farther_than_a_year() {
    for (kind, end) in [
        ("seconds", "1e300"),
        ("seconds", "18446744073709551616"),
        ("millis", "1e308"),
        ("epoch_s", "1e18"),
        ("rfc3339", "\"9999-12-31T23:59:59Z\""),
        ("jwt_exp", &jwt(r#"{"exp":1e300}"#)),
    ] {
        let year = Some(s(366 * 86_400));
        assert_eq!(life(kind, end, DATE).await.expect(end), year, "{end}");
    }
}

#[tokio::test]
async fn without_a_date_that_can_be_read_our_own_clock_counts() {
    let end = (clock::unix_time().as_secs() + 3600).to_string();
    for date in ["", "Date: yesterday\r\n", "Date: \r\n"] {
        let life = life("epoch_s", &end, date).await.unwrap().unwrap();
        assert!(life <= s(3600) && life > s(3590), "{date}: {life:?}");
    }
}

#[tokio::test]
async fn a_vendor_whose_clock_is_years_off_is_taken_by_its_own() {
    for (date, end) in [
        (
            "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
            "\"1970-01-01T00:01:00Z\"",
        ),
        (
            "Date: Fri, 31 Dec 9999 23:58:00 GMT\r\n",
            "\"9999-12-31T23:59:00Z\"",
        ),
    ] {
        assert_eq!(life("rfc3339", end, date).await.expect(end), Some(s(60)));
    }
}

#[tokio::test]
async fn the_longest_life_that_is_believed_can_be_said() {
    let vendor = Vendor::saying(r#"{"token":"t","end":86400}"#).await;
    for (expires, life) in [
        ("{ from: '{{ s.end }}', max: 1m }", Some(s(60))),
        ("{ from: '{{ s.end }}', max: 2d }", Some(s(86_400))),
        ("{ max: 1m }", Some(s(60))),
        ("{ default: 5m }", Some(s(300))),
        ("{ default: none }", None),
        ("{ default: none, max: 1m }", Some(s(60))),
        ("{ kind: none }", None),
    ] {
        let recipe = format!(
            "{{ steps: [{{ name: s, request: {{ url: VENDOR/ }}, capture: {{ token: {{ json: /token }}, end: {{ json: /end }} }} }}], \
             expires: {expires}, outputs: {{ token: '{{{{ s.token }}}}' }} }}"
        );
        let credential = vendor.obtain(&recipe).await.expect(expires);
        assert_eq!(credential.life, life, "{expires}");
    }
}
