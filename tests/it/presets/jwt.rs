//! Presets that sign: `azure_certificate`.

use serde_json::{Value, json};

use super::{Key, Temporary, fields, json, only, part, proxy};
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
