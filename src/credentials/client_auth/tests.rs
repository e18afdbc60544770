use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::credentials::{Algorithm, FailureKind};

fn client() -> Client {
    Client {
        id: "a b:c".into(),
        secret: Secret::new("p%ss+wörd"),
    }
}

async fn decoded(auth: &ClientAuth) -> String {
    let mut form = Form::default();
    let value = auth
        .apply(&mut form, URL)
        .await
        .expect("applied")
        .expect("a header");
    assert!(value.is_sensitive());
    assert_eq!(form.as_str(), "", "one method per request");
    let text = value
        .to_str()
        .expect("ascii")
        .strip_prefix("Basic ")
        .expect("scheme");
    String::from_utf8(STANDARD.decode(text).expect("base64")).expect("utf-8")
}

#[tokio::test]
async fn basic_encodes_id_and_secret_as_a_form_does() {
    assert_eq!(
        decoded(&ClientAuth::Basic(client())).await,
        "a+b%3Ac:p%25ss%2Bw%C3%B6rd"
    );
}

#[tokio::test]
async fn basic_raw_sends_them_as_they_are() {
    assert_eq!(
        decoded(&ClientAuth::BasicRaw(client())).await,
        "a b:c:p%ss+wörd"
    );
}

async fn form(auth: &ClientAuth) -> String {
    let mut form = Form::default();
    assert!(auth.apply(&mut form, URL).await.expect("applied").is_none());
    form.as_str().to_owned()
}

#[tokio::test]
async fn body_puts_them_into_the_form_and_nowhere_else() {
    assert_eq!(
        form(&ClientAuth::Body(client())).await,
        "client_id=a+b%3Ac&client_secret=p%25ss%2Bw%C3%B6rd"
    );
}

#[tokio::test]
async fn a_public_client_sends_its_id_alone_and_so_does_one_with_a_certificate() {
    assert_eq!(
        form(&ClientAuth::None { id: "me".into() }).await,
        "client_id=me"
    );
    assert_eq!(
        form(&ClientAuth::Tls { id: "me".into() }).await,
        "client_id=me"
    );
}

fn assertion(audience: Audience) -> Assertion {
    let secret = Secret::new("s3cret");
    Assertion {
        id: "me@home".into(),
        key: SigningKey::from_secret(Algorithm::Hs256, &secret).expect("a key"),
        header: json!({"kid": "k1"}).as_object().expect("an object").clone(),
        audience,
    }
}

/// Header and claims of the assertion in the form, whose signature is verified by the crate's own tests.
async fn asserted(assertion: Assertion) -> (Value, Value) {
    let form = form(&ClientAuth::Assertion(assertion)).await;
    let pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).collect();
    let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(
        names,
        ["client_id", "client_assertion_type", "client_assertion"]
    );
    assert_eq!(pairs[0].1, "me@home");
    assert_eq!(
        pairs[1].1,
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let parts: Vec<Value> = pairs[2]
        .1
        .split('.')
        .take(2)
        .map(|part| URL_SAFE_NO_PAD.decode(part).expect("Base64"))
        .map(|part| serde_json::from_slice(&part).expect("JSON"))
        .collect();
    (parts[0].clone(), parts[1].clone())
}

#[tokio::test]
async fn an_assertion_names_client_audience_and_a_minute() {
    let before = clock::unix_time().as_secs();
    let (header, claims) = asserted(assertion(Audience::TokenUrl)).await;
    assert_eq!(header, json!({"typ": "JWT", "alg": "HS256", "kid": "k1"}));
    assert_eq!(claims["iss"], "me@home");
    assert_eq!(claims["sub"], "me@home");
    assert_eq!(claims["aud"], URL);
    let issued = claims["iat"].as_u64().expect("a number");
    assert!((before..before + 30).contains(&issued), "{issued}");
    assert_eq!(claims["exp"], issued + 60);
    let (_, claims) = asserted(assertion(Audience::Text("https://issuer".into()))).await;
    assert_eq!(claims["aud"], "https://issuer");
}

#[tokio::test]
async fn each_call_has_an_assertion_of_its_own() {
    let (_, first) = asserted(assertion(Audience::TokenUrl)).await;
    let (_, second) = asserted(assertion(Audience::TokenUrl)).await;
    assert_ne!(first["jti"], second["jti"]);
}

#[tokio::test]
async fn a_key_that_does_not_sign_is_our_own_fault() {
    let auth = ClientAuth::Assertion(Assertion {
        key: SigningKey::stand_in(Algorithm::Rs256),
        ..assertion(Audience::TokenUrl)
    });
    let error = auth
        .apply(&mut Form::default(), URL)
        .await
        .expect_err("no key");
    assert_eq!(error.kind, FailureKind::Internal);
}

#[test]
fn every_part_of_an_assertion_is_part_of_the_identity() {
    let of = |assertion: Assertion| {
        ClientAuth::Assertion(assertion)
            .fingerprint(FingerprintBuilder::new("g"))
            .finish()
    };
    let own = || assertion(Audience::TokenUrl);
    let other = Secret::new("other");
    let all = [
        own(),
        assertion(Audience::Text("a".into())),
        Assertion {
            id: "you".into(),
            ..own()
        },
        Assertion {
            header: Map::new(),
            ..own()
        },
        Assertion {
            key: SigningKey::from_secret(Algorithm::Hs256, &other).expect("a key"),
            ..own()
        },
    ];
    let distinct: std::collections::HashSet<_> = all.into_iter().map(of).collect();
    assert_eq!(distinct.len(), 5);
    assert_eq!(of(own()), of(own()));
}

const URL: &str = "https://login.example.com/token";
