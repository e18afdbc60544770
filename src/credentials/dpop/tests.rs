use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::{Value, json};

use super::*;

/// The pair of RFC 7515, A.3, whose private half is in the document; as SEC 1 it needs no public half.
const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\n\
    MDECAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n\
    AwEH\n\
    -----END EC PRIVATE KEY-----\n";

struct Read {
    header: Value,
    claims: Value,
}

/// Verifies a proof by nothing that made it: its parts, and the point in its own header.
fn read(proof: &HeaderValue) -> Read {
    assert!(proof.is_sensitive());
    let proof = proof.to_str().unwrap();
    let (signed, signature) = proof.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let json = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    let (header, claims) = (json(header), json(claims));
    let jwk = &header["jwk"];
    let member = |name: &str| decode(jwk[name].as_str().unwrap());
    let (algorithm, point): (&'static dyn VerificationAlgorithm, _) = match &header["alg"] {
        Value::String(name) if name == "EdDSA" => (&ED25519, member("x")),
        Value::String(name) => {
            let algorithm = match name.as_str() {
                "ES256" => &ECDSA_P256_SHA256_FIXED,
                _ => &ECDSA_P384_SHA384_FIXED,
            };
            (algorithm, [vec![4], member("x"), member("y")].concat())
        }
        other => panic!("{other}"),
    };
    UnparsedPublicKey::new(algorithm, point)
        .verify(signed.as_bytes(), &decode(signature))
        .expect("the key in the header signed it");
    Read { header, claims }
}

#[test]
fn a_proof_says_what_it_is_for_and_is_signed_by_the_key_in_it() {
    for algorithm in [
        ProofAlgorithm::Es256,
        ProofAlgorithm::Es384,
        ProofAlgorithm::EdDsa,
    ] {
        let key = Arc::new(ProofKey::generate(algorithm));
        let bound = Bound::new(Arc::clone(&key), &Secret::new("token"));
        let before = clock::unix_time().as_secs();
        let proof = bound
            .prove("GET", "https://api.test/x", Some("n-1"))
            .unwrap();
        let Read { header, claims } = read(&proof);
        assert_eq!(header["typ"], "dpop+jwt");
        assert_eq!(header["alg"], key.algorithm());
        assert!(header["jwk"].get("d").is_none());
        let issued = claims["iat"].as_u64().unwrap();
        assert!((before..=before + 5).contains(&issued));
        let expected = json!({
            "jti": claims["jti"],
            "htm": "GET",
            "htu": "https://api.test/x",
            "iat": issued,
            // `printf token | openssl dgst -sha256 -binary | basenc --base64url`
            "ath": "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A",
            "nonce": "n-1",
        });
        assert_eq!(claims, expected);
    }
}

#[test]
fn without_a_token_and_a_nonce_a_proof_has_neither() {
    let key = ProofKey::generate(ProofAlgorithm::Es256);
    let proof = key.prove("POST", "https://login.test/token", None, None);
    let claims = read(&proof.unwrap()).claims;
    let names: Vec<_> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["htm", "htu", "iat", "jti"]);
}

#[test]
fn no_two_proofs_have_the_same_id() {
    let key = ProofKey::generate(ProofAlgorithm::Es256);
    let ids = (0..100).map(|_| {
        let proof = key.prove("GET", "https://api.test/", None, None).unwrap();
        let id = read(&proof).claims["jti"].as_str().unwrap().to_owned();
        assert!(id.len() >= 16);
        id
    });
    assert_eq!(ids.collect::<std::collections::HashSet<_>>().len(), 100);
}

#[test]
fn whatever_a_url_holds_stays_in_its_claim() {
    let key = ProofKey::generate(ProofAlgorithm::Es256);
    let url = r#"https://api.test/a"b\c{"htm":"POST"}"#;
    let claims = read(&key.prove("GET", url, None, Some(r#"n"\"#)).unwrap()).claims;
    assert_eq!(
        (&claims["htu"], &claims["htm"]),
        (&json!(url), &json!("GET"))
    );
    assert_eq!(claims["nonce"], json!(r#"n"\"#));
}

#[test]
fn a_key_of_the_file_has_the_thumbprint_that_others_compute() {
    let key = ProofKey::from_pem(None, &Secret::new(PEM)).unwrap();
    let jwk = &read(&key.prove("GET", "https://a.test/", None, None).unwrap()).header["jwk"];
    assert_eq!(
        *jwk,
        json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })
    );
    assert_eq!(
        key.thumbprint(),
        "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
    );
    assert!(!key.is_generated() && !format!("{key:?}").contains("MDEC"));
}

#[test]
fn keys_that_can_not_sign_each_request_are_refused() {
    let wrong = ProofKey::from_pem(Some(ProofAlgorithm::Es384), &Secret::new(PEM));
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "ES384 signs with an EC key on P-384, and this is an EC key on P-256"
    );
    assert_eq!(
        ProofKey::from_pem(None, &Secret::new("x")).unwrap_err(),
        KeyError::NotPem
    );
}

#[test]
fn keys_that_are_made_here_are_interchangeable_and_those_of_the_file_are_not() {
    let print = |key: &ProofKey| key.fingerprint(FingerprintBuilder::new("g")).finish();
    let made = || print(&ProofKey::generate(ProofAlgorithm::Es256));
    let of_file = print(&ProofKey::from_pem(None, &Secret::new(PEM)).unwrap());
    assert_eq!(made(), made());
    assert_ne!(made(), of_file);
    assert_ne!(made(), print(&ProofKey::generate(ProofAlgorithm::Es384)));
}

#[test]
fn each_server_has_a_nonce_of_its_own_and_their_number_has_an_end() {
    let key = ProofKey::generate(ProofAlgorithm::Es256);
    let one = key.nonce_of("https://a.test:443");
    assert!(Arc::ptr_eq(&one, &key.nonce_of("https://a.test:443")));
    assert!(!Arc::ptr_eq(&one, &key.nonce_of("https://b.test:443")));
    for number in 0..2 * MOST_SERVERS {
        key.nonce_of(&format!("https://{number}.test"));
    }
    assert_eq!(key.nonces.lock().unwrap().len(), MOST_SERVERS);
}
