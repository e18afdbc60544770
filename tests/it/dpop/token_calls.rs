//! What a token endpoint is proved, and what its answers lead to.

use serde_json::json;

use super::*;
use crate::support::until;

#[test]
fn a_token_call_has_a_proof_for_the_endpoint() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    assert_eq!(proxy(&tokens, &upstream).get("/").status(), 200);
    let proof = Proof::of(&tokens.request());
    assert_eq!(tokens.request().second(), "/token?tenant=a");
    assert_eq!(proof.text("htm"), "POST");
    let url = format!("http://{}/token", tokens.address());
    assert_eq!(proof.text("htu"), url);
    let names: Vec<_> = proof.claims.keys().map(String::as_str).collect();
    assert_eq!(names, ["htm", "htu", "iat", "jti"]);
    let now = bearerd::clock::unix_time().as_secs();
    assert!(proof.claims["iat"].as_u64().unwrap().abs_diff(now) < 30);
}

#[test]
fn an_endpoint_that_asks_for_a_nonce_is_called_once_more_with_it_and_later_ones_have_the_newest() {
    let tokens = Upstream::start(|exchange| match &*nonce_of(exchange) {
        "" => ask_at_endpoint(exchange, "kanarienvogel-nonce"),
        _ => give(exchange, "DPoP-Nonce: the-next\r\n"),
    });
    let upstream = Upstream::start(|it| it.answer(if it.number == 1 { 401 } else { 200 }, "", ""));
    let proxy = proxy(&tokens, &upstream);
    for _ in 0..2 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    let proofs = proofs(&tokens);
    let nonces: Vec<_> = proofs.iter().map(|it| it.text("nonce")).collect();
    assert_eq!(nonces, ["", "kanarienvogel-nonce", "the-next"]);
    assert_ne!(proofs[0].text("jti"), proofs[1].text("jti"));
}

#[test]
fn an_endpoint_that_asks_for_ever_is_called_twice_and_the_fault_may_pass() {
    let tokens = Upstream::start(|exchange| {
        let nonce = format!("n-{}", exchange.number);
        ask_at_endpoint(exchange, &nonce);
    });
    let upstream = Upstream::ok();
    let answer = proxy(&tokens, &upstream).get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (503, "token_unavailable")
    );
    assert_eq!((tokens.count(), upstream.count()), (2, 0));
}

#[test]
fn a_nonce_that_can_not_be_used_is_no_reason_to_call_again() {
    for nonce in [&*"n".repeat(257), "two words", ""] {
        let given = nonce.to_owned();
        let tokens = Upstream::start(move |exchange| ask_at_endpoint(exchange, &given));
        let answer = proxy(&tokens, &Upstream::ok()).get("/");
        assert_eq!((answer.status(), tokens.count()), (503, 1), "{nonce}");
    }
}

#[test]
fn a_token_that_is_not_bound_is_not_used() {
    for (token_type, said) in [
        (json!("Bearer"), "is of type Bearer, though `dpop` asks"),
        (json!("bearer"), "is of type Bearer, though `dpop` asks"),
        (Value::Null, "no token_type"),
        (json!("mac"), "not of type DPoP"),
    ] {
        let body = json!({ "access_token": token(1), "token_type": token_type, "expires_in": 60 });
        let tokens = Upstream::start(move |exchange| {
            exchange.answer(200, "Content-Type: application/json\r\n", &body.to_string());
        });
        let upstream = Upstream::ok();
        let proxy = proxy(&tokens, &upstream);
        for _ in 0..5 {
            let answer = proxy.get("/");
            assert_eq!((answer.status(), &*answer.code()), (502, "token_malformed"));
            assert!(answer.text().contains(said), "{}", answer.text());
        }
        // As what only a person can mend, it is not asked for by every request.
        assert_eq!((tokens.count(), upstream.count()), (1, 0));
    }
}

#[test]
fn the_type_is_dpop_in_any_case() {
    for token_type in ["dpop", "DPOP"] {
        let body = format!(
            r#"{{"access_token":"{}","token_type":"{token_type}"}}"#,
            token(1)
        );
        let tokens = Upstream::start(move |it| it.answer(200, "", &body));
        assert_eq!(proxy(&tokens, &Upstream::ok()).get("/").status(), 200);
    }
}

#[test]
fn a_refresh_proves_the_same_key() {
    let tokens = Upstream::start(|exchange| {
        let body = json!({
            "access_token": token(exchange.number + 1),
            "refresh_token": token(100 + exchange.number),
            "token_type": "DPoP",
            "expires_in": 2,
        });
        exchange.answer(200, "", &body.to_string());
    });
    let upstream = Upstream::ok();
    let yaml = yaml(&tokens, &upstream, "").replace(
        "    client_credentials:\n",
        "    password:\n      username: ada\n      password: { env: SECRET }\n",
    );
    let proxy = TestProxy::start(&yaml);
    until("the token was refreshed", || {
        assert_eq!(proxy.get("/").status(), 200);
        tokens.count() >= 2
    });
    let requests = tokens.until_requests(2);
    assert!(requests[1].text().contains("grant_type=refresh_token"));
    let proofs: Vec<_> = requests.iter().map(Proof::of).collect();
    assert_eq!(proofs[0].key, proofs[1].key);
    assert_ne!(proofs[0].text("jti"), proofs[1].text("jti"));
}

#[test]
fn a_fault_of_a_bound_client_says_what_the_endpoint_makes_of_the_proof() {
    let body = r#"{"error":"invalid_dpop_proof","error_description":"htu mismatch"}"#;
    let tokens = Upstream::start(move |it| it.answer(400, "", body));
    let answer = proxy(&tokens, &Upstream::ok()).get("/");
    assert_eq!((answer.status(), &*answer.code()), (502, "token_rejected"));
    assert!(answer.text().contains("error invalid_dpop_proof"));
}
