use super::{
    advice, examine,
    report::{Call, Failing, Finding, Outcome, Part, Report},
    tell,
};

fn failed(endpoint: &str, status: u16, code: Option<&'static str>) -> Finding {
    Finding {
        name: "main".into(),
        kind: "client_credentials",
        outcome: Outcome::Failed,
        took_ms: Some(12),
        expires_in: None,
        scope_asked: None,
        scope_granted: None,
        client_auth: Some("basic"),
        dpop: None,
        builds_on: Vec::new(),
        parts: Vec::new(),
        calls: vec![Call {
            method: "POST".into(),
            endpoint: endpoint.into(),
            status: Some(status),
            took_ms: 11,
            tls: Some("1.3"),
            clock_ahead: Some(0.2),
        }],
        failure: Some(Failing {
            kind: "rejected",
            permanent: true,
            retry_after: None,
            status: Some(status),
            code,
            detail: "refused".into(),
        }),
        hints: Vec::new(),
    }
}

#[track_caller]
fn assert_hint(finding: &Finding, part: &str) {
    let hints = advice::on(finding);
    assert!(hints.iter().any(|hint| hint.contains(part)), "{hints:?}");
}

#[test]
fn an_old_pod_is_explained() {
    let url = "https://acme.symphony.com/login/idm/tokens";
    assert_hint(&failed(url, 404, None), "older than 20.13");
    assert_hint(&failed(url, 403, None), "Content Export Reader");
}

#[test]
fn each_vendor_has_its_words() {
    for (path, status, code, part) in [
        ("/login/pubkey/authenticate", 401, None, "imported"),
        ("/relay/pubkey/authenticate", 401, None, "300 s"),
        ("/sessionauth/v1/authenticate", 403, None, "CN"),
        ("/oauth2/token:generate", 401, None, "app secret"),
        ("/configapi/v2/oauth/token", 401, None, "lock the user out"),
        ("/api/oauth2/Token", 400, None, "Invalid Code"),
        ("/api/oauth2", 401, None, "redirect URI"),
        (
            "/v1/oauth/tokens",
            400,
            Some("invalid_scope"),
            "PRINCIPAL_ROLE",
        ),
    ] {
        let url = format!("https://vendor.example{path}");
        assert_hint(&failed(&url, status, code), part);
    }
}

#[test]
fn a_refused_client_hears_of_the_other_ways_to_authenticate() {
    let url = "https://login.example.com/token";
    let mut finding = failed(url, 401, Some("invalid_client"));
    for (client_auth, part) in [
        ("basic", "`client_auth: basic_raw`"),
        ("basic_raw", "`client_auth: basic`"),
        ("body", "`client_auth: basic`"),
        ("private_key_jwt", "`kid`"),
        ("client_secret_jwt", "algorithm"),
        ("tls", "certificate"),
        ("bearer", "builds on"),
        ("none", "`client_secret`"),
    ] {
        finding.client_auth = Some(client_auth);
        assert_hint(&finding, part);
    }
}

#[test]
fn each_status_and_code_has_something_to_change() {
    let url = "https://login.example.com/token";
    for (status, code, part) in [
        (415, None, "kind of body"),
        (404, None, "path"),
        (400, None, "ill-formed"),
        (400, Some("invalid_scope"), "`scope`"),
        (400, Some("invalid_grant"), "expired"),
        (400, Some("unauthorized_client"), "may not use this grant"),
        (400, Some("unsupported_grant_type"), "does not offer"),
        (400, Some("invalid_target"), "`audience`"),
        (400, Some("invalid_dpop_proof"), "itself by"),
    ] {
        assert_hint(&failed(url, status, code), part);
    }
}

#[test]
fn every_kind_of_failure_has_a_hint() {
    for kind in [
        "unreachable",
        "timeout",
        "rate_limited",
        "failing",
        "rejected",
        "malformed",
        "redirect",
        "internal",
    ] {
        let mut finding = failed("https://x.example/", 0, None);
        finding.calls.clear();
        if let Some(failure) = &mut finding.failure {
            (failure.kind, failure.status) = (kind, None);
        }
        assert_eq!(advice::on(&finding).len(), 1, "{kind}");
    }
}

#[test]
fn what_makes_no_call_has_hints_of_its_own() {
    for (grant, code, part) in [
        ("device_code", None, "bearerd login"),
        ("authorization_code", Some("invalid_grant"), "bearerd login"),
        ("exec", None, "by hand"),
        ("file", None, "readable"),
    ] {
        let mut finding = failed("https://x.example/token", 400, code);
        finding.kind = grant;
        if code.is_none() {
            finding.calls.clear();
        }
        assert_hint(&finding, part);
    }
}

#[test]
fn what_builds_on_a_failed_one_was_not_tried() {
    let on = |name: &str, links: &[&str]| {
        let mut finding = failed("https://x.example/token", 401, None);
        finding.name = name.into();
        finding.builds_on = links.iter().map(ToString::to_string).collect();
        finding
    };
    let mut good = on("good", &[]);
    good.outcome = Outcome::Obtained;
    let mut findings = [
        on("session", &[]),
        good,
        on("files", &["session"]),
        on("user", &["files"]),
        on("other", &["good"]),
    ];
    examine::blame(&mut findings);
    let outcomes = findings.each_ref().map(|it| it.outcome);
    let (failed, not_tried) = (Outcome::Failed, Outcome::NotTried);
    let expected = [failed, Outcome::Obtained, not_tried, not_tried, failed];
    assert_eq!(outcomes, expected);
    assert!(findings[2].hints[0].contains("`session`"));
}

#[test]
fn a_wrong_clock_and_a_smaller_scope_are_said_of_good_credentials_too() {
    let mut finding = failed("https://x.example/", 200, None);
    finding.outcome = Outcome::Obtained;
    finding.failure = None;
    assert!(advice::on(&finding).is_empty());
    finding.calls[0].clock_ahead = Some(-95.0);
    assert_hint(&finding, "95 s ahead of the endpoint's");
    (finding.scope_asked, finding.scope_granted) = (Some("a b".into()), Some("b c".into()));
    assert_hint(&finding, "did not grant `a`");
}

#[test]
fn a_person_reads_this() {
    let mut good = failed("http://127.0.0.1:1/token", 200, None);
    good.outcome = Outcome::Obtained;
    good.failure = None;
    good.expires_in = Some(3600);
    (good.scope_asked, good.scope_granted) = (Some("a".into()), Some("a".into()));
    good.calls[0].tls = None;
    good.parts.push(Part {
        name: "access_token".into(),
        characters: 32,
        jwt: None,
    });
    let mut bad = failed("https://x.example/token", 401, Some("invalid_client"));
    bad.name = "other".into();
    bad.hints = vec!["try another".into()];
    let expected = "\
main  obtained in 12 ms  (client_credentials)
  expires in    3600 s
  scope         asked `a`, granted `a`
  client_auth   basic
  access_token  32 characters
  call          POST http://127.0.0.1:1/token: 200, 11 ms, in clear, clocks agree

other  failed in 12 ms  (client_credentials)
  why           refused
  kind          rejected (invalid_client): lasts until something is changed
  client_auth   basic
  call          POST https://x.example/token: 401, 11 ms, TLS 1.3, clocks agree
  hint          try another
";
    assert_eq!(tell::text(&Report::new(vec![good, bad])), expected);
}
