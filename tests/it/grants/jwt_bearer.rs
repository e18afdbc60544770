//! `jwt_bearer`: a JWT of its own for each token, signed as the file says.

use std::{fs, path::PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;

use super::{bearers, client, form, json, proxy, refusing};
use crate::support::{Upstream, token};

fn key(name: &str) -> (PathBuf, DecodingKey) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("it-{name}.pem"));
    fs::write(&path, pair.serialize_pem()).unwrap();
    let public = DecodingKey::from_ec_der(pair.public_key_raw());
    (path, public)
}

#[test]
fn each_token_costs_a_new_jwt_with_the_claims_of_the_file() {
    let (path, public) = key("assertion");
    let server = Upstream::start(|exchange| {
        let body = format!(r#"{{"access_token":"{}"}}"#, token(exchange.number + 1));
        json(exchange, 200, &body);
    });
    let upstream = refusing(&[1]);
    let proxy = proxy(
        &format!(
            "{{ jwt_bearer: {{ token_url: 'http://{}/token?a=b', assertion: {{ key: {{ file: '{}' }}, kid: k1, issuer: app, \
             subject: jo, expires: 2m, claims: {{ scope: 'a b', level: 7, admin: true, list: [x, '1'] }} }} }} }}",
            server.address(),
            path.display()
        ),
        &upstream,
    );
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(bearers(&upstream).last(), Some(&token(2)));
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[format!("http://{}/token", server.address())]);
    let read: Vec<Value> = server
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request.header("authorization"), None);
            let form = form(request);
            assert_eq!(
                form["grant_type"],
                "urn:ietf:params:oauth:grant-type:jwt-bearer"
            );
            let jwt = decode::<Value>(&form["assertion"], &public, &rules).unwrap();
            assert_eq!(jwt.header.kid.as_deref(), Some("k1"));
            jwt.claims
        })
        .collect();
    let claims = &read[0];
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&"app".into(), &"jo".into())
    );
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        120
    );
    assert_eq!(claims["scope"], "a b");
    assert_eq!(
        (&claims["level"], &claims["admin"]),
        (&7.into(), &true.into())
    );
    assert_eq!(claims["list"], serde_json::json!(["x", "1"]));
    assert_ne!(claims["jti"], read[1]["jti"]);
}

#[test]
fn a_client_is_shown_beside_the_jwt_where_there_is_one() {
    let (path, _) = key("with-client");
    let server = Upstream::start(|exchange| {
        json(
            exchange,
            200,
            &format!(r#"{{"access_token":"{}"}}"#, token(1)),
        );
    });
    let upstream = Upstream::ok();
    let kind = format!(
        "{{ jwt_bearer: {{ {}, assertion: {{ key: {{ file: '{}' }}, issuer: app, audience: [a, b] }} }} }}",
        client(&server),
        path.display()
    );
    assert_eq!(proxy(&kind, &upstream).get("/").status(), 200);
    let request = server.request();
    assert!(
        request
            .header("authorization")
            .unwrap()
            .starts_with("Basic ")
    );
}
