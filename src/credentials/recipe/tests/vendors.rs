//! The shapes in which vendors answer, a recipe each.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

use super::*;
use crate::credentials::FailureKind;

/// What one vendor is sent and answers.
struct Row {
    vendor: &'static str,
    recipe: &'static str,
    sent: &'static str,
    answer: &'static str,
    token: &'static str,
    life: Option<Duration>,
    /// Answered with 200, and what the log says of it.
    refusal: Option<(&'static str, &'static str)>,
}

const NOW: &str = "Date: Sun, 22 Nov 2026 18:00:00 GMT\r\nContent-Type: application/json\r\n";

const ROWS: &[Row] = &[
    Row {
        vendor: "Symbl",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/oauth2/token:generate, json: { type: application, appId: abc, appSecret: hush-hush } }
    capture: { token: { json: /accessToken }, life: { json: /expiresIn } }
expires: { from: '{{ login.life }}' }
outputs: { token: '{{ login.token }}' }",
        sent: r#"POST /oauth2/token:generate {"type":"application","appId":"abc","appSecret":"hush-hush"}"#,
        answer: r#"{"accessToken":"the-token","expiresIn":86400}"#,
        token: "the-token",
        life: Some(s(86_400)),
        refusal: None,
    },
    Row {
        vendor: "Auth0, as JSON",
        recipe: "
steps:
  - name: login
    request:
      url: VENDOR/oauth/token
      json: { grant_type: client_credentials, client_id: abc, client_secret: hush-hush, audience: 'https://api/', organization: org_1 }
    capture: { token: { json: /access_token }, life: { json: /expires_in } }
expires: { from: '{{ login.life }}' }
outputs: { token: '{{ login.token }}' }",
        sent: r#"POST /oauth/token {"grant_type":"client_credentials","client_id":"abc","client_secret":"hush-hush","audience":"https://api/","organization":"org_1"}"#,
        answer: r#"{"access_token":"the-token","expires_in":86400,"token_type":"Bearer","scope":"read:x"}"#,
        token: "the-token",
        life: Some(s(86_400)),
        refusal: None,
    },
    Row {
        vendor: "Auth0, as a form",
        recipe: "
steps:
  - name: login
    request:
      url: VENDOR/oauth/token
      form: { grant_type: client_credentials, client_id: abc, client_secret: hush-hush, audience: 'https://api/' }
    capture: { token: { json: /access_token }, life: { json: /expires_in } }
expires: { from: '{{ login.life }}' }
outputs: { token: '{{ login.token }}' }",
        sent: "POST /oauth/token grant_type=client_credentials&client_id=abc&client_secret=hush-hush&audience=https%3A%2F%2Fapi%2F",
        answer: r#"{"access_token":"the-token","expires_in":86400,"token_type":"Bearer"}"#,
        token: "the-token",
        life: Some(s(86_400)),
        refusal: None,
    },
    Row {
        vendor: "Nasdaq Data Link",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/v1/auth/token, json: { client_id: abc, client_secret: hush-hush } }
    capture: { token: { json: /access_token }, life: { json: /expires_in } }
expires: { from: '{{ login.life }}' }
outputs: { token: '{{ login.token }}' }",
        sent: r#"POST /v1/auth/token {"client_id":"abc","client_secret":"hush-hush"}"#,
        answer: r#"{"access_token":"the-token","expires_in":"3600"}"#,
        token: "the-token",
        life: Some(s(3600)),
        refusal: None,
    },
    Row {
        vendor: "MetaMetrics",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/token, json: { clientId: abc, clientSecret: hush-hush } }
    capture: { token: { json: /accessToken }, life: { json: /expiresIn } }
expires: { from: '{{ login.life }}' }
outputs: { token: '{{ login.token }}' }",
        sent: r#"POST /token {"clientId":"abc","clientSecret":"hush-hush"}"#,
        answer: r#"{"accessToken":"the-token","expiresIn":12}"#,
        token: "the-token",
        life: Some(s(12)),
        refusal: None,
    },
    Row {
        vendor: "PontCentral",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/auth, json: { apiKey: hush-hush } }
    success: { json: /success, equals: 'true' }
    capture: { token: { json: /data/access_token }, end: { json: /data/expires_at } }
expires: { from: '{{ login.end }}', kind: rfc3339 }
outputs: { token: '{{ login.token }}' }",
        sent: r#"POST /auth {"apiKey":"hush-hush"}"#,
        answer: r#"{"success":true,"data":{"access_token":"the-token","expires_in":3600,"expires_at":"2026-11-22T19:00:00Z"}}"#,
        token: "the-token",
        life: Some(s(3600)),
        refusal: Some((
            r#"{"success":false,"error":{"code":"KEY_REVOKED","message":"The key hush-hush was revoked"}}"#,
            "KEY_REVOKED: The key **** was revoked",
        )),
    },
    Row {
        vendor: "Whop",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/t }
    capture: { token: { json: /token }, end: { json: /expires_at } }
expires: { from: '{{ login.end }}', kind: rfc3339 }
outputs: { token: '{{ login.token }}' }",
        sent: "POST /t ",
        answer: r#"{"token":"the-token","expires_at":"2026-11-22T18:30:00.000Z"}"#,
        token: "the-token",
        life: Some(s(1800)),
        refusal: None,
    },
    Row {
        vendor: "Neuro",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/t }
    capture: { token: { json: /jwt }, end: { json: /expires } }
expires: { from: '{{ login.end }}', kind: rfc3339 }
outputs: { token: '{{ login.token }}' }",
        sent: "POST /t ",
        answer: r#"{"jwt":"the-token","expires":"2026-11-22T18:30:00"}"#,
        token: "the-token",
        life: Some(s(1800)),
        refusal: None,
    },
    Row {
        vendor: "Treez",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/t }
    capture: { token: { json: /access_token }, end: { json: /expires_at } }
expires: { from: '{{ login.end }}', kind: rfc3339 }
outputs: { token: '{{ login.token }}' }",
        sent: "POST /t ",
        answer: r#"{"access_token":"the-token","expires_at":"2026-11-22T13:00:00.250-07:00"}"#,
        token: "the-token",
        life: Some(Duration::from_millis(7_200_250)),
        refusal: None,
    },
    Row {
        vendor: "Oracle content cloud",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/t }
    capture: { token: { json: /accessToken }, life: { json: /expiresInMillis } }
expires: { from: '{{ login.life }}', kind: millis }
outputs: { token: '{{ login.token }}' }",
        sent: "POST /t ",
        answer: r#"{"accessToken":"the-token","expiresInMillis":3600500}"#,
        token: "the-token",
        life: Some(Duration::from_millis(3_600_500)),
        refusal: None,
    },
    Row {
        vendor: "Oracle OFSLL",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/auth, json: { AuthRequest: { UserName: abc, Password: hush-hush } } }
    success: { json: /AuthResponse/Result/Status, equals: SUCCESS }
    capture: { token: { json: /AuthResponse/Token }, life: { json: /AuthResponse/Expires_in } }
expires: { from: '{{ login.life }}' }
outputs: { token: '{{ login.token }}' }",
        sent: r#"POST /auth {"AuthRequest":{"UserName":"abc","Password":"hush-hush"}}"#,
        answer: r#"{"AuthResponse":{"Token":"the-token","Expires_in":"900","Result":{"Status":"SUCCESS"}}}"#,
        token: "the-token",
        life: Some(s(900)),
        refusal: Some((
            r#"{"AuthResponse":{"Result":{"Status":"FAILURE","ErrorCode":"E17","ErrorMessage":"Account is locked"}}}"#,
            "E17: Account is locked",
        )),
    },
    Row {
        vendor: "FVBank",
        recipe: "
vars: { id: abc }
steps:
  - { name: proof, jwt: { alg: HS256, key: a-secret-of-thirty-two-characters, claims: { sub: '{{ id }}' } } }
  - name: login
    request: { method: GET, url: VENDOR/session, headers: { X-AUTH-TOKEN: 'Bearer {{ proof }}' } }
    success: { json: /ResponseCode, equals: '200' }
    capture: { token: { json: /ResponseData/SessionToken } }
expires: { default: 15m }
outputs: { token: '{{ login.token }}' }",
        sent: "GET /session ",
        answer: r#"{"ResponseCode":200,"ResponseData":{"SessionToken":"the-token"}}"#,
        token: "the-token",
        life: Some(s(900)),
        refusal: Some((
            r#"{"ResponseCode":401,"ResponseMessage":"Token is not valid","ResponseData":null}"#,
            "401: Token is not valid",
        )),
    },
    Row {
        vendor: "Xelion",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/api/v1/master/me/login, json: { userName: abc, password: hush-hush } }
    capture: { token: { json: /authentication }, end: { json: /validUntil } }
expires: { from: '{{ login.end }}', kind: rfc3339 }
outputs: { token: 'xelion {{ login.token }}' }",
        sent: r#"POST /api/v1/master/me/login {"userName":"abc","password":"hush-hush"}"#,
        answer: r#"{"authentication":"the-token","validUntil":"2026-11-22 20:00:00"}"#,
        token: "xelion the-token",
        life: Some(s(7200)),
        refusal: None,
    },
    Row {
        vendor: "telemax",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/t }
    capture: { token: { json: /access_token }, life: { json: /expires_in } }
expires: { from: '{{ login.life }}' }
outputs: { token: '{{ login.token }}' }",
        sent: "POST /t ",
        answer: r#"{"access_token":"the-token","expires_in":86399.0}"#,
        token: "the-token",
        life: Some(s(86_399)),
        refusal: None,
    },
    Row {
        vendor: "AIRisk",
        recipe: "
steps:
  - name: login
    request: { url: VENDOR/api/oauth2/Token, form: { client_id: abc, client_secret: hush-hush, code: c1 } }
    capture: { token: [{ json: /access_token }, { json: /access_code }], end: { json: /expiration } }
expires: { from: '{{ login.end }}', kind: rfc3339 }
outputs: { token: '{{ login.token }}' }",
        sent: "POST /api/oauth2/Token client_id=abc&client_secret=hush-hush&code=c1",
        answer: r#"{"access_code":"the-token","expiration":"2026-11-22T18:12:17Z"}"#,
        token: "the-token",
        life: Some(s(737)),
        refusal: None,
    },
];

#[tokio::test]
async fn every_vendor_is_asked_and_understood() {
    for row in ROWS {
        let vendor = Vendor::start(|_| answer("200 OK", NOW, row.answer)).await;
        let credential = vendor.obtain(row.recipe).await.expect(row.vendor);
        assert_eq!(part(&credential, "token"), row.token, "{}", row.vendor);
        assert_eq!(credential.life, row.life, "{}", row.vendor);
        let seen = vendor.seen().remove(0);
        let sent = format!("{} {} {}", seen.method, seen.target, seen.body);
        assert_eq!(sent, row.sent, "{}", row.vendor);
    }
}

#[tokio::test]
async fn an_error_inside_a_200_is_a_refusal_whose_words_are_for_the_log() {
    for row in ROWS {
        let Some((body, says)) = row.refusal else {
            continue;
        };
        let vendor = Vendor::saying(body).await;
        let error = vendor.obtain(row.recipe).await.expect_err(row.vendor);
        assert_eq!(error.kind, FailureKind::Rejected, "{}", row.vendor);
        let said = format!("`success`: the answer says otherwise; it says: {says}");
        assert!(error.detail.ends_with(&said), "{}: {error}", row.vendor);
        assert!(error.own_words().starts_with("step `login`: http://"));
        assert!(error.own_words().ends_with("says otherwise"));
    }
}

#[tokio::test]
async fn an_answer_of_auth0_that_refuses_is_told_in_its_words() {
    let body = r#"{"error":"access_denied","error_description":"Unauthorized: hush-hush"}"#;
    let vendor = Vendor::start(move |_| answer("403 Forbidden", "", body)).await;
    let error = vendor.obtain(ROWS[1].recipe).await.unwrap_err();
    let expected = format!(
        "step `login`: {}/oauth/token: answered 403 with error access_denied; it says: access_denied: Unauthorized: ****",
        vendor.url
    );
    assert_eq!(error.detail, expected);
}

#[tokio::test]
async fn fvbank_is_shown_a_proof_signed_with_the_shared_secret() {
    let row = ROWS
        .iter()
        .find(|row| row.vendor == "FVBank")
        .expect("a row");
    let vendor = Vendor::saying(row.answer).await;
    vendor.obtain(row.recipe).await.unwrap();
    let seen = vendor.seen().remove(0);
    let proof = seen
        .header("x-auth-token")
        .and_then(|it| it.strip_prefix("Bearer "));
    let mut wanted = Validation::new(Algorithm::HS256);
    wanted.required_spec_claims.clear();
    let secret = DecodingKey::from_secret(b"a-secret-of-thirty-two-characters");
    let read = decode::<serde_json::Value>(proof.expect("a proof"), &secret, &wanted).unwrap();
    assert_eq!(read.claims, serde_json::json!({ "sub": "abc" }));
}
