use super::*;

fn sent(secrets: &[&str]) -> Sent {
    let mut sent = Sent::default();
    for secret in secrets {
        sent.add(secret);
    }
    sent
}

fn json(body: &str) -> Option<String> {
    words(&HeaderMap::new(), body.as_bytes(), &Sent::default())
}

#[test]
fn every_vendors_shape_is_understood() {
    for (body, says) in [
        (
            r#"{"error":"invalid_client","error_description":"Bad secret"}"#,
            "invalid_client: Bad secret",
        ),
        (r#"{"error":"AADSTS7000215"}"#, "AADSTS7000215"),
        (
            r#"{"code":1042,"message":"App is blocked"}"#,
            "1042: App is blocked",
        ),
        (
            r#"{"error":{"message":"No such scope","type":"BadRequestException","code":400}}"#,
            "BadRequestException: No such scope",
        ),
        (
            r#"{"type":"about:blank","title":"Forbidden","detail":"Tenant is off"}"#,
            "Tenant is off",
        ),
        (
            r#"{"title":"Forbidden","detail":"Tenant is off"}"#,
            "Forbidden: Tenant is off",
        ),
        (r#"{"message":"Unauthorized"}"#, "Unauthorized"),
        (
            r#"{"success":false,"error":{"code":"NO","message":"Not you"}}"#,
            "NO: Not you",
        ),
        (
            r#"{"ResponseCode":401,"ResponseMessage":"Not you","ResponseData":null}"#,
            "401: Not you",
        ),
        (
            r#"{"errors":[{"error_code":17,"ErrorMessage":"Not you"},{"message":"x"}]}"#,
            "17: Not you",
        ),
        (
            r#"{"AuthResponse":{"Result":{"Status":"FAILURE","ErrorMessage":"Not you"}}}"#,
            "Not you",
        ),
    ] {
        assert_eq!(json(body).as_deref(), Some(says), "{body}");
    }
    for silent in [
        "{}",
        "[]",
        "null",
        "<html>x",
        "",
        r#"{"error":{}}"#,
        r#"{"error":["a"]}"#,
        r#"{"a":{"b":{"c":{"d":{"message":"too deep"}}}}}"#,
    ] {
        assert_eq!(json(silent), None, "{silent}");
    }
}

#[test]
fn of_plain_text_the_first_line_is_shown_and_of_pages_nothing() {
    let of = |kind: &'static str, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().expect("a value"));
        words(&headers, body.as_bytes(), &Sent::default())
    };
    let plain = of("text/plain; charset=utf-8", "\r\nNot today\r\nstack trace");
    assert_eq!(plain.as_deref(), Some("Not today"));
    assert_eq!(of("text/html", "<h1>Not today"), None);
}

#[test]
fn what_was_sent_comes_back_in_no_spelling() {
    // Short enough that no spelling looks like a token.
    let secret = r#"ca/nary"e+12"#;
    let sent = sent(&[secret]);
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    for echo in [
        secret.to_owned(),
        secret.to_uppercase(),
        form.clone(),
        form.to_lowercase(),
        r#"ca/nary\"e+12"#.to_owned(),
        STANDARD_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(format!("a:{secret}")),
        URL_SAFE_NO_PAD.encode(format!("ab:{secret}")),
        URL_SAFE_NO_PAD.encode(format!("abc:{secret}")),
        secret[..9].to_owned(),
        secret[4..].to_owned(),
    ] {
        let body = serde_json::json!({"error": "invalid_client", "error_description": format!("you sent <{echo}> here")});
        let shown = words(&HeaderMap::new(), body.to_string().as_bytes(), &sent).expect("words");
        assert!(shown.contains("****"), "{echo}: {shown}");
        for (at, _) in echo.char_indices().take(echo.len().saturating_sub(7)) {
            let part = &echo[at..at + 8];
            assert!(!shown.contains(part), "{part} of {echo} in {shown}");
        }
    }
}

#[test]
fn a_short_secret_is_masked_as_a_whole() {
    let body = br#"{"message":"your S3cr is bad"}"#;
    let shown = words(&HeaderMap::new(), body, &sent(&["s3cr"]));
    assert_eq!(shown.as_deref(), Some("your **** is bad"));
}

#[test]
fn what_looks_like_a_token_is_not_shown_either() {
    let shown = json(
        r#"{"error":"x","error_description":"token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0 is bad"}"#,
    );
    assert_eq!(shown.as_deref(), Some("x: token **** is bad"));
}

#[test]
fn a_secret_too_short_to_be_found_silences_all() {
    let body = br#"{"message":"no ab here"}"#;
    assert_eq!(words(&HeaderMap::new(), body, &sent(&["ab"])), None);
    assert!(words(&HeaderMap::new(), body, &sent(&["xy"])).is_some());
}

#[test]
fn words_are_cleaned_and_cut() {
    let long = format!(
        r#"{{"message":"a\u001b[31m\n\t\u200bö {}"}}"#,
        "word ".repeat(500)
    );
    let shown = json(&long).expect("words");
    assert!(shown.starts_with("a [31m ö word"), "{shown}");
    assert_eq!(shown.chars().count(), 200);
}
