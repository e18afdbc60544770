//! `authorization_code` without a person: the code out of a redirect that nobody follows.

use super::{asked, bearers, client, form, json, proxy, refusing};
use crate::support::{Exchange, Upstream, token};

fn credential(server: &Upstream) -> String {
    format!(
        "{{ authorization_code: {{ {}, scope: read, authorize_url: 'http://{}/authorize?tenant=t', capture: redirect, \
         redirect_uri: 'http://localhost:7/back', authorize_params: {{ api_key: {{ env: SECRET }} }}, \
         authorize_issuer: 'https://login.example' }} }}",
        client(server),
        server.address()
    )
}

fn query(exchange: &Exchange<'_>, name: &str) -> String {
    let target = exchange.request.second().to_owned();
    let query = target.split_once('?').unwrap_or_default().1.to_owned();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// A server whose redirect is `location`, with the state in the place of `STATE`.
fn server(location: &'static str) -> Upstream {
    Upstream::start(move |exchange| {
        if exchange
            .request
            .start
            .starts_with("GET /authorize?tenant=t&")
        {
            let location = location.replace("STATE", &query(exchange, "state"));
            return exchange.answer(302, &format!("Location: {location}\r\n"), "");
        }
        let n = exchange.number + 1;
        json(
            exchange,
            200,
            &format!(r#"{{"access_token":"{}"}}"#, token(n)),
        );
    })
}

const GOOD: &str = "http://localhost:7/back?code=c0de&state=STATE&iss=https%3A%2F%2Flogin.example";

#[test]
fn the_code_of_the_redirect_is_exchanged_each_time_anew() {
    let (server, upstream) = (server(GOOD), refusing(&[1]));
    let proxy = proxy(&credential(&server), &upstream);
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(bearers(&upstream).last(), Some(&token(4)));
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    let first = requests[0].second();
    for part in [
        "response_type=code",
        "code_challenge_method=S256",
        "scope=read",
        "api_key=",
    ] {
        assert!(first.contains(part), "{first}");
    }
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(
        asked(&server, "code")[1],
        ("authorization_code".into(), "c0de".into())
    );
    let verifiers = [1, 3].map(|n| form(&requests[n])["code_verifier"].clone());
    assert_ne!(verifiers[0], verifiers[1]);
}

#[test]
fn a_redirect_elsewhere_brings_no_code() {
    for location in [
        "http://localhost:8/back?code=c0de&state=STATE",
        "https://localhost:7/back?code=c0de&state=STATE",
        "http://localhost:7/other?code=c0de&state=STATE",
        "http://evil.example:7/back?code=c0de&state=STATE",
        "/back?code=c0de&state=STATE",
        "http://localhost:7/back?code=c0de&state=other",
        "http://localhost:7/back?code=c0de",
        "http://localhost:7/back?code=c0de&code=other&state=STATE",
        "http://localhost:7/back?code=c0de&state=STATE&iss=https%3A%2F%2Fevil.example",
        "http://localhost:7/back?error=access_denied&state=STATE",
    ] {
        let (server, upstream) = (server(location), Upstream::ok());
        let proxy = proxy(&credential(&server), &upstream);
        let answer = proxy.get("/");
        assert_eq!(answer.status(), 502, "{location}");
        assert_eq!((server.count(), upstream.count()), (1, 0), "{location}");
    }
}

#[test]
fn a_log_in_page_is_told_as_such() {
    let server = Upstream::start(|exchange| exchange.answer(200, "", "<html>"));
    let upstream = Upstream::ok();
    let proxy = proxy(&credential(&server), &upstream);
    let answer = proxy.get("/");
    assert_eq!(answer.code(), "token_malformed");
    assert!(String::from_utf8_lossy(&answer.body).contains("a person to log in"));
}
