//! `iceberg`: client credentials in the form, and whatever a catalog wants besides.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Temporary, asked, count, fields, json, only, proxy, yaml};
use crate::support::{Message, TestProxy, Upstream, token, until};

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
    let form = form(exchange);
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
    // The specification has the catalog's token here, and so nothing else to tell who asks.
    assert_eq!(form.len(), 6, "{form:?}");
    assert_eq!(
        exchange.headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
    assert_eq!(exchange.headers("polaris-realm"), ["acme"]);
    let carried = only(&catalog, "/v1/namespaces");
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(2))]
    );
}

#[test]
fn an_authorization_server_is_shown_the_client_unless_bearer_names_a_token() {
    let user = Temporary::new(&token(99));
    for (bearer, shown) in [
        ("", None),
        (", bearer: none", None),
        (", bearer: subject", Some(99)),
        (", bearer: actor", Some(1)),
        (", bearer: { credential: main.catalog }", Some(1)),
    ] {
        let (server, api) = (catalog(&[]), Upstream::ok());
        let more = format!(
            ", subject: {{ file: {} }}, token_url: 'http://{}{TOKENS}'{bearer}",
            user.path(),
            server.address()
        );
        let proxy = proxy("iceberg", &client(&more), &api);
        assert_eq!(proxy.get("/v1/namespaces").status(), 200, "{bearer}");
        let exchange = &server.requests()[1];
        let bearer = shown.map(|number| format!("Bearer {}", token(number)));
        assert_eq!(exchange.header("authorization"), bearer.as_deref());
        assert_eq!(
            form(exchange).contains_key("client_secret"),
            shown.is_none()
        );
    }
}

#[test]
fn a_catalog_whose_tokens_come_from_elsewhere_hands_out_none_either() {
    let (server, api) = (catalog(&[]), Upstream::ok());
    let more = format!(", token_url: 'http://{}/oauth2/token'", server.address());
    let text = yaml("iceberg", &client(&more), &api);
    let proxy = TestProxy::start(&text);
    for path in [TOKENS, "/prod/v1/oauth/tokens"] {
        let answer = proxy.post(path, b"grant_type=client_credentials");
        assert_eq!(answer.code(), "token_endpoint_denied", "{path}");
    }
    let emulating = text.replace("credential: main }", "credential: main, emulate: true }");
    proxy.reload(&emulating).unwrap();
    for path in [TOKENS, "/prod/v1/oauth/tokens"] {
        let answer = proxy.post(path, b"grant_type=client_credentials&client_id=made-up");
        let login: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(login["token_type"], "bearer", "{path}");
        assert_eq!(login["expires_in"], 3600, "{path}");
        assert!(login["access_token"].as_str().unwrap().starts_with("eyJ"));
    }
    assert_eq!((server.count(), api.count()), (0, 0));
}

/// Polaris lets an exchanged token be exchanged until its subject ends, and then says no in the words of OAuth.
#[test]
fn a_token_is_renewed_by_itself_until_that_is_refused() {
    begins_anew_after(400, r#"{"error":"invalid_client","error_description":"x"}"#);
}

/// Others say it in those of the catalog.
#[test]
fn a_refusal_in_the_catalog_s_own_shape_ends_that_too() {
    let error = r#"{"error":{"message":"x","type":"NotAuthorizedException","code":401}}"#;
    begins_anew_after(401, error);
}

#[track_caller]
fn begins_anew_after(status: u16, refusal: &'static str) {
    let calls = Arc::new(AtomicUsize::new(0));
    let catalog = Upstream::start({
        let calls = Arc::clone(&calls);
        move |exchange| {
            if exchange.request.second() != TOKENS {
                return exchange.answer(200, "", "");
            }
            match calls.fetch_add(1, Ordering::SeqCst) + 1 {
                4 => json(exchange, status, refusal),
                call => {
                    let (token, life) = (token(call), if call == 1 { 3600 } else { 1 });
                    let body = format!(r#"{{"access_token":"{token}","expires_in":{life}}}"#);
                    json(exchange, 200, &body);
                }
            }
        }
    });
    let user = Temporary::new(&token(99));
    let more = format!(", subject: {{ file: {} }}", user.path());
    let proxy = proxy("iceberg", &client(&more), &catalog);
    until("the chain begins anew", || {
        assert_eq!(proxy.get("/v1/namespaces").status(), 200);
        calls.load(Ordering::SeqCst) >= 5
    });
    let requests = catalog.requests();
    let asked = requests.iter().filter(|it| it.second() == TOKENS).skip(1);
    let asked: Vec<_> = asked
        .map(|it| (it.header("authorization"), form(it).remove("subject_token")))
        .collect();
    let bearer = |number| format!("Bearer {}", token(number));
    let (catalog_s, second, third) = (bearer(1), bearer(2), bearer(3));
    assert_eq!(
        asked[..4],
        [
            (Some(&*catalog_s), Some(token(99))),
            (Some(&*second), Some(token(2))),
            (Some(&*third), Some(token(3))),
            (Some(&*catalog_s), Some(token(99))),
        ]
    );
}

#[test]
fn a_login_is_refused_in_either_shape() {
    let oauth = r#"{"error":"invalid_client","error_description":"x"}"#;
    let own = r#"{"error":{"message":"x","type":"NotAuthorizedException","code":401}}"#;
    let busy = r#"{"error":{"message":"x","type":"ServiceUnavailableException","code":503}}"#;
    for (status, body, code) in [
        (401, oauth, "token_rejected"),
        (401, own, "token_rejected"),
        (503, busy, "token_unavailable"),
    ] {
        let catalog = Upstream::start(move |exchange| json(exchange, status, body));
        let proxy = proxy("iceberg", &client(""), &catalog);
        assert_eq!(proxy.get("/v1/namespaces").code(), code, "{body}");
    }
}

fn form(request: &Message) -> BTreeMap<String, String> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}
