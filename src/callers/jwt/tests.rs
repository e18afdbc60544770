use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::{
    callers::{
        ApiKey, Caller, CallerUnknown, Callers, KeyHash, KeySetError, KeySets, Shown, Verdict,
    },
    secret::Secret,
};

/// Signs with a key of its own, which it publishes under a name.
struct Issuer {
    id: &'static str,
    key: EcdsaKeyPair,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { id, key }
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": x, "y": y })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, |text| {
            let signature = self.key.sign(&SystemRandom::new(), text).unwrap();
            signature.as_ref().to_vec()
        })
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "kid": self.id }), claims)
    }
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(claims.to_string())
    );
    format!("{text}.{}", encoded(sign(text.as_bytes())))
}

fn set_of(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

fn at(seconds_from_now: i64) -> i64 {
    clock::unix_time().as_secs() as i64 + seconds_from_now
}

/// Good claims, with these changes; null takes one out.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "bearerd", "sub": "ada", "exp": at(600), "user_id": 4711,
        "groups": ["staff", "admin"],
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn caller(keys: Arc<KeySet>) -> JwtCaller {
    JwtCaller {
        name: "people".into(),
        header: AUTHORIZATION,
        issuer: ISSUER.into(),
        audiences: vec!["bearerd".into(), "proxy".into()],
        algorithms: vec![Algorithm::ES256, Algorithm::RS256],
        leeway: Duration::from_secs(30),
        required: vec![("groups".into(), "admin".into())],
        subject_claim: "sub".into(),
        kept: Arc::new(["user_id".into()]),
        keys,
        may_name_users: false,
    }
}

fn fixed(keys: &[Value]) -> Arc<KeySet> {
    Arc::new(KeySet::fixed("test", set_of(keys)).unwrap())
}

fn knowing(issuer: &Issuer) -> Callers {
    Callers::new(Vec::new(), vec![caller(fixed(&[issuer.jwk()]))])
}

fn ask(callers: &Callers, token: &str) -> Verdict {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    callers.authenticate(&headers, Shown::default())
}

#[track_caller]
fn known(callers: &Callers, token: &str) -> Arc<Identity> {
    match ask(callers, token) {
        Verdict::Known(Caller::Known(identity)) => identity,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(callers: &Callers, token: &str) -> &'static str {
    match ask(callers, token) {
        Verdict::Unknown(CallerUnknown::BadToken(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_token_tells_who_calls_and_for_whom() {
    let issuer = Issuer::new("one");
    let callers = knowing(&issuer);
    let token = issuer.token(&claims(&json!({})));
    // The second time from what is remembered.
    for _ in 0..2 {
        let identity = known(&callers, &token);
        assert_eq!(
            (&*identity.name, &**identity.stands_for()),
            ("people", "ada")
        );
        assert_eq!(identity.claim("user_id").map(|it| &**it), Some("4711"));
        assert_eq!(identity.claim("groups"), None, "nobody asks for it");
        assert!(!format!("{identity:?}").contains("ada"));
    }
    let second = issuer.token(&claims(
        &json!({ "aud": ["other", "proxy"], "groups": "admin" }),
    ));
    known(&callers, &second);
}

#[test]
fn tokens_that_are_not_for_us_or_not_now_are_refused() {
    let issuer = Issuer::new("one");
    let callers = knowing(&issuer);
    let cases = [
        (json!({ "exp": at(-31) }), "it has expired"),
        (json!({ "nbf": at(31) }), "it is not valid yet"),
        (json!({ "aud": "other" }), "it is for another audience"),
        (json!({ "aud": ["a", "b"] }), "it is for another audience"),
        (json!({ "aud": null }), "it lacks `exp`, `iss` or `aud`"),
        (json!({ "exp": null }), "it lacks `exp`, `iss` or `aud`"),
        (json!({ "sub": null }), "it does not tell whom it is for"),
        (json!({ "sub": " " }), "it does not tell whom it is for"),
        (
            json!({ "groups": ["staff"] }),
            "a claim has not the value that is asked for",
        ),
        (
            json!({ "groups": null }),
            "a claim has not the value that is asked for",
        ),
    ];
    for (changes, why) in cases {
        assert_eq!(
            refused(&callers, &issuer.token(&claims(&changes))),
            why,
            "{changes}"
        );
    }
    // Within the leeway.
    known(&callers, &issuer.token(&claims(&json!({ "exp": at(-20) }))));
    let foreign = issuer.token(&claims(&json!({ "iss": "https://other.example.com" })));
    for stranger in [foreign.as_str(), "", "a.b.c", "not-a-token", "a.b"] {
        assert!(
            matches!(
                ask(&callers, stranger),
                Verdict::Unknown(CallerUnknown::Absent { bearer: true })
            ),
            "{stranger}"
        );
    }
}

#[test]
fn forged_tokens_are_refused() {
    let (issuer, stranger) = (Issuer::new("one"), Issuer::new("one"));
    let callers = knowing(&issuer);
    let good = issuer.token(&claims(&json!({})));
    let not_good = "its signature or form is not good";
    assert_eq!(
        refused(&callers, &stranger.token(&claims(&json!({})))),
        not_good
    );
    // Another's claims under a good signature.
    let mut parts: Vec<&str> = good.split('.').collect();
    let other = encoded(claims(&json!({ "sub": "bob" })).to_string());
    parts[1] = &other;
    assert_eq!(refused(&callers, &parts.join(".")), not_good);
    // No signature at all.
    let cut = good.rsplit_once('.').unwrap().0;
    assert_eq!(refused(&callers, &format!("{cut}.")), not_good);
    let extended = issuer.sign(
        &json!({ "alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false }),
        &claims(&json!({})),
    );
    assert_eq!(
        refused(&callers, &extended),
        "it needs extensions that are not known here"
    );
    known(&callers, &good);
}

#[test]
fn neither_none_nor_a_public_key_as_a_shared_secret_is_an_algorithm() {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let modulus = public.modulus().big_endian_without_leading_zero();
    let jwk = json!({
        "kty": "RSA", "kid": "r", "n": encoded(modulus),
        "e": encoded(public.exponent().big_endian_without_leading_zero()),
    });
    let callers = Callers::new(Vec::new(), vec![caller(fixed(std::slice::from_ref(&jwk)))]);
    let good = signed(&json!({ "alg": "RS256" }), &claims(&json!({})), |text| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            text,
            &mut signature,
        )
        .unwrap();
        signature
    });
    known(&callers, &good);
    let not_ours = "its signature's algorithm is not one of this caller's";
    for none in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": none, "kid": "r" });
        let token = signed(&header, &claims(&json!({})), |_| Vec::new());
        assert_eq!(refused(&callers, &token), not_ours, "{none}");
    }
    let secrets: [&[u8]; 4] = [
        modulus,
        public.as_ref(),
        jwk["n"].as_str().unwrap().as_bytes(),
        &set_of(std::slice::from_ref(&jwk)),
    ];
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let header = json!({ "alg": "HS256", "kid": "r" });
        let token = signed(&header, &claims(&json!({})), |text| {
            hmac::sign(&key, text).as_ref().to_vec()
        });
        assert_eq!(refused(&callers, &token), not_ours);
    }
    let header = json!({ "alg": "RS512", "kid": "r" });
    let token = signed(&header, &claims(&json!({})), |_| vec![0; 256]);
    assert_eq!(
        refused(&callers, &token),
        not_ours,
        "an RSA one, but not listed"
    );
}

#[test]
fn key_sets_are_bounded_and_hold_no_shared_secrets() {
    let secret = json!({ "kty": "oct", "k": encoded("kanarie"), "kid": "h" });
    let read = |text: Vec<u8>| KeySet::fixed("test", text).map(|_| ());
    assert_eq!(read(set_of(&[secret])), Err(KeySetError::NoKey));
    assert_eq!(read(b"<html>".to_vec()), Err(KeySetError::Format));
    let key = Issuer::new("one").jwk();
    assert_eq!(read(set_of(&vec![key.clone(); 100])), Ok(()));
    assert_eq!(
        read(set_of(&vec![key.clone(); 101])),
        Err(KeySetError::TooMany)
    );
    let mut large = set_of(&[key]);
    large.resize(256 * 1024 + 1, b' ');
    assert_eq!(read(large), Err(KeySetError::TooLarge));
}

#[test]
fn a_token_longer_than_any_issuer_makes_is_none() {
    let issuer = Issuer::new("one");
    let callers = knowing(&issuer);
    let filled = |length| issuer.token(&claims(&json!({ "fill": "x".repeat(length) })));
    known(&callers, &filled(8 * 1024));
    assert!(matches!(
        ask(&callers, &filled(16 * 1024)),
        Verdict::Unknown(CallerUnknown::Absent { .. })
    ));
}

#[test]
fn what_is_remembered_of_a_token_counts_in_its_callers_header_only() {
    let issuer = Issuer::new("one");
    let keys = fixed(&[issuer.jwk()]);
    let desk = JwtCaller {
        name: "desk".into(),
        header: HeaderName::from_static("x-assertion"),
        ..caller(Arc::clone(&keys))
    };
    let callers = Callers::new(Vec::new(), vec![caller(keys), desk]);
    let token = issuer.token(&claims(&json!({})));
    assert_eq!(&*known(&callers, &token).name, "people");
    let mut headers = HeaderMap::new();
    headers.insert("x-assertion", token.parse().unwrap());
    match callers.authenticate(&headers, Shown::default()) {
        Verdict::Known(Caller::Known(identity)) => assert_eq!(&*identity.name, "desk"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_without_a_key_id_costs_few_tries() {
    let strangers: Vec<_> = (0..4).map(|_| Issuer::new("stranger")).collect();
    let issuer = Issuer::new("one");
    let mut keys: Vec<_> = strangers.iter().map(Issuer::jwk).collect();
    keys.push(issuer.jwk());
    let token = issuer.sign(&json!({ "alg": "ES256" }), &claims(&json!({})));
    let of = |keys: &[Value]| Callers::new(Vec::new(), vec![caller(fixed(keys))]);
    known(&of(&keys[1..]), &token);
    assert_eq!(
        refused(&of(&keys), &token),
        "its signature or form is not good"
    );
}

#[test]
fn a_key_that_is_for_something_else_verifies_nothing() {
    for (member, value) in [("use", "enc"), ("alg", "ES384")] {
        let mut key = Issuer::new("one").jwk();
        key[member] = json!(value);
        let read = KeySet::fixed("test", set_of(&[key])).map(|_| ());
        assert_eq!(read, Err(KeySetError::NoKey), "{member}");
    }
}

#[test]
fn proofs_of_two_callers_are_refused() {
    let issuer = Issuer::new("one");
    let other = HeaderName::from_static("x-assertion");
    let second = JwtCaller {
        header: other.clone(),
        ..caller(fixed(&[issuer.jwk()]))
    };
    let key = ApiKey {
        name: "batch".into(),
        header: HeaderName::from_static("x-api-key"),
        hash: KeyHash::of(&Secret::new("k")),
        may_name_users: false,
    };
    let callers = Callers::new(vec![key], vec![caller(fixed(&[issuer.jwk()])), second]);
    let (ada, bob) = (
        issuer.token(&claims(&json!({}))),
        issuer.token(&claims(&json!({ "sub": "bob" }))),
    );
    let with = |more: &HeaderName, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {ada}").parse().unwrap());
        headers.append(more, value.parse().unwrap());
        callers.authenticate(&headers, Shown::default())
    };
    let refused = |verdict| matches!(verdict, Verdict::Unknown(CallerUnknown::Absent { .. }));
    assert!(refused(with(&HeaderName::from_static("x-api-key"), "k")));
    assert!(refused(with(&other, &bob)), "two users of one caller");
    assert!(refused(with(&AUTHORIZATION, &format!("Bearer {bob}"))));
    assert!(matches!(with(&other, &ada), Verdict::Known(_)));
}

/// An issuer's server: what it publishes now, none while it is down.
#[derive(Default)]
struct Server {
    text: Mutex<Option<Vec<u8>>>,
    calls: AtomicUsize,
}

impl Server {
    fn publish(&self, text: Option<Vec<u8>>) {
        *self.text.lock().unwrap() = text;
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn callers(self: &Arc<Self>) -> Callers {
        let server = Arc::clone(self);
        let sets = KeySets::new(tokio::runtime::Handle::current());
        let keys = sets.remote(
            [0; 32],
            "test",
            Box::new(move || {
                let server = Arc::clone(&server);
                Box::pin(async move {
                    server.calls.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let text = server.text.lock().unwrap().clone();
                    text.ok_or_else(|| "it refuses connections".to_owned())
                })
            }),
        );
        Callers::new(Vec::new(), vec![caller(keys)])
    }
}

async fn ask_twice(callers: &Callers, token: &str) -> Verdict {
    match ask(callers, token) {
        Verdict::Later(flight) => {
            flight.await;
            ask(callers, token)
        }
        verdict => verdict,
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_when_a_token_needs_them_and_rotate() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let server = Arc::new(Server::default());
    server.publish(Some(set_of(&[old.jwk()])));
    let callers = server.callers();
    let token = old.token(&claims(&json!({})));
    assert!(matches!(
        ask_twice(&callers, &token).await,
        Verdict::Known(_)
    ));
    known(&callers, &token);
    assert_eq!(server.calls(), 1);

    server.publish(Some(set_of(&[new.jwk()])));
    tokio::time::advance(Duration::from_secs(31)).await;
    let successor = new.token(&claims(&json!({})));
    assert!(matches!(
        ask_twice(&callers, &successor).await,
        Verdict::Known(_)
    ));
    assert_eq!(server.calls(), 2);
    // What the withdrawn key had verified is not remembered either.
    assert_eq!(
        refused(&callers, &token),
        "its key is not one of the issuer's"
    );
}

#[tokio::test(start_paused = true)]
async fn made_up_key_ids_cause_one_fetch_in_half_a_minute() {
    let (issuer, stranger) = (Issuer::new("one"), Issuer::new("made-up"));
    let server = Arc::new(Server::default());
    server.publish(Some(set_of(&[issuer.jwk()])));
    let callers = server.callers();
    let flights: Vec<_> = (0..100)
        .map(
            |n| match ask(&callers, &stranger.token(&claims(&json!({ "n": n })))) {
                Verdict::Later(flight) => flight,
                other => panic!("{other:?}"),
            },
        )
        .collect();
    for flight in flights {
        flight.await;
    }
    for n in 0..100 {
        refused(&callers, &stranger.token(&claims(&json!({ "n": n }))));
    }
    assert_eq!(server.calls(), 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    let _ = ask_twice(&callers, &stranger.token(&claims(&json!({})))).await;
    assert_eq!(server.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_while_the_issuer_is_down() {
    let issuer = Issuer::new("one");
    let server = Arc::new(Server::default());
    let callers = server.callers();
    let token = issuer.token(&claims(&json!({})));
    assert!(matches!(
        ask_twice(&callers, &token).await,
        Verdict::Unknown(CallerUnknown::NoKeys)
    ));
    server.publish(Some(set_of(&[issuer.jwk()])));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(matches!(
        ask_twice(&callers, &token).await,
        Verdict::Known(_)
    ));

    for down in [None, Some(b"<html>".to_vec()), Some(set_of(&[]))] {
        server.publish(down);
        tokio::time::advance(Duration::from_secs(3600)).await;
        known(&callers, &issuer.token(&claims(&json!({}))));
        tokio::time::sleep(Duration::from_secs(1)).await;
        known(&callers, &issuer.token(&claims(&json!({ "n": 1 }))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_long_for_keys() {
    let sets = KeySets::new(tokio::runtime::Handle::current());
    let silent = sets.remote(
        [0; 32],
        "test",
        Box::new(|| Box::pin(std::future::pending())),
    );
    let callers = Callers::new(Vec::new(), vec![caller(silent)]);
    let began = clock::now();
    let verdict = ask_twice(&callers, &Issuer::new("one").token(&claims(&json!({})))).await;
    // Still under way: the layer does not wait a second time.
    assert!(matches!(verdict, Verdict::Later(_)));
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_is_not_asked_for_each_token() {
    let issuer = Issuer::new("one");
    let server = Arc::new(Server::default());
    let callers = server.callers();
    for n in 0..10 {
        let token = issuer.token(&claims(&json!({ "n": n })));
        assert!(matches!(
            ask_twice(&callers, &token).await,
            Verdict::Unknown(CallerUnknown::NoKeys)
        ));
    }
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_is_found_out_although_no_token_names_another() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let server = Arc::new(Server::default());
    server.publish(Some(set_of(&[old.jwk()])));
    let callers = server.callers();
    let token = old.token(&claims(&json!({})));
    let _ = ask_twice(&callers, &token).await;
    server.publish(Some(set_of(&[new.jwk()])));
    tokio::time::advance(Duration::from_secs(14 * 60)).await;
    known(&callers, &token);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.calls(), 1);
    tokio::time::advance(Duration::from_secs(61)).await;
    known(&callers, &token);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.calls(), 2);
    assert_eq!(
        refused(&callers, &token),
        "its key is not one of the issuer's"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_never_ends_is_given_up() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let silent = KeySets::new(tokio::runtime::Handle::current()).remote(
        [0; 32],
        "test",
        Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::pending())
        }),
    );
    let callers = Callers::new(Vec::new(), vec![caller(silent)]);
    let token = Issuer::new("one").token(&claims(&json!({})));
    let _ = ask_twice(&callers, &token).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let _ = ask_twice(&callers, &token).await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

const ISSUER: &str = "https://login.example.com";
