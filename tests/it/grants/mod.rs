//! Each grant against a fake of its server: what is asked, what becomes of the answers, what is never sent.

mod authorization_code;
mod exec;
mod file;
mod jwt_bearer;
mod login;
mod password;
mod refresh_token;
mod token_exchange;

use std::collections::BTreeMap;

use crate::support::{Exchange, Message, TestProxy, Upstream};

/// A proxy with one route for everything and the credential `main` of this kind (YAML in braces).
#[track_caller]
pub fn proxy(kind: &str, upstream: &Upstream) -> TestProxy {
    TestProxy::start(&yaml(kind, upstream))
}

/// The same as text.
pub fn yaml(kind: &str, upstream: &Upstream) -> String {
    format!(
        "credentials:\n  main: {kind}\nroutes:\n  - {{ name: all, match: /, upstream: 'http://{}/', credential: main }}\n",
        upstream.address()
    )
}

/// The keys of a client of `server`, to be put between braces.
pub fn client(server: &Upstream) -> String {
    format!(
        "token_url: 'http://{}/token', client_id: tester, client_secret: {{ env: SECRET }}",
        server.address()
    )
}

/// What a form holds.
pub fn form(request: &Message) -> BTreeMap<String, String> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

/// Each form that came, in short: its grant and the value of `key`.
pub fn asked(server: &Upstream, key: &str) -> Vec<(String, String)> {
    let requests = server.requests();
    let forms = requests.iter().map(form);
    forms
        .map(|mut form| {
            let mut take = |key: &str| form.remove(key).unwrap_or_default();
            (take("grant_type"), take(key))
        })
        .collect()
}

/// An upstream that refuses these requests of its own, counted from 0, with 401.
pub fn refusing(numbers: &'static [usize]) -> Upstream {
    Upstream::start(move |exchange| {
        let refused = numbers.contains(&exchange.number);
        exchange.answer(if refused { 401 } else { 200 }, "", "");
    })
}

/// The bearer tokens that an upstream got.
pub fn bearers(upstream: &Upstream) -> Vec<String> {
    let requests = upstream.requests();
    let sent = requests.iter().map(|it| it.header("authorization"));
    sent.map(|it| it.unwrap_or_default().replace("Bearer ", ""))
        .collect()
}

/// Answers with JSON.
pub fn json(exchange: &mut Exchange<'_>, status: u16, body: &str) {
    exchange.answer(status, "Content-Type: application/json\r\n", body);
}
