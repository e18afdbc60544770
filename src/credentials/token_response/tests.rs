use http::header::RETRY_AFTER;

use super::*;
use crate::credentials::Retry;

const WALL: Duration = Duration::from_secs(1_800_000_000);

fn ok(body: &str) -> TokenResponse {
    read(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), WALL).expect(body)
}

fn err(status: u16, body: &str) -> FetchError {
    let status = StatusCode::from_u16(status).unwrap();
    read(status, &HeaderMap::new(), body.as_bytes(), WALL).expect_err(body)
}

fn life(expires_in: &str) -> Option<Duration> {
    ok(&format!(
        r#"{{"access_token":"t","expires_in":{expires_in}}}"#
    ))
    .life
}

fn jwt(payload: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(payload))
}

#[test]
fn the_standard_answer_is_understood() {
    let token = ok(
        r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600,"refresh_token":"tGzv3","scope":"a b","example":{"x":[1]}}"#,
    );
    assert_eq!(token.access_token.expose(), "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(token.life, Some(Duration::from_secs(3600)));
    assert_eq!(token.refresh_token.unwrap().expose(), "tGzv3");
    assert_eq!(token.scope.unwrap(), "a b");
}

#[test]
fn expires_in_is_taken_as_number_text_and_float() {
    let hour = Some(Duration::from_secs(3600));
    for text in [
        "3600",
        r#""3600""#,
        "3600.0",
        r#""3600.0""#,
        r#"" 3600 ""#,
        "3.6e3",
    ] {
        assert_eq!(life(text), hour, "{text}");
    }
    assert_eq!(life("0.5"), Some(Duration::from_millis(500)));
    assert_eq!(life("null"), None);
    assert_eq!(ok(r#"{"access_token":"t"}"#).life, None);
}

#[test]
fn an_enormous_life_is_cut_to_a_year() {
    let year = Some(Duration::from_secs(366 * 86_400));
    for text in [
        "1e18",
        "2147483648000",
        "99999999999999999999",
        r#""1e300""#,
    ] {
        assert_eq!(life(text), year, "{text}");
    }
}

#[test]
fn zero_and_negative_lives_are_errors_that_pass_by_themselves() {
    for text in ["0", "-1", r#""0""#, "-1e18", "0.0"] {
        let error = err(
            200,
            &format!(r#"{{"access_token":"t","expires_in":{text}}}"#),
        );
        assert_eq!(error.kind, FailureKind::Malformed, "{text}");
        assert_eq!(error.retry, Retry::Transient { after: None });
    }
}

#[test]
fn what_is_no_number_is_no_life() {
    for text in [
        r#""soon""#,
        r#""""#,
        r#""NaN""#,
        r#""inf""#,
        "true",
        "[1]",
        "{}",
    ] {
        let error = err(
            200,
            &format!(r#"{{"access_token":"t","expires_in":{text}}}"#),
        );
        assert_eq!(error.kind, FailureKind::Malformed, "{text}");
    }
}

#[test]
fn camel_case_is_understood() {
    let token = ok(r#"{"accessToken":"t","expiresIn":86400,"tokenType":"bearer"}"#);
    assert_eq!(token.access_token.expose(), "t");
    assert_eq!(token.life, Some(Duration::from_secs(86_400)));
}

#[test]
fn two_tokens_are_one_too_many() {
    for body in [
        r#"{"access_token":"a","access_token":"b"}"#,
        r#"{"access_token":"a","accessToken":"b"}"#,
    ] {
        assert_eq!(err(200, body).detail, "two different tokens in one answer");
    }
}

#[test]
fn the_type_may_be_absent_or_in_any_case_but_must_be_bearer() {
    for fine in [
        "\"bearer\"",
        "\"BEARER\"",
        "\"BearerToken\"",
        "\"\"",
        "null",
    ] {
        ok(&format!(r#"{{"access_token":"t","token_type":{fine}}}"#));
    }
    for bad in ["\"mac\"", "1", "[\"Bearer\"]"] {
        let error = err(
            200,
            &format!(r#"{{"access_token":"t","token_type":{bad}}}"#),
        );
        assert_eq!(error.detail, "the token is not of type Bearer", "{bad}");
    }
}

#[test]
fn a_bound_token_that_was_not_asked_for_is_explained_and_one_that_was_is_taken() {
    let body = r#"{"access_token":"t","token_type":"DPoP"}"#;
    let error = err(200, body);
    assert!(error.detail.contains("say `dpop: true`"), "{error}");
    let (headers, wanted) = (HeaderMap::new(), TokenType::Dpop);
    assert!(read_whole(StatusCode::OK, &headers, body.as_bytes(), wanted, WALL).is_ok());
    let bearer = r#"{"access_token":"t","token_type":"Bearer"}"#;
    let error = read_whole(StatusCode::OK, &headers, bearer.as_bytes(), wanted, WALL).unwrap_err();
    assert_eq!(error.kind, FailureKind::Malformed);
    assert_eq!(error.retry, Retry::Permanent);
}

#[test]
fn an_answer_that_asks_for_a_nonce_is_a_refusal_with_that_very_code() {
    let asks = |status: u16, body: &str| {
        asks_nonce(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    };
    assert!(asks(400, r#"{"error":"use_dpop_nonce"}"#));
    assert!(asks(
        401,
        r#"{"error":"use_dpop_nonce","error_description":"x"}"#
    ));
    assert!(!asks(200, r#"{"error":"use_dpop_nonce"}"#));
    assert!(!asks(400, r#"{"error":"invalid_dpop_proof"}"#));
    assert!(!asks(400, r#"{"error":["use_dpop_nonce"]}"#));
    assert!(!asks(400, "use_dpop_nonce"));
}

#[test]
fn scope_may_be_a_list() {
    let scope = |text: &str| ok(&format!(r#"{{"access_token":"t","scope":{text}}}"#)).scope;
    assert_eq!(scope(r#"["a","b"]"#).unwrap(), "a b");
    assert_eq!(scope("\"\""), None);
    assert_eq!(scope("7"), None);
    assert_eq!(
        scope(r#""\u001b[31m""#),
        None,
        "nothing that writes on a terminal"
    );
}

#[test]
fn a_comma_before_a_bracket_is_forgiven() {
    let token = ok(
        "{\"access_token\":\"a,}b,]\\\",}\",\"expires_in\":\"3599\" ,\r\n }"
            .replace("\\\",}", "")
            .as_str(),
    );
    assert_eq!(token.access_token.expose(), "a,}b,]");
    assert_eq!(token.life, Some(Duration::from_secs(3599)));
    assert_eq!(
        ok(r#"{"access_token":"t","scope":["a",],}"#).scope.unwrap(),
        "a"
    );
    for bad in [
        r#"{"access_token":"t",,}"#,
        r#"{,}"#,
        r#"{"access_token":"t"},"#,
    ] {
        assert_eq!(err(200, bad).kind, FailureKind::Malformed, "{bad}");
    }
}

#[test]
fn commas_in_texts_with_escapes_stay() {
    let token = ok(r#"{"x":"\\\",}","access_token":"t\/u",}"#);
    assert_eq!(token.access_token.expose(), "t/u");
}

#[test]
fn what_is_not_json_is_named_and_not_quoted() {
    for (body, detail) in [
        ("", "the answer is empty"),
        ("  \n", "the answer is empty"),
        (
            "<!DOCTYPE html><p>s3cret",
            "the answer is HTML or XML, not JSON",
        ),
        ("\u{1f}", "the answer is not a JSON object"),
        ("[1]", "the answer is not a JSON object"),
        (
            "access_token=t&expires_in=3600",
            "the answer is not a JSON object",
        ),
        (
            "{\"access_token\":\"s3cret",
            "the answer is not well-formed JSON",
        ),
        (
            "{\"access_token\":\"t\",\"expires_in\":1e999}",
            "the answer is not well-formed JSON",
        ),
    ] {
        let error = err(200, body);
        assert_eq!(
            (error.kind, &*error.detail),
            (FailureKind::Malformed, detail),
            "{body}"
        );
    }
    let gzip = read(StatusCode::OK, &HeaderMap::new(), &[0x1f, 0x8b, 8, 0], WALL).unwrap_err();
    assert_eq!(
        gzip.detail,
        "the answer is compressed, which was not asked for"
    );
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let body = format!("{{\"error\":{}", "[".repeat(500_000));
    assert_eq!(err(200, &body).kind, FailureKind::Malformed);
    let body = format!("{{\"other\":{}", "{\"a\":".repeat(200_000));
    assert_eq!(err(200, &body).kind, FailureKind::Malformed);
}

#[test]
fn a_token_that_could_break_a_header_is_malformed() {
    for token in [
        r"a\r\nX: y",
        r"a\nb",
        r"a b",
        r"a\u0000",
        r"\u00e9",
        "",
        r"a\tb",
    ] {
        let error = err(200, &format!(r#"{{"access_token":"{token}"}}"#));
        assert_eq!(error.kind, FailureKind::Malformed, "{token}");
    }
    let sixteen = "a".repeat(16 * 1024);
    ok(&format!(r#"{{"access_token":"{sixteen}"}}"#));
    assert_eq!(
        err(200, &format!(r#"{{"access_token":"{sixteen}a"}}"#)).detail,
        "the token is longer than 16 KiB"
    );
    for not_text in ["1", "true", "{}", "[]"] {
        assert_eq!(
            err(200, &format!(r#"{{"access_token":{not_text}}}"#)).kind,
            FailureKind::Malformed
        );
    }
}

#[test]
fn a_life_that_nobody_tells_is_read_from_the_jwt() {
    let at = |exp: u64| {
        format!(
            r#"{{"access_token":"{}"}}"#,
            jwt(&format!(r#"{{"exp":{exp}}}"#))
        )
    };
    let wall = WALL.as_secs();
    assert_eq!(ok(&at(wall + 600)).life, Some(Duration::from_secs(600)));
    assert_eq!(err(200, &at(wall)).kind, FailureKind::Malformed);
    let without = format!(r#"{{"access_token":"{}"}}"#, jwt(r#"{"sub":"x"}"#));
    assert_eq!(ok(&without).life, None);
    assert_eq!(ok(r#"{"access_token":"a.%%.c"}"#).life, None);
    let both = format!(
        r#"{{"access_token":"{}","expires_in":60}}"#,
        jwt(r#"{"exp":1}"#)
    );
    assert_eq!(
        ok(&both).life,
        Some(Duration::from_secs(60)),
        "the answer's own word counts first"
    );
}

#[test]
fn the_codes_of_the_standard_are_permanent_or_not() {
    for code in [
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "invalid_scope",
    ] {
        for status in [200, 400, 401, 500] {
            let error = err(
                status,
                &format!(r#"{{"error":"{code}","error_description":"s3cret"}}"#),
            );
            assert_eq!(
                (error.kind, error.retry),
                (FailureKind::Rejected, Retry::Permanent)
            );
            assert_eq!(error.detail, format!("answered {status} with error {code}"));
        }
    }
    let error = err(400, r#"{"error":"temporarily_unavailable"}"#);
    assert_eq!(error.kind, FailureKind::Failing);
    assert_eq!(
        err(200, r#"{"error":"slow_down"}"#).kind,
        FailureKind::RateLimited
    );
}

#[test]
fn a_200_with_an_error_is_a_failure_even_beside_a_token() {
    let error = err(200, r#"{"error":"s3cret_code","access_token":"t"}"#);
    assert_eq!(
        (error.kind, &*error.detail),
        (FailureKind::Rejected, "answered 200 with an error")
    );
    ok(r#"{"error":null,"access_token":"t"}"#);
    ok(r#"{"error":"","access_token":"t"}"#);
    ok(r#"{"error":false,"access_token":"t"}"#);
    ok(r#"{"code":0,"access_token":"t"}"#);
}

#[test]
fn vendors_own_shapes_fall_into_the_same_kinds() {
    for (status, body, kind) in [
        (
            200,
            r#"{"code":401,"message":"bad"}"#,
            FailureKind::Rejected,
        ),
        (200, r#"{"code":"429"}"#, FailureKind::RateLimited),
        (
            200,
            r#"{"error":{"code":503,"message":"x"}}"#,
            FailureKind::Failing,
        ),
        (200, r#"{"message":"hello"}"#, FailureKind::Malformed),
        (
            400,
            r#"{"error":{"type":"x","message":"y"}}"#,
            FailureKind::Rejected,
        ),
        (401, "", FailureKind::Rejected),
        (401, "Unauthorized", FailureKind::Rejected),
        (
            403,
            r#"{"type":"about:blank","status":403}"#,
            FailureKind::Rejected,
        ),
        (404, "<html>", FailureKind::Rejected),
        (408, "", FailureKind::Timeout),
        (429, "", FailureKind::RateLimited),
        (500, "<html>", FailureKind::Failing),
        (503, "", FailureKind::Failing),
        (302, "", FailureKind::Redirect),
        (307, "", FailureKind::Redirect),
    ] {
        assert_eq!(err(status, body).kind, kind, "{status} {body}");
    }
}

#[test]
fn retry_after_is_read_as_seconds_and_as_a_date() {
    let after = |text: &str| {
        let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
        read(StatusCode::TOO_MANY_REQUESTS, &headers, b"", WALL)
            .unwrap_err()
            .retry
    };
    assert_eq!(
        after("17"),
        Retry::Transient {
            after: Some(Duration::from_secs(17))
        }
    );
    let date = std::time::UNIX_EPOCH + WALL + Duration::from_secs(90);
    assert_eq!(
        after(&httpdate::fmt_http_date(date)),
        Retry::Transient {
            after: Some(Duration::from_secs(90))
        }
    );
    assert_eq!(after("soon"), Retry::Transient { after: None });
    assert_eq!(after("-5"), Retry::Transient { after: None });
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(status in 200u16..600, body in proptest::collection::vec(0u8.., 0..300)) {
        let status = StatusCode::from_u16(status).unwrap();
        let _ = read(status, &HeaderMap::new(), &body, WALL);
    }

    #[test]
    fn no_json_makes_it_panic_or_gives_a_token_that_is_no_header(
        body in r#"\{("(access_token|accessToken|expires_in|token_type|scope|error|code)":("[ -~]{0,8}"|-?[0-9]{1,20}|null|true|\[\]|\{\}),?){0,5}\}"#
    ) {
        if let Ok(token) = read(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), WALL) {
            proptest::prop_assert!(http::HeaderValue::from_str(token.access_token.expose()).is_ok());
            proptest::prop_assert!(token.life != Some(Duration::ZERO));
        }
    }
}

#[test]
fn what_was_issued_is_told_and_no_access_token_is_refused() {
    let urn = "urn:ietf:params:oauth:token-type:jwt";
    let token = ok(&format!(
        r#"{{"access_token":"t","token_type":"bearer","issued_token_type":"{urn}"}}"#
    ));
    assert_eq!(token.issued_token_type.as_deref(), Some(urn));
    let error = err(200, r#"{"access_token":"t","token_type":"N_A"}"#);
    assert!(error.detail.contains("N_A"), "{error}");
}

#[test]
fn a_refusal_keeps_status_and_known_code() {
    let refusal = err(400, r#"{"error":"authorization_pending"}"#).refusal;
    let refusal = refusal.expect("a refusal");
    assert_eq!(refusal.status, 400);
    assert_eq!(refusal.code, Some("authorization_pending"));
    let refusal = err(401, r#"{"error":"hunter2"}"#)
        .refusal
        .expect("a refusal");
    assert_eq!((refusal.status, refusal.code), (401, None));
}
