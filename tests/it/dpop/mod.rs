//! Tokens that are bound to a key (RFC 9449): what is proved to token endpoints and upstreams, and what nonces lead to.

mod keys;
mod nonces;
mod proofs;
mod token_calls;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Map, Value};

use crate::support::{Exchange, Message, TestProxy, Upstream, token};

/// A proof that is good in itself: signed by the key that it holds.
#[derive(Debug)]
struct Proof {
    claims: Map<String, Value>,
    /// The key's thumbprint.
    key: String,
}

impl Proof {
    /// The one proof of a request, verified by what is no part of the proxy.
    #[track_caller]
    fn of(request: &Message) -> Self {
        let fields = request.headers("dpop");
        assert_eq!(fields.len(), 1, "{:?}", request.fields);
        let first = fields[0].split('.').next().unwrap();
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(first).unwrap()).unwrap();
        assert_eq!(
            (&header["typ"], &header["alg"]),
            (&"dpop+jwt".into(), &"ES256".into())
        );
        let member = |name: &str| header["jwk"][name].as_str().unwrap();
        let key = DecodingKey::from_ec_components(member("x"), member("y")).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let read = decode::<Map<String, Value>>(fields[0], &key, &validation).unwrap();
        let (x, y) = (member("x"), member("y"));
        Self {
            claims: read.claims,
            key: hash(&format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#
            )),
        }
    }

    /// A claim that is a text; empty where there is none.
    fn text(&self, name: &str) -> &str {
        self.claims.get(name).map_or("", |it| it.as_str().unwrap())
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

fn proofs(server: &Upstream) -> Vec<Proof> {
    server.requests().iter().map(Proof::of).collect()
}

/// A token endpoint that binds: a token of the call's number, for an hour.
fn binding() -> Upstream {
    Upstream::start(|exchange| give(exchange, ""))
}

/// Answers with a bound token of the call's number, and with more fields.
fn give(exchange: &mut Exchange<'_>, fields: &str) {
    let token = token(exchange.number + 1);
    let body = format!(r#"{{"access_token":"{token}","token_type":"DPoP","expires_in":3600}}"#);
    exchange.answer(
        200,
        &format!("Content-Type: application/json\r\n{fields}"),
        &body,
    );
}

/// Answers that the token endpoint's nonce is missing.
fn ask_at_endpoint(exchange: &mut Exchange<'_>, nonce: &str) {
    let fields = format!("Content-Type: application/json\r\nDPoP-Nonce: {nonce}\r\n");
    exchange.answer(400, &fields, r#"{"error":"use_dpop_nonce"}"#);
}

/// Answers that the upstream's nonce is missing.
fn ask(exchange: &mut Exchange<'_>, nonce: &str) {
    let challenge = r#"DPoP error="use_dpop_nonce", error_description="a nonce, please""#;
    let fields = format!("WWW-Authenticate: {challenge}\r\nDPoP-Nonce: {nonce}\r\n");
    exchange.answer(401, &fields, "");
}

/// The nonce in a request's proof.
fn nonce_of(exchange: &Exchange<'_>) -> String {
    Proof::of(&exchange.request).text("nonce").to_owned()
}

/// The configuration of a client with `dpop: true` on one route for everything; `more` are further keys of it.
fn yaml(tokens: &Upstream, upstream: &Upstream, more: &str) -> String {
    yaml_with("true", tokens, upstream, more)
}

/// The same with another value of `dpop`.
fn yaml_with(dpop: &str, tokens: &Upstream, upstream: &Upstream, more: &str) -> String {
    format!(
        "credentials:\n  main:\n    client_credentials:\n      token_url: http://{}/token?tenant=a\n      \
         client_id: tester\n      client_secret: {{ env: SECRET }}\n      dpop: {dpop}\n\
         routes:\n  - {{ name: all, match: /, upstream: 'http://{}/base/', credential: main{more} }}\n",
        tokens.address(),
        upstream.address()
    )
}

fn proxy(tokens: &Upstream, upstream: &Upstream) -> TestProxy {
    TestProxy::start(&yaml(tokens, upstream, ""))
}
