use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA512, RsaEncoding},
};
use serde_json::{Value, json};

use super::{
    super::testing::{self, Seen, get, request, seen},
    *,
};
use crate::cli::demo::key;

const POD: &str = "/login/pubkey/authenticate";
const KEY_MANAGER: &str = "/relay/pubkey/authenticate";

/// A pod, and the bot's half of the key.
struct Bot {
    pod: Symphony,
    pair: KeyPair,
}

impl Bot {
    fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let public = key::PublicKey::of(&pair);
        let pod = Symphony::new("bot", public);
        Self { pod, pair }
    }

    fn assertion(&self, header: &Value, claims: &Value, how: &'static dyn RsaEncoding) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(how, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("a signature");
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn signed(&self, claims: &Value) -> String {
        self.assertion(&json!({ "alg": "RS512" }), claims, &RSA_PKCS1_SHA512)
    }

    fn good(&self) -> String {
        self.signed(&json!({ "sub": "bot", "exp": now() + 240 }))
    }

    fn login(&self, path: &str, assertion: &str) -> Seen {
        let body = json!({ "token": assertion }).to_string();
        seen(self.pod.answer(&testing::json(path, &[], &body)))
    }

    fn tokens(&self) -> (String, String) {
        let token = |path| self.login(path, &self.good()).field("token");
        (token(POD), token(KEY_MANAGER))
    }

    fn scoped(&self, session: &str, query: &str) -> Seen {
        let path = format!("/login/idm/tokens{query}");
        let post = request("POST", &path, &[("sessionToken", session)], "");
        seen(self.pod.answer(&post))
    }

    fn call(&self, path: &str, headers: &[(&str, &str)]) -> Seen {
        seen(self.pod.answer(&get(path, headers)))
    }
}

fn now() -> u64 {
    clock::unix_time().as_secs()
}

#[tokio::test]
async fn a_good_assertion_brings_the_token_and_the_name_of_its_header() {
    let bot = Bot::new();
    let session = bot.login(POD, &bot.good());
    assert!(session.is(200, r#""name":"sessionToken""#), "{session:?}");
    assert!(session.field("authorizationToken").starts_with("Bearer ey"));
    let relay = bot.login(KEY_MANAGER, &bot.good());
    assert!(relay.is(200, r#""name":"keyManagerToken""#), "{relay:?}");
}

#[tokio::test]
async fn another_algorithm_is_refused_as_the_pod_refuses() {
    let bot = Bot::new();
    let claims = json!({ "sub": "bot", "exp": now() + 240 });
    for (alg, how) in [
        ("RS256", &RSA_PKCS1_SHA256 as &'static dyn RsaEncoding),
        ("PS512", &RSA_PSS_SHA512),
        ("none", &RSA_PKCS1_SHA512),
    ] {
        let refused = bot.login(POD, &bot.assertion(&json!({ "alg": alg }), &claims, how));
        assert!(
            refused.is(401, r#"{"code":401,"message":"#),
            "{alg}: {refused:?}"
        );
    }
    let lying = bot.assertion(&json!({ "alg": "RS512" }), &claims, &RSA_PKCS1_SHA256);
    assert!(bot.login(POD, &lying).is(401, "signature"));
}

#[tokio::test]
async fn an_assertion_lives_five_minutes_at_most() {
    let bot = Bot::new();
    let ask = |exp: u64| bot.login(POD, &bot.signed(&json!({ "sub": "bot", "exp": exp })));
    assert!(ask(now() - 1).is(401, "has expired"));
    assert!(ask(now() + 310).is(401, "300 s ahead"));
    assert_eq!(ask(now() + 290).status, 200);
}

#[tokio::test]
async fn claims_are_exactly_sub_and_exp() {
    let bot = Bot::new();
    let exp = now() + 240;
    for claims in [
        json!({ "sub": "another", "exp": exp }),
        json!({ "sub": "bot", "exp": exp, "iat": now() }),
        json!({ "sub": "bot", "exp": exp, "aud": "pod" }),
        json!({ "sub": "bot" }),
        json!({ "sub": "bot", "exp": "tomorrow" }),
    ] {
        assert_eq!(bot.login(POD, &bot.signed(&claims)).status, 401, "{claims}");
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    let bot = Bot::new();
    let stranger = Bot::new();
    assert!(bot.login(POD, &stranger.good()).is(401, "signature"));
    assert_eq!(bot.login(KEY_MANAGER, "not.a-jwt").status, 401);
}

#[tokio::test]
async fn a_login_is_json_by_post() {
    let bot = Bot::new();
    let body = format!("token={}", bot.good());
    let form = bot.pod.answer(&testing::form(POD, &[], &body));
    assert_eq!(form.status(), 415);
    let untyped = json!({ "token": bot.good() }).to_string();
    let untyped = bot.pod.answer(&request("POST", POD, &[], &untyped));
    assert_eq!(untyped.status(), 415);
    assert_eq!(bot.pod.answer(&get(POD, &[])).status(), 405);
    assert_eq!(bot.pod.answer(&testing::json(POD, &[], "{}")).status(), 400);
}

#[tokio::test]
async fn the_identity_service_wants_a_session_and_an_entitlement() {
    let bot = Bot::new();
    let (session, _) = bot.tokens();
    let good = bot.scoped(&session, "?scope=sym-files");
    assert!(good.is(200, r#""expires_in":3600"#), "{good:?}");
    assert_eq!(bot.scoped(&session, "").status, 200, "the common JWT");
    assert_eq!(bot.scoped("made-up", "?scope=sym-files").status, 401);
    let refused = bot.scoped(&session, "?scope=sym-files%20compliance");
    assert!(refused.is(403, "entitlement"), "{refused:?}");
    bot.pod.sessions.revoke_all();
    assert_eq!(bot.scoped(&session, "?scope=sym-files").status, 401);
}

#[tokio::test]
async fn each_api_family_wants_its_own_headers() {
    let bot = Bot::new();
    let (session, manager) = bot.tokens();
    let file = bot
        .scoped(&session, "?scope=sym-files")
        .field("access_token");
    let common = bot.scoped(&session, "").field("access_token");
    let (file, common) = (format!("Bearer {file}"), format!("Bearer {common}"));
    let session = ("sessionToken", session.as_str());
    let manager = ("keyManagerToken", manager.as_str());
    let file = ("authorization", file.as_str());
    let common = ("authorization", common.as_str());

    let agent = |headers: &[_]| bot.call("/agent/v4/stream/s/message", headers).status;
    assert_eq!(agent(&[session, manager]), 200);
    assert_eq!(agent(&[session]), 401);
    assert_eq!(agent(&[session, manager, file]), 400);

    let pod = |headers: &[_]| bot.call("/pod/v2/sessioninfo", headers).status;
    assert_eq!(pod(&[session]), 200);
    assert_eq!(pod(&[session, manager]), 400);
    assert_eq!(pod(&[("sessionToken", "made-up")]), 401);

    let files = |headers: &[_]| bot.call("/files/v1/f1", headers);
    assert_eq!(files(&[file]).status, 200);
    assert_eq!(files(&[file, session]).status, 400);
    assert!(files(&[common]).is(401, r#"{"error":"Invalid session token"}"#));
    assert_eq!(files(&[session]).status, 401);
}

#[tokio::test]
async fn the_profile_manager_wants_its_scope_and_the_pod_s_name() {
    let bot = Bot::new();
    let (session, _) = bot.tokens();
    let bearer = |scope: &str| {
        let token = bot.scoped(&session, scope).field("access_token");
        format!("Bearer {token}")
    };
    let (own, files) = (bearer("?scope=profile-manager"), bearer("?scope=sym-files"));
    let call = |headers: &[_]| bot.call("/profile-manager/v1/x", headers).status;
    let (own, files) = (("authorization", &*own), ("authorization", &*files));
    let host = ("x-symphony-host", "acme.symphony.com");
    assert_eq!(call(&[own, host]), 200);
    assert_eq!(call(&[own]), 400);
    assert_eq!(call(&[files, host]), 401);
    assert_eq!(call(&[host]), 401);
}

#[tokio::test]
async fn an_extension_app_gets_its_own_token_back_with_the_pod_s() {
    const PATH: &str = "/login/v1/pubkey/app/authenticate/extensionApp";
    let bot = Bot::new();
    let login = |body: &Value| seen(bot.pod.answer(&testing::json(PATH, &[], &body.to_string())));
    let good = login(&json!({ "appToken": "mine", "authToken": bot.good() }));
    assert_eq!(good.status, 200, "{good:?}");
    assert_eq!(
        (good.field("appId"), good.field("appToken")),
        ("bot".into(), "mine".into())
    );
    let ends: u64 = good.field("expireAt").parse().expect("a number");
    assert!(ends > now() * 1000);
    assert!(bot.pod.sessions.accepts(&good.field("symphonyToken")));
    for wrong in [
        json!({ "appToken": "mine" }),
        json!({ "authToken": bot.good() }),
        json!({ "appToken": "mine", "authToken": bot.good(), "more": 1 }),
    ] {
        assert_eq!(login(&wrong).status, 400, "{wrong}");
    }
    let late = bot.signed(&json!({ "sub": "bot", "exp": now() + 301 }));
    assert_eq!(
        login(&json!({ "appToken": "mine", "authToken": late })).status,
        401
    );
}
