//! What a request to the upstream carries.

use super::*;
use crate::support::{Authority, until};

#[test]
fn each_request_carries_the_token_and_a_proof_for_itself() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let proxy = proxy(&tokens, &upstream);
    for _ in 0..2 {
        assert_eq!(proxy.get("/x%20y?q=1").status(), 200);
    }
    assert_eq!(proxy.post("/x", b"body").status(), 200);
    let (requests, proofs) = (upstream.requests(), proofs(&upstream));
    let url = format!("http://{}/base", upstream.address());
    for (proof, (method, path)) in
        proofs
            .iter()
            .zip([("GET", "/x%20y"), ("GET", "/x%20y"), ("POST", "/x")])
    {
        assert_eq!(proof.text("htm"), method);
        assert_eq!(proof.text("htu"), format!("{url}{path}"));
        assert_eq!(proof.text("ath"), hash(&token(1)));
        assert!(!proof.claims.contains_key("nonce"));
    }
    let expected = format!("DPoP {}", token(1));
    assert!(
        requests
            .iter()
            .all(|it| it.headers("authorization") == [&expected])
    );
    let ids: std::collections::HashSet<_> = proofs.iter().map(|it| it.text("jti")).collect();
    assert_eq!((ids.len(), tokens.count()), (3, 1));
    // The token endpoint saw the very key that the upstream sees.
    assert!(
        proofs
            .iter()
            .all(|it| it.key == Proof::of(&tokens.request()).key)
    );
}

#[test]
fn a_clients_own_proof_does_not_arrive_in_any_spelling() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let proxy = proxy(&tokens, &upstream);
    let answer = proxy.send(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: dpop, authorization\r\nDPoP: made.up.1\r\nD-PoP: made.up.2\r\n\
         d_p_o_p: made.up.3\r\nAuthorization: DPoP made-up\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.request();
    Proof::of(&request);
    assert!(!format!("{:?}", request.fields).contains("made"));
}

#[test]
fn a_proof_names_the_host_that_the_upstream_gets() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let yaml = yaml(&tokens, &upstream, "").replace(
        &format!("'http://{}/base/'", upstream.address()),
        &format!(
            "{{ url: 'http://{}/base/', host_header: api.example.com }}",
            upstream.address()
        ),
    );
    assert_eq!(TestProxy::start(&yaml).get("/x").status(), 200);
    let proof = Proof::of(&upstream.request());
    assert_eq!(proof.text("htu"), "http://api.example.com/base/x");
}

#[test]
fn a_proof_names_the_scheme_that_the_upstream_is_called_by() {
    let authority = Authority::new("dpop");
    let tokens = binding();
    let upstream = Upstream::over_tls(&authority, "localhost", |it| it.answer(200, "", ""));
    let port = upstream.address().port();
    let yaml = yaml(&tokens, &upstream, "").replace(
        &format!("'http://{}/base/'", upstream.address()),
        &format!(
            "{{ url: 'https://localhost:{port}/', tls: {{ ca: '{}' }} }}",
            authority.file().display()
        ),
    );
    assert_eq!(TestProxy::start(&yaml).get("/x").status(), 200);
    let proof = Proof::of(&upstream.request());
    assert_eq!(proof.text("htu"), format!("https://localhost:{port}/x"));
}

#[test]
fn a_replay_after_a_refusal_has_a_new_proof_of_the_new_token() {
    let tokens = binding();
    let upstream = Upstream::start(|exchange| {
        let first = Proof::of(&exchange.request).text("ath") == hash(&token(1));
        let challenge = "WWW-Authenticate: DPoP error=\"invalid_token\"\r\n";
        exchange.answer(if first { 401 } else { 200 }, challenge, "");
    });
    let proxy = proxy(&tokens, &upstream);
    assert_eq!(proxy.post("/x", &[b'y'; 10_240]).status(), 200);
    let proofs = proofs(&upstream);
    assert_eq!(proofs[1].text("ath"), hash(&token(2)));
    assert_ne!(proofs[0].text("jti"), proofs[1].text("jti"));
    assert_eq!((proofs.len(), tokens.count()), (2, 2));
    assert_eq!(upstream.requests()[1].body, [b'y'; 10_240]);
}

#[test]
fn without_a_token_a_request_that_may_pass_has_no_proof_of_anybody() {
    let tokens = Upstream::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let upstream = Upstream::ok();
    let proxy = TestProxy::start(&yaml(&tokens, &upstream, ", on_failure: pass"));
    let answer = proxy.send("GET / HTTP/1.1\r\nHost: localhost\r\nDPoP: made.up.1\r\n\r\n");
    assert_eq!(answer.status(), 200);
    let request = upstream.request();
    assert!(request.headers("dpop").is_empty() && request.headers("authorization").is_empty());
}

#[test]
fn a_callers_own_token_that_is_kept_has_no_proof_of_ours() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let proxy = TestProxy::start(&yaml(&tokens, &upstream, ", overwrite: false"));
    let own =
        "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer own\r\nDPoP: a.b.c\r\n\r\n";
    assert_eq!(proxy.send(own).status(), 200);
    let request = upstream.request();
    assert_eq!(request.header("authorization"), Some("Bearer own"));
    assert!(request.headers("dpop").is_empty());
    assert_eq!(proxy.get("/").status(), 200);
    Proof::of(&upstream.requests()[1]);
}

#[test]
fn a_token_that_the_file_puts_beside_other_headers_has_its_proof() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let inject = ", inject: [{ header: X-Api, value: '1' }, { header: Authorization, value: 'DPoP {{ access_token }}' }]";
    let proxy = TestProxy::start(&yaml(&tokens, &upstream, inject));
    assert_eq!(proxy.get("/x").status(), 200);
    let request = upstream.request();
    let expected = format!("DPoP {}", token(1));
    assert_eq!(request.header("authorization"), Some(&*expected));
    assert_eq!(request.header("x-api"), Some("1"));
    assert_eq!(Proof::of(&request).text("ath"), hash(&token(1)));
}

#[test]
fn a_route_without_dpop_leaves_a_clients_proof_and_the_upstreams_nonce_alone() {
    let upstream = Upstream::start(|it| it.answer(200, "DPoP-Nonce: theirs\r\n", ""));
    let proxy = TestProxy::start(&crate::support::plain(&upstream));
    let answer = proxy.send("GET / HTTP/1.1\r\nHost: localhost\r\nDPoP: a.b.c\r\n\r\n");
    assert_eq!(answer.header("dpop-nonce"), Some("theirs"));
    assert_eq!(upstream.request().header("dpop"), Some("a.b.c"));
}

#[test]
fn a_login_that_is_answered_here_gives_a_placeholder_that_becomes_a_bound_token() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let yaml = format!(
        "{}  - {{ name: vendor, match: /v/, upstream: 'http://{}/', credential: main, emulate: true }}\n",
        yaml(&tokens, &upstream, ", emulate: true"),
        tokens.address()
    );
    let proxy = TestProxy::start(&yaml);
    let login: Value = serde_json::from_slice(&proxy.post("/v/token", b"a=b").body).unwrap();
    let placeholder = login["access_token"].as_str().unwrap();
    let request = format!(
        "GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {placeholder}\r\n\r\n"
    );
    assert_eq!(proxy.send(request).status(), 200);
    until("it arrived", || upstream.count() == 1);
    assert_eq!(Proof::of(&upstream.request()).text("ath"), hash(&token(1)));
}
