//! Presets that sign: `google_service_account`, `github_app`, `azure_certificate`.

use serde_json::{Value, json};

use super::{Key, Temporary, count, fields, from_now, json, only, part, proxy};
use crate::support::{Upstream, token};

/// Answers a POST to the token endpoint with this body.
fn vendor(body: &Value) -> Upstream {
    let body = body.to_string();
    Upstream::start(
        move |exchange| match exchange.request.start.starts_with("POST") {
            true => json(exchange, 200, &body),
            false => exchange.answer(200, "", "ok"),
        },
    )
}

fn form(body: &str) -> std::collections::BTreeMap<String, String> {
    form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect()
}

#[test]
fn a_google_service_account_signs_for_its_token() {
    let key = Key::new();
    let vendor =
        vendor(&json!({"access_token": token(1), "expires_in": 3599, "token_type": "Bearer"}));
    let with = format!(
        "client_email: robot@x.example, private_key: {{ file: {} }}, private_key_id: k1, \
         scope: [a, b], subject: jo@x.example, token_url: VENDOR/token",
        key.file.path()
    );
    let proxy = proxy("google_service_account", &with, &vendor);
    assert_eq!(proxy.get("/storage/v1/b").status(), 200);
    let call = only(&vendor, "/token");
    let form = form(&call.text());
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    assert_eq!(form.len(), 2);
    let jwt = &form["assertion"];
    assert!(key.has_signed(jwt));
    assert_eq!(
        part(jwt, 0),
        json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
    );
    let claims = part(jwt, 1);
    assert!((-5..=0).contains(&from_now(&claims["iat"])), "{claims}");
    assert!(
        (3590..=3600).contains(&from_now(&claims["exp"])),
        "{claims}"
    );
    for (name, wanted) in [
        ("iss", "robot@x.example".to_owned()),
        ("sub", "jo@x.example".into()),
        ("scope", "a b".into()),
        ("aud", format!("http://{}/token", vendor.address())),
    ] {
        assert_eq!(claims[name], wanted, "{name}");
    }
    let carried = only(&vendor, "/storage/v1/b");
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
}

#[test]
fn a_github_app_signs_for_its_installation_s_token() {
    let key = Key::new();
    let vendor = vendor(&json!({"token": token(1), "expires_at": "2999-01-01T00:00:00Z"}));
    let with = format!(
        "app_id: 4711, installation_id: 42, key: {{ file: {} }}, url: VENDOR, repositories: [one], \
         permissions: {{ contents: read }}",
        key.file.path()
    );
    let proxy = proxy("github_app", &with, &vendor);
    assert_eq!(proxy.get("/repos/x").status(), 200);
    let call = only(&vendor, "/app/installations/42/access_tokens");
    let bearer = call.header("authorization").unwrap().replace("Bearer ", "");
    assert!(key.has_signed(&bearer));
    let claims = part(&bearer, 1);
    assert_eq!(claims["iss"], "4711");
    assert!((-65..=-60).contains(&from_now(&claims["iat"])), "{claims}");
    assert!((530..=540).contains(&from_now(&claims["exp"])), "{claims}");
    assert_eq!(
        call.text(),
        r#"{"repositories":["one"],"permissions":{"contents":"read"}}"#
    );
    assert_eq!(call.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(call.header("x-github-api-version"), Some("2022-11-28"));
    let carried = only(&vendor, "/repos/x");
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
    // Its clients get none.
    let answer = proxy.post("/app/installations/42/access_tokens", b"{}");
    assert_eq!(answer.code(), "token_endpoint_denied");
    assert_eq!(count(&vendor, "/app/installations/42/access_tokens"), 1);
}

#[test]
fn an_application_at_entra_shows_its_certificate_s_thumbprint() {
    let key = Key::new();
    let certificate = rcgen::generate_simple_self_signed(vec!["app".to_owned()]).unwrap();
    let cert = Temporary::new(&certificate.cert.pem());
    let vendor =
        vendor(&json!({"access_token": token(1), "expires_in": "3599", "token_type": "Bearer"}));
    let with = format!(
        "tenant: acme.example, client_id: app-1, key: {{ file: {} }}, certificate: {}, authority: VENDOR",
        key.file.path(),
        cert.path()
    );
    let proxy = proxy("azure_certificate", &with, &vendor);
    assert_eq!(proxy.get("/v1.0/users").status(), 200);
    let call = only(&vendor, "/acme.example/oauth2/v2.0/token");
    assert_eq!(fields(&call).len(), 3, "{:?}", fields(&call));
    let form = form(&call.text());
    for (name, wanted) in [
        ("grant_type", "client_credentials"),
        ("client_id", "app-1"),
        ("scope", "https://graph.microsoft.com/.default"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
    ] {
        assert_eq!(form[name], wanted);
    }
    let jwt = &form["client_assertion"];
    assert!(key.has_signed(jwt));
    let header = part(jwt, 0);
    assert_eq!(header["alg"], "RS256");
    assert_eq!(
        header["x5t"],
        thumbprint(certificate.cert.der()),
        "{header}"
    );
    let claims = part(jwt, 1);
    let aud = format!("http://{}/acme.example/oauth2/v2.0/token", vendor.address());
    assert_eq!(
        (claims["iss"].as_str(), claims["sub"].as_str()),
        (Some("app-1"), Some("app-1"))
    );
    assert_eq!(claims["aud"], aud);
}

fn thumbprint(der: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, der))
}
