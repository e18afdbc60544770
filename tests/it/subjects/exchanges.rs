//! An exchange of a token that the request itself brings: verified first, and not a moment longer than it.

use std::{fs, path::PathBuf};

use serde_json::json;

use super::{
    issuer::{at, exchanged, issued},
    *,
};
use crate::support::{Answer, Message};

struct Scene {
    issuer: Issuer,
    vendor: Vendor,
    upstream: Upstream,
    proxy: TestProxy,
    _keys: Upstream,
}

impl Scene {
    fn new(more: &str) -> Self {
        let (issuer, vendor, upstream) = (Issuer::new(), Vendor::new(), Upstream::ok());
        let keys = keys(&issuer);
        let credential = format!(
            "credentials:\n  main: {{ token_exchange: {{ token_url: 'http://{}/token', subject: {{ header: X-On-Behalf-Of }}{more} }} }}\n",
            vendor.server.address()
        );
        let proxy = TestProxy::start(&[callers(&keys), credential, route(&upstream, "")].concat());
        Self {
            issuer,
            vendor,
            upstream,
            proxy,
            _keys: keys,
        }
    }

    /// As the portal, on behalf of whom this token tells of.
    #[track_caller]
    fn ask(&self, jwt: &str) -> Answer {
        let fields = format!("{}X-On-Behalf-Of: {jwt}\r\n", key(SECRET));
        self.proxy.send(get(&fields))
    }

    #[track_caller]
    fn refused(&self, what: &str, jwt: &str, status: u16, code: &str) {
        let before = (self.vendor.server.count(), self.upstream.count());
        let answer = self.ask(jwt);
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (status, code),
            "{what}"
        );
        assert_eq!(
            (self.vendor.server.count(), self.upstream.count()),
            before,
            "{what}"
        );
    }
}

#[test]
fn a_verified_token_is_exchanged_and_goes_no_further() {
    let scene = Scene::new("");
    let (ada, bob) = (scene.issuer.about(ADA), scene.issuer.about(BOB));
    for jwt in [&ada, &format!("Bearer {bob}"), &ada] {
        assert_eq!(scene.ask(jwt).status(), 200);
    }
    let calls = scene.vendor.server.requests();
    assert_eq!(calls.iter().map(exchanged).collect::<Vec<_>>(), [ada, bob]);
    let carried: Vec<_> = scene
        .upstream
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request.header("x-on-behalf-of"), None);
            assert_eq!(request.header("x-api-key"), None);
            request.headers("authorization").join(" and ")
        })
        .collect();
    let sent = |user, call| format!("Bearer {}", issued(user, call));
    assert_eq!(carried, [sent(ADA, 1), sent(BOB, 2), sent(ADA, 1)]);
}

#[test]
fn two_sessions_of_a_user_share_nothing() {
    let scene = Scene::new("");
    for session in [1, 2] {
        let jwt = scene.issuer.with(&json!({ "sub": ADA, "sid": session }));
        assert_eq!(scene.ask(&jwt).status(), 200);
    }
    assert_eq!(scene.vendor.users(), [ADA, ADA]);
}

#[test]
fn a_token_that_nobody_verifies_is_not_exchanged() {
    let scene = Scene::new("");
    let foreign = json!({ "sub": ADA, "iss": "https://else.example" });
    for (what, jwt) in [
        ("forged", Issuer::new().about(ADA)),
        (
            "expired",
            scene.issuer.with(&json!({ "sub": ADA, "exp": at(-3600) })),
        ),
        (
            "within the leeway",
            scene.issuer.with(&json!({ "sub": ADA, "exp": at(-5) })),
        ),
        (
            "for another",
            scene.issuer.with(&json!({ "sub": ADA, "aud": "other" })),
        ),
        ("of another issuer", scene.issuer.with(&foreign)),
        ("opaque", token(80)),
    ] {
        scene.refused(what, &jwt, 401, "caller_unknown");
    }
    scene.refused("empty", "", 400, "request_invalid");
}

#[test]
fn danger_allows_what_nobody_verifies_but_nothing_that_is_known_to_be_bad() {
    let scene = Scene::new(", danger_unverified_subject: true");
    for (what, jwt) in [
        ("forged", Issuer::new().about(ADA)),
        (
            "expired",
            scene.issuer.with(&json!({ "sub": ADA, "exp": at(-3600) })),
        ),
        (
            "expired, of another issuer",
            scene
                .issuer
                .with(&json!({ "sub": ADA, "iss": "https://else.example", "exp": at(-5) })),
        ),
    ] {
        scene.refused(what, &jwt, 401, "caller_unknown");
    }
    scene.refused("empty", "", 400, "request_invalid");
    scene.refused("only a scheme", "Bearer ", 400, "request_invalid");
    let foreign = json!({ "sub": ADA, "iss": "https://else.example" });
    for jwt in [scene.issuer.with(&foreign), token(80)] {
        assert_eq!(scene.ask(&jwt).status(), 200);
    }
    assert_eq!(scene.vendor.users(), [ADA.to_owned(), token(80)]);
}

#[test]
fn what_was_exchanged_ends_with_the_token_that_it_was_made_of() {
    for more in ["", ", danger_unverified_subject: true"] {
        let scene = Scene::new(more);
        let issuer = if more.is_empty() {
            ISSUER
        } else {
            "https://else.example"
        };
        let jwt = scene
            .issuer
            .with(&json!({ "sub": ADA, "iss": issuer, "exp": at(3) }));
        assert_eq!(scene.ask(&jwt).status(), 200, "{more}");
        until("it has ended", || {
            scene.ask(&jwt).code() == "caller_unknown"
        });
        let calls = scene.vendor.server.count();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(scene.vendor.server.count(), calls, "nobody renews it");
        let views = scene.proxy.app.credentials().views();
        let main = views.iter().find(|view| &*view.name == "main").unwrap();
        assert_ne!(format!("{:?}", main.state), "Fresh", "{more}");
    }
}

#[test]
fn the_callers_token_itself_is_exchanged_from_authorization() {
    let (issuer, vendor, upstream) = (Issuer::new(), Vendor::new(), Upstream::ok());
    let keys = keys(&issuer);
    let credential = format!(
        "credentials:\n  main: {{ token_exchange: {{ token_url: 'http://{}/token', subject: {{ header: Authorization }} }} }}\n",
        vendor.server.address()
    );
    let proxy = TestProxy::start(&[callers(&keys), credential, route(&upstream, "")].concat());
    let ada = issuer.about(ADA);
    assert_eq!(proxy.send(get(&bearer(&ada))).status(), 200);
    assert_eq!(exchanged(&vendor.server.request()), ada);
    let sent = format!("Bearer {}", issued(ADA, 1));
    assert_eq!(upstream.request().headers("authorization"), [sent]);
    assert_eq!(proxy.send(get(&key(CLERK))).code(), "request_invalid");
}

#[test]
fn what_builds_on_an_exchange_takes_the_same_tokens() {
    let (issuer, first, second, upstream) =
        (Issuer::new(), Vendor::new(), Vendor::new(), Upstream::ok());
    let keys = keys(&issuer);
    let credentials = format!(
        "credentials:\n  login: {{ token_exchange: {{ token_url: 'http://{}/token', subject: {{ header: X-On-Behalf-Of }} }} }}\n  \
         main: {{ token_exchange: {{ token_url: 'http://{}/token', subject: {{ credential: login }} }} }}\n",
        first.server.address(),
        second.server.address()
    );
    let proxy = TestProxy::start(&[callers(&keys), credentials, route(&upstream, "")].concat());
    let ask = |jwt: &str| proxy.send(get(&format!("{}X-On-Behalf-Of: {jwt}\r\n", key(SECRET))));
    let forged = Issuer::new().about(ADA);
    assert_eq!(ask(&forged).code(), "caller_unknown");
    for user in [ADA, BOB] {
        let answer = ask(&issuer.about(user));
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    assert_eq!(second.users(), [issued(ADA, 1), issued(BOB, 2)]);
    for request in upstream.requests() {
        assert_eq!(request.header("x-on-behalf-of"), None);
    }
}

#[test]
fn a_changed_file_is_exchanged_anew_for_each_user_once() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("it/users-actor.token");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, token(70)).unwrap();
    let scene = Scene::new(&format!(", actor: {{ file: '{}' }}", path.display()));
    let (ada, bob) = (scene.issuer.about(ADA), scene.issuer.about(BOB));
    for jwt in [&ada, &bob] {
        assert_eq!(scene.ask(jwt).status(), 200);
    }
    fs::write(&path, format!("{}\n", token(71))).unwrap();
    let calls = || {
        let calls = scene.vendor.server.requests();
        let actor = |call: &Message| {
            let mut form = form_urlencoded::parse(&call.body);
            form.find(|(name, _)| name == "actor_token")
                .map(|(_, value)| value.into_owned())
        };
        let mut calls: Vec<_> = calls
            .iter()
            // One whose body is still on its way is seen the next time.
            .filter_map(|call| Some((actor(call)?, exchanged(call))))
            .collect();
        calls.sort();
        calls
    };
    until("the new file is exchanged", || calls().len() >= 4);
    std::thread::sleep(Duration::from_millis(1500));
    let expected = [70, 71].map(|n| [&ada, &bob].map(|jwt| (token(n), jwt.clone())));
    let mut expected = expected.concat();
    expected.sort();
    assert_eq!(calls(), expected);
    assert_eq!(scene.ask(&ada).status(), 200);
    let last = scene.upstream.requests().pop().unwrap();
    let sent = last.header("authorization").unwrap();
    assert!(
        [3, 4]
            .map(|n| format!("Bearer {}", issued(ADA, n)))
            .contains(&sent.to_owned())
    );
}
