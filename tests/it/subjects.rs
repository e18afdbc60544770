//! Callers by JWT, and a credential for each user: whose token a request carries, and whose it never does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::support::{Gate, SECRET, TestProxy, Upstream, token, until};

mod chains;
mod exchanges;
mod issuer;
mod names;
mod proofs;

use issuer::{Issuer, Vendor, bearer, key, keys};

/// Users' names are no secrets, but nobody's business: they hold the word that must not turn up.
const ADA: &str = "kanarienvogel-ada";
const BOB: &str = "kanarienvogel-bob";

/// A credential that mints a JWT about the user and exchanges it.
fn minting(vendor: &Vendor) -> String {
    format!(
        "credentials:\n  main: {{ token_exchange: {{ token_url: 'http://{}/token', subject: {{ mint: {{ issuer: proxy }} }} }} }}\n",
        vendor.server.address()
    )
}

/// Callers that show a token of `keys`' issuer, those who name users, and those who may not.
fn callers(keys: &Upstream) -> String {
    format!(
        "callers:\n  people: {{ jwt: {{ issuer: '{ISSUER}', audience: bearerd, algorithms: ES256, jwks_url: 'http://{}/keys' }} }}\n  \
         portal: {{ api_key: {{ key: {{ env: SECRET }} }}, may_name_users: true }}\n  \
         clerk: {{ api_key: {{ sha256: {} }} }}\n",
        keys.address(),
        issuer::sha256(CLERK),
    )
}

/// A route for everything; `more` are further keys of it.
fn route(upstream: &Upstream, more: &str) -> String {
    format!(
        "routes:\n  - {{ name: all, match: /, upstream: 'http://{}/', credential: main, {more} }}\n",
        upstream.address()
    )
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

const ISSUER: &str = "https://issuer.example";
const CLERK: &str = "kanarienvogel-clerk";
