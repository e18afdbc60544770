//! How long a key lives, and that nobody sees it.

use std::{fs, path::PathBuf};

use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::store::with_store;

/// A key on P-256 whose private half is a text that must not turn up anywhere.
fn key_file(name: &str) -> PathBuf {
    let secret = b"kanarienvogel-kanarienvogel-key!";
    let der = [
        &[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20][..],
        secret,
        &[
            0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
        ],
    ]
    .concat();
    let text = STANDARD.encode(der);
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n");
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{name}-{}.pem", std::process::id()));
    fs::write(&file, pem).unwrap();
    file
}

fn keys(tokens: &Upstream, upstream: &Upstream) -> Vec<String> {
    let all = proofs(tokens).into_iter().chain(proofs(upstream));
    let mut keys: Vec<_> = all.map(|proof| proof.key).collect();
    keys.dedup();
    keys
}

#[test]
fn a_key_of_the_file_is_the_same_after_a_restart_and_is_never_told() {
    let file = key_file("dpop-kept");
    let (tokens, upstream) = (binding(), asking_once());
    let dpop = format!("{{ alg: ES256, key: {{ file: '{}' }} }}", file.display());
    for _ in 0..2 {
        let proxy = TestProxy::start(&yaml_with(&dpop, &tokens, &upstream, ""));
        assert_eq!(proxy.get("/x").status(), 200);
    }
    assert_eq!(keys(&tokens, &upstream).len(), 1);
    fs::remove_file(file).unwrap();
}

/// Asks for a nonce that holds the word which must not turn up: so does each proof from then on.
fn asking_once() -> Upstream {
    Upstream::start(|exchange| match &*nonce_of(exchange) {
        "" => ask(exchange, "kanarienvogel-nonce"),
        _ => exchange.answer(200, "", ""),
    })
}

#[test]
fn a_key_that_is_made_at_start_is_another_after_a_restart() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    for _ in 0..2 {
        assert_eq!(proxy(&tokens, &upstream).get("/x").status(), 200);
    }
    let [one, other] = &proofs(&upstream)[..] else {
        panic!("two requests");
    };
    assert_ne!(one.key, other.key);
    assert_eq!(tokens.count(), 2);
}

#[test]
fn a_reload_keeps_the_key_that_was_made_its_token_and_its_nonce() {
    let (tokens, upstream) = (binding(), asking_once());
    let text = yaml(&tokens, &upstream, "");
    let proxy = TestProxy::start(&text);
    assert_eq!(proxy.get("/x").status(), 200);
    proxy
        .reload(&text.replace("name: all", "name: renamed"))
        .unwrap();
    assert_eq!(proxy.get("/x").status(), 200);
    let proofs = proofs(&upstream);
    assert_eq!((proofs.len(), tokens.count()), (3, 1));
    assert!(proofs.iter().all(|it| it.key == proofs[0].key));
    assert_eq!(proofs[2].text("nonce"), "kanarienvogel-nonce");
}

#[test]
fn a_store_keeps_what_is_bound_to_a_key_of_the_file_and_not_to_one_that_was_made() {
    let file = key_file("dpop-stored");
    let of_file = format!("{{ key: {{ file: '{}' }} }}", file.display());
    for (dpop, calls) in [("true", 2), (&of_file, 1)] {
        let (tokens, upstream) = (binding(), Upstream::ok());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dpop-store");
        let _ = fs::remove_dir_all(&folder);
        let text = with_store(&folder, &yaml_with(dpop, &tokens, &upstream, ""));
        for _ in 0..2 {
            assert_eq!(TestProxy::start(&text).get("/x").status(), 200);
        }
        assert_eq!(tokens.count(), calls, "{dpop}");
        // Whatever token it is, it is sent with the key that it was issued for.
        let issued: Vec<_> = proofs(&tokens).into_iter().map(|it| it.key).collect();
        for proof in proofs(&upstream) {
            let number = (1..=2)
                .find(|it| proof.text("ath") == hash(&token(*it)))
                .unwrap();
            assert_eq!(proof.key, issued[number - 1]);
        }
    }
    fs::remove_file(file).unwrap();
}

#[test]
fn a_key_that_changes_brings_a_token_of_its_own() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let proxy = proxy(&tokens, &upstream);
    assert_eq!(proxy.get("/x").status(), 200);
    let file = key_file("dpop-changed");
    let dpop = format!("{{ key: {{ file: '{}' }} }}", file.display());
    proxy
        .reload(&yaml_with(&dpop, &tokens, &upstream, ""))
        .unwrap();
    assert_eq!(proxy.get("/x").status(), 200);
    let proofs = proofs(&upstream);
    assert_ne!(proofs[0].key, proofs[1].key);
    assert_eq!(proofs[1].text("ath"), hash(&token(2)));
    fs::remove_file(file).unwrap();
}

#[test]
fn each_user_has_a_token_of_their_own_bound_to_the_same_key() {
    let (tokens, upstream) = (binding(), Upstream::ok());
    let yaml = format!(
        "callers:\n  portal: {{ api_key: {{ key: {{ env: SECRET }} }}, may_name_users: true }}\n\
         credentials:\n  main: {{ token_exchange: {{ token_url: 'http://{}/token', dpop: true, subject: {{ mint: {{ issuer: me }} }} }} }}\n\
         routes:\n  - {{ name: all, match: /, upstream: 'http://{}/', credential: main, subject: {{ header: X-User }} }}\n",
        tokens.address(),
        upstream.address()
    );
    let proxy = TestProxy::start(&yaml);
    for user in ["ada", "bob"] {
        let secret = crate::support::SECRET;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {secret}\r\nX-User: {user}\r\n\r\n"
        );
        assert_eq!(proxy.send(request).status(), 200);
    }
    let hashes: Vec<_> = proofs(&upstream)
        .iter()
        .map(|it| it.text("ath").to_owned())
        .collect();
    assert_eq!(hashes, [hash(&token(1)), hash(&token(2))]);
    assert_eq!(keys(&tokens, &upstream).len(), 1);
}
