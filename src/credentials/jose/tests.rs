use aws_lc_rs::{
    encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair, RsaKeyPair,
    },
};
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::json;

use super::*;
use crate::credentials::FingerprintBuilder;

fn pem(label: &str, der: &[u8]) -> Secret {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("Base64"))
        .collect();
    Secret::new(format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    ))
}

/// PKCS #8, the kind's own older form, and what verifies.
struct Pair {
    pkcs8: Secret,
    older: Secret,
    public: DecodingKey,
}

fn rsa() -> Pair {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("generated");
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().expect("der");
    let pkcs1 = super::pem::inner(pkcs8.as_ref()).expect("PKCS #1 within");
    Pair {
        pkcs8: pem("PRIVATE KEY", pkcs8.as_ref()),
        older: pem("RSA PRIVATE KEY", pkcs1),
        public: DecodingKey::from_rsa_der(key.public_key().as_ref()),
    }
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Pair {
    let key = EcdsaKeyPair::generate(algorithm).expect("generated");
    let sec1: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().expect("der");
    Pair {
        pkcs8: pem("PRIVATE KEY", key.to_pkcs8v1().expect("der").as_ref()),
        older: pem("EC PRIVATE KEY", sec1.as_ref()),
        public: DecodingKey::from_ec_der(key.public_key().as_ref()),
    }
}

fn ed25519() -> (Secret, DecodingKey) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("generated");
    let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("read");
    let public = DecodingKey::from_ed_der(key.public_key().as_ref());
    (pem("PRIVATE KEY", pkcs8.as_ref()), public)
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => unreachable!("an object"),
    }
}

fn verify(key: &SigningKey, public: &DecodingKey) {
    let claims = members(json!({"sub": "bot", "exp": 4_000_000_000_u64, "n": [1, {"x": null}]}));
    let header = members(json!({"kid": "k1", "x5t": "abc", "own": {"a": 1}}));
    let jwt = key.sign(&header, &claims).expect("signed");
    let read = decode::<Value>(
        jwt.expose(),
        public,
        &Validation::new(key.algorithm().library()),
    )
    .expect("verified");
    assert_eq!(read.claims, Value::Object(claims));
    let first = jwt.expose().split('.').next().expect("a header");
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(first).expect("Base64")).expect("JSON");
    assert_eq!(
        header,
        json!({"typ": "JWT", "alg": key.algorithm().name(), "kid": "k1", "x5t": "abc", "own": {"a": 1}})
    );
}

#[test]
fn every_algorithm_makes_a_jwt_that_its_public_key_verifies() {
    let pair = rsa();
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ] {
        for pem in [&pair.pkcs8, &pair.older] {
            verify(
                &SigningKey::from_pem(algorithm, pem).expect("a key"),
                &pair.public,
            );
        }
    }
    for (algorithm, curve) in [
        (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING),
        (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING),
    ] {
        let pair = ec(curve);
        for pem in [&pair.pkcs8, &pair.older] {
            verify(
                &SigningKey::from_pem(algorithm, pem).expect("a key"),
                &pair.public,
            );
        }
    }
    let (pem, public) = ed25519();
    verify(
        &SigningKey::from_pem(Algorithm::EdDsa, &pem).expect("a key"),
        &public,
    );
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let key = SigningKey::from_secret(algorithm, &Secret::new("s3cret")).expect("a key");
        verify(&key, &DecodingKey::from_secret(b"s3cret"));
    }
}

#[test]
fn names_are_those_of_the_library() {
    for (library, name) in ALGORITHMS {
        assert_eq!(format!("{library:?}"), name);
    }
    assert_eq!(Algorithm::EdDsa.name(), "EdDSA");
    assert_eq!(Algorithm::Es256.name(), "ES256");
}

#[test]
fn without_an_algorithm_the_key_decides() {
    let guess = |pem: &Secret| SigningKey::from_pem(None, pem).map(|key| key.algorithm());
    assert_eq!(guess(&rsa().pkcs8), Ok(Algorithm::Rs256));
    assert_eq!(
        guess(&ec(&ECDSA_P256_SHA256_FIXED_SIGNING).older),
        Ok(Algorithm::Es256)
    );
    assert_eq!(
        guess(&ec(&ECDSA_P384_SHA384_FIXED_SIGNING).pkcs8),
        Ok(Algorithm::Es384)
    );
    assert_eq!(guess(&ed25519().0), Ok(Algorithm::EdDsa));
    assert_eq!(
        guess(&ec(&ECDSA_P521_SHA512_FIXED_SIGNING).pkcs8),
        Err(KeyError::NoAlgorithm("an EC key on P-521"))
    );
}

#[test]
fn line_breaks_may_be_spelled_out_and_other_sections_stand_before_the_key() {
    let pair = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let text = pair.older.expose();
    for text in [
        text.replace('\n', "\\n"),
        text.replace('\n', "\\r\\n"),
        text.replace('\n', "\r\n"),
        format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{text}"
        ),
        format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{text}"),
        text.trim_end().to_owned(),
    ] {
        verify(
            &SigningKey::from_pem(Algorithm::Es256, &Secret::new(text)).expect("a key"),
            &pair.public,
        );
    }
}

#[test]
fn each_wrong_key_has_its_own_error() {
    let refused = |algorithm, text: &str| match SigningKey::new(algorithm, &Secret::new(text)) {
        Ok(key) => panic!("{key:?} from {text}"),
        Err(error) => error.to_string(),
    };
    for (text, says) in [
        ("hunter2", "no key in PEM"),
        ("", "no key in PEM"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "a public key",
        ),
        (
            "-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----",
            "a public key",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "a certificate",
        ),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
            "is encrypted",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----",
            "is encrypted",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
            "OpenSSH",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "damaged",
        ),
        ("-----BEGIN PRIVATE KEY-----\nAAAA", "damaged"),
    ] {
        let error = refused(Algorithm::Es256, text);
        assert!(error.contains(says), "{text}: {error}");
    }
    let ec = ec(&ECDSA_P384_SHA384_FIXED_SIGNING);
    assert_eq!(
        refused(Algorithm::Es256, ec.pkcs8.expose()),
        "ES256 signs with an EC key on P-256, and this is an EC key on P-384"
    );
    assert_eq!(
        refused(Algorithm::Rs512, ec.older.expose()),
        "RS512 signs with an RSA key, and this is an EC key on P-384"
    );
    assert_eq!(
        refused(Algorithm::Hs256, ec.older.expose()),
        "HS256 signs with a shared secret, and this is a PEM text"
    );
    assert!(SigningKey::from_secret(Algorithm::Rs256, &Secret::new("s3cret")).is_err());
    let whole = rsa().pkcs8;
    let cut = &whole.expose()[..800];
    let cut = format!("{cut}\n-----END PRIVATE KEY-----\n");
    assert!(refused(Algorithm::Rs256, &cut).contains("damaged"));
}

#[test]
fn an_rsa_key_of_1024_bits_is_told_from_a_damaged_one() {
    let small = pem("RSA PRIVATE KEY", &STANDARD.decode(SMALL).expect("Base64"));
    assert_eq!(
        SigningKey::from_pem(Algorithm::Rs256, &small).err(),
        Some(KeyError::RsaSize)
    );
}

#[test]
fn der_that_lies_about_its_lengths_is_refused() {
    for bytes in [
        &b""[..],
        b"\x30",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x85\x00\x00\x00\x00\x01\x00",
        b"\x30\x03\x02\x05\x00",
        b"\x30\x80",
    ] {
        assert!(super::pem::inner(bytes).is_none(), "{bytes:02x?}");
    }
}

#[test]
fn typ_can_be_set_and_alg_can_not() {
    let key = SigningKey::from_secret(Algorithm::Hs256, &Secret::new("s3cret")).expect("a key");
    let jwt = key
        .sign(&members(json!({"typ": "dpop+jwt"})), &Map::new())
        .expect("signed");
    let header = URL_SAFE_NO_PAD
        .decode(jwt.expose().split('.').next().expect("a header"))
        .expect("Base64");
    let header = String::from_utf8(header).expect("UTF-8");
    assert_eq!(header.matches("typ").count(), 1, "{header}");
    assert!(header.contains(r#""typ":"dpop+jwt""#), "{header}");
    assert_eq!(
        key.sign(&members(json!({"alg": "none"})), &Map::new()),
        Err(SignError::Header)
    );
}

#[tokio::test]
async fn signing_aside_makes_the_same_jwt() {
    let pair = rsa();
    let key = SigningKey::from_pem(Algorithm::Rs256, &pair.pkcs8).expect("a key");
    let claims = members(json!({"sub": "bot"}));
    assert_eq!(
        key.sign_aside(Map::new(), claims.clone()).await,
        key.sign(&Map::new(), &claims)
    );
}

#[test]
fn a_stand_in_signs_nothing() {
    let key = SigningKey::stand_in(Algorithm::Rs256);
    assert_eq!(key.sign(&Map::new(), &Map::new()), Err(SignError::Key));
}

#[test]
fn the_fingerprint_tells_keys_and_algorithms_apart_and_debug_shows_neither() {
    let of = |key: &SigningKey| key.fingerprint(FingerprintBuilder::new("g")).finish();
    let key = |algorithm, secret| {
        SigningKey::from_secret(algorithm, &Secret::new(secret)).expect("a key")
    };
    let (a, b) = (key(Algorithm::Hs256, "a"), key(Algorithm::Hs256, "b"));
    assert_eq!(of(&a), of(&a.clone()));
    assert_ne!(of(&a), of(&b));
    assert_ne!(of(&a), of(&key(Algorithm::Hs384, "a")));
    assert_eq!(format!("{a:?}"), "SigningKey(HS256, ****)");
}

#[test]
fn random_ids_differ_and_are_fit_for_a_header() {
    let ids: std::collections::HashSet<_> = (0..100).map(|_| random_id()).collect();
    assert_eq!(ids.len(), 100);
    assert!(ids.iter().all(|id| id.len() == 22));
}

/// A key of 1024 bits, made for this test: the library makes none so short.
const SMALL: &str = "MIICXQIBAAKBgQC4ifxVA4El+Lbuna+IBBl5qGS6jv833NdVfcMWQJ6o8Bl6CDwSZSY53bi0G0/sVuBqtz+bAc4rK6\
ZffElNr/6EOIqmuAolSY8agdcSDAZOtEPVne8VPkq2/5FujCDpAgYM8DHqY0bhdCwBVaFXNGeKpWTHHoOASs00WrME\
eWKhyQIDAQABAoGBALcpfiKDT/R4YFmGeWrvZrmxwgjJVdgEglaAdNnpWZEkfqT492bqrn5Q67sYQMO7lxNUvvUDXb\
bLpF6x5bAONvck9ybdBJJerqJT/1K1vA9pSFgTFup10em0j/P5VlQ6SmfcTiBCnMIKoqmirolfItnXU3wcPO8ljAM9\
glssPzHhAkEA6WppGuHZGy2y9B7WXyPF9CULEAK2RC85FgPM1sYC6oNsyiBNTZ9pwfPbFASecL2xUGCCVgmi2YUzA5\
Clce7cpwJBAMpk7LbFsNL6Kb1BMg175/hKG8VO9VwJzKkxSSM6CeMgIj9b1gFr4XRtp/uPApKwRJdNTI+UXJEhj0Qo\
mjmxLA8CQFA+Frf5IGvpf/XQjB3U7H6MJYtxgztZiKR61faXx/TbDZFHHYwr222j6ZKuK9HSRJy/MM9nLKbe1bTKCz\
ZpyU0CQD4DDkQx7iu2WnOSNjPLcxewHTInLyY0GnD8mNwiPEVK4zNmf/uPglSaBI4fEzq+p0V0ebDEVFhjX/ISPq7O\
iiECQQDVECAFPTbs283vBBgZXCSsOx4v1kZwZyrv5EOcJEpOd9GYAc8SM4tBhdgpk1qbtAk+3sFj8j2/5RdT5X5Epr\
IV";
