//! `client_auth:` and `tls:` as they stand in the file.

use super::*;

fn key() -> String {
    rcgen::KeyPair::generate()
        .expect("generated")
        .serialize_pem()
        .replace('\n', "\\n")
}

fn of(more: &str) -> Result<Arc<dyn Source>, String> {
    let text = format!("{{token_url: 'https://x.example/t', client_id: me, {more}}}");
    build("client_credentials", &text).map(|built| built.0)
}

#[test]
fn every_method_makes_a_source_of_its_own() {
    let key = key();
    let pem = format!("key: \"{key}\"");
    let all = [
        "client_secret: a".to_owned(),
        "client_secret: a, client_auth: client_secret_jwt".to_owned(),
        "client_secret: a, client_auth: {client_secret_jwt: {alg: HS512}}".to_owned(),
        "client_secret: a, client_auth: {client_secret_jwt: {kid: k}}".to_owned(),
        format!("client_auth: {{private_key_jwt: {{{pem}}}}}"),
        format!("client_auth: {{private_key_jwt: {{{pem}, kid: k}}}}"),
        format!("client_auth: {{private_key_jwt: {{{pem}, audience: 'https://issuer'}}}}"),
        format!("client_auth: {{private_key_jwt: {{{pem}, cert: client.pem}}}}"),
        "client_auth: none".to_owned(),
    ]
    .map(|more| of(&more).expect(&more));
    for (at, source) in all.iter().enumerate() {
        let shown = format!("{source:?}");
        assert!(
            !shown.contains("PRIVATE") && !shown.contains(&key),
            "{shown}"
        );
        for other in &all[..at] {
            assert_ne!(source.fingerprint(), other.fingerprint());
        }
    }
}

#[test]
fn defaults_may_be_written_out() {
    let pem = format!("key: \"{}\"", key());
    let same = |one: &str, other: &str| {
        assert_eq!(
            of(one).expect(one).fingerprint(),
            of(other).expect(other).fingerprint()
        );
    };
    same(
        "client_secret: a, client_auth: client_secret_jwt",
        "client_secret: a, client_auth: {client_secret_jwt: {alg: HS256, audience: token_url}}",
    );
    same(
        &format!("client_auth: {{private_key_jwt: {{{pem}}}}}"),
        &format!("client_auth: {{private_key_jwt: {{{pem}, alg: ES256, audience: token_url}}}}"),
    );
}

#[test]
fn each_mistake_is_named() {
    let pem = format!("key: \"{}\"", key());
    for (more, says) in [
        ("client_auth: private_key_jwt", "has no key"),
        ("client_auth: {}", "exactly one of"),
        ("client_auth: {private_key_jwt: {}}", "`key` is missing"),
        (
            "client_auth: {private_key_jwt: {key: hunter2}}",
            "no key in PEM",
        ),
        (
            &format!("client_auth: {{private_key_jwt: {{{pem}, alg: RS256}}}}"),
            "RS256 signs with an RSA key",
        ),
        (
            &format!("client_auth: {{private_key_jwt: {{{pem}, alg: HS256}}}}"),
            "can't sign by HS256",
        ),
        (
            &format!("client_auth: {{private_key_jwt: {{{pem}}}}}, client_secret: a"),
            "sends no secret",
        ),
        (
            &format!("client_auth: {{private_key_jwt: {{{pem}, cert: empty.pem}}}}"),
            "no certificate in this file",
        ),
        (
            &format!("client_auth: {{private_key_jwt: {{{pem}, audience: issuer}}}}"),
            "the issuer is not known",
        ),
        (
            "client_auth: {client_secret_jwt: {alg: ES256}}, client_secret: a",
            "can't sign by ES256",
        ),
        (
            "client_auth: client_secret_jwt",
            "`client_secret` is missing",
        ),
        ("client_auth: tls", "has no certificate"),
        ("client_auth: tls, client_secret: a", "sends no secret"),
        ("client_auth: none, tls: {cert: client.pem}", "has no `key`"),
        (
            "client_auth: none, tls: {key: {env: KNOWN}}",
            "has no `cert`",
        ),
        (
            "client_auth: none, tls: {cert: client.pem, key: {env: KNOWN}}",
            "no key in PEM",
        ),
        (
            "client_auth: none, tls: {server_name: a b}",
            "`server_name`",
        ),
    ] {
        let complaint = of(more).map(|_| ()).expect_err(more);
        assert!(complaint.contains(says), "{more}: {complaint}");
        assert!(!complaint.contains("hunter2") && !complaint.contains("s3cret"));
    }
}

#[test]
fn without_secrets_a_key_is_stood_in_for() {
    let keys = "client_auth: {private_key_jwt: {key: {env: NO}, alg: ES256}}, \
                tls: {cert: client.pem, key: {env: NO}}";
    let text = format!("{{token_url: 'https://x.example/t', client_id: me, {keys}}}");
    let mut decoder = Decoder::default();
    let node = config::yaml::parse(&text, &mut decoder).expect("YAML");
    let config = (find("client_credentials").expect("a grant").decode)(&node, &mut decoder);
    let mut loader = Loader {
        found: decoder.diagnostics,
        stands_in: true,
        ..Loader::default()
    };
    assert!(config.expect("decoded").build(&mut loader).is_some());
}

#[test]
fn the_token_endpoint_is_given_or_found_by_its_issuer() {
    let of = |keys: &str| {
        let text = format!("{{client_id: me, client_auth: none, {keys}}}");
        build("client_credentials", &text).map(|built| built.0)
    };
    let source = of("issuer: 'https://x.example/tenant'").expect("a source");
    assert_eq!(source.endpoints(), ["https://x.example/tenant"]);
    assert_ne!(
        source.fingerprint(),
        of("token_url: 'https://x.example/tenant'")
            .expect("a source")
            .fingerprint()
    );
    for (keys, says) in [
        (
            "issuer: 'https://x.example', token_url: 'https://x.example/t'",
            "both `token_url` and `issuer`",
        ),
        ("scope: a", "`token_url` is missing"),
        ("issuer: 'http://x.example'", "plain http"),
        ("issuer: 'https://x.example/?a'", "can't have a query"),
        (
            "issuer: 'https://x.example', tls: {server_name: y.example}",
            "belongs to one endpoint",
        ),
    ] {
        let complaint = of(keys).map(|_| ()).expect_err(keys);
        assert!(complaint.contains(says), "{keys}: {complaint}");
    }
}

#[test]
fn an_assertion_is_for_the_issuer_where_there_is_one() {
    let pem = format!("key: \"{}\"", key());
    let of = |audience: &str| {
        let auth = format!("client_auth: {{private_key_jwt: {{{pem}{audience}}}}}");
        let text = format!("{{issuer: 'https://x.example', client_id: me, {auth}}}");
        let built = build("client_credentials", &text).expect(&text);
        built.0.fingerprint()
    };
    assert_eq!(of(""), of(", audience: issuer"));
    assert_eq!(of(""), of(", audience: 'https://x.example'"));
    assert_ne!(of(""), of(", audience: token_url"));
}
