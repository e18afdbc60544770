//! `iceberg`: client credentials in the form, and whatever a catalog wants besides.

use super::{Temporary, asked, count, fields, json, only, proxy};
use crate::support::{Upstream, token};

const TOKENS: &str = "/v1/oauth/tokens";

fn catalog(refuse: &'static [(usize, u16)]) -> Upstream {
    Upstream::start(move |exchange| {
        let number = exchange.number + 1;
        if exchange.request.second() == TOKENS {
            let token = token(number);
            let body =
                format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":3600}}"#);
            return json(exchange, 200, &body);
        }
        let status = refuse.iter().find(|(at, _)| *at == number);
        exchange.answer(status.map_or(200, |(_, status)| *status), "", "");
    })
}

fn client(more: &str) -> String {
    format!("url: VENDOR, client_id: etl, client_secret: {{ env: SECRET }}{more}")
}

#[test]
fn the_client_shows_itself_in_the_form() {
    let catalog = catalog(&[]);
    let proxy = proxy("iceberg", &client(""), &catalog);
    assert_eq!(proxy.get("/v1/namespaces").status(), 200);
    let call = only(&catalog, TOKENS);
    assert_eq!(call.start, "POST /v1/oauth/tokens HTTP/1.1");
    assert_eq!(
        fields(&call),
        [
            "accept: application/json".to_owned(),
            format!("content-length: {}", call.body.len()),
            "content-type: application/x-www-form-urlencoded".into(),
        ]
    );
    let secret: String =
        form_urlencoded::byte_serialize(crate::support::SECRET.as_bytes()).collect();
    let mut sent: Vec<String> = call.text().split('&').map(str::to_owned).collect();
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            "client_id=etl".to_owned(),
            format!("client_secret={secret}"),
            "grant_type=client_credentials".into(),
            "scope=catalog".into()
        ]
    );
    let carried = only(&catalog, "/v1/namespaces");
    assert_eq!(
        fields(&carried),
        [format!("authorization: Bearer {}", token(1))]
    );
}

#[test]
fn a_realm_is_named_on_both_calls_and_only_by_us() {
    let catalog = catalog(&[]);
    let more = ", realm: acme, scope: 'PRINCIPAL_ROLE:ALL'";
    let proxy = proxy("iceberg", &client(more), &catalog);
    let head = "GET /v1/namespaces HTTP/1.1\r\nHost: localhost\r\npolaris_realm: mine\r\nPolaris-Realm: mine\r\n\r\n";
    assert_eq!(proxy.send(head).status(), 200);
    let call = only(&catalog, TOKENS);
    assert_eq!(call.headers("polaris-realm"), ["acme"]);
    assert!(
        call.text().contains("scope=PRINCIPAL_ROLE%3AALL"),
        "{}",
        call.text()
    );
    let carried = only(&catalog, "/v1/namespaces");
    assert_eq!(
        fields(&carried),
        [
            format!("authorization: Bearer {}", token(1)),
            "polaris-realm: acme".into()
        ]
    );
}

#[test]
fn expired_and_unknown_tokens_are_renewed_and_forbidden_is_not() {
    let catalog = catalog(&[(2, 419), (5, 401), (8, 403)]);
    let proxy = proxy("iceberg", &client(""), &catalog);
    let statuses: Vec<u16> = (0..3)
        .map(|_| proxy.get("/v1/namespaces").status())
        .collect();
    assert_eq!(statuses, [200, 200, 403], "{:?}", asked(&catalog));
    assert_eq!(count(&catalog, TOKENS), 3);
}

#[test]
fn the_token_endpoint_is_kept_from_clients() {
    let catalog = catalog(&[]);
    let proxy = proxy("iceberg", &client(""), &catalog);
    for path in [TOKENS, "/catalog/v1/oauth/tokens"] {
        let answer = proxy.post(path, b"grant_type=client_credentials");
        assert_eq!(answer.code(), "token_endpoint_denied", "{path}");
    }
    assert_eq!(count(&catalog, TOKENS), 0);
}

#[test]
fn a_subject_s_token_is_exchanged_with_the_catalog_s_as_actor() {
    let catalog = catalog(&[]);
    let user = Temporary::new(&token(99));
    let more = format!(", subject: {{ file: {} }}, realm: acme", user.path());
    let proxy = proxy("iceberg", &client(&more), &catalog);
    assert_eq!(proxy.get("/v1/namespaces").status(), 200);
    assert_eq!(count(&catalog, TOKENS), 2);
    let exchange = &catalog.requests()[1];
    let form: std::collections::BTreeMap<String, String> = form_urlencoded::parse(&exchange.body)
        .into_owned()
        .collect();
    let urn = "urn:ietf:params:oauth";
    for (name, wanted) in [
        ("grant_type", format!("{urn}:grant-type:token-exchange")),
        ("subject_token", token(99)),
        ("subject_token_type", format!("{urn}:token-type:jwt")),
        ("actor_token", token(1)),
        ("actor_token_type", format!("{urn}:token-type:access_token")),
        ("scope", "catalog".into()),
    ] {
        assert_eq!(form.get(name), Some(&wanted), "{name}");
    }
    assert_eq!(exchange.headers("polaris-realm"), ["acme"]);
    let carried = only(&catalog, "/v1/namespaces");
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(2))]
    );
}
