//! `subject:` of a route: a token for each user, and nobody's for who may not say whose.

use std::thread;

use serde_json::json;

use super::{issuer::issued, *};
use crate::support::Answer;

struct Scene {
    issuer: Issuer,
    vendor: Vendor,
    upstream: Upstream,
    proxy: TestProxy,
    _keys: Upstream,
}

impl Scene {
    fn new(subject: &str) -> Self {
        Self::before(Upstream::ok(), subject)
    }

    fn before(upstream: Upstream, subject: &str) -> Self {
        let (issuer, vendor) = (Issuer::new(), Vendor::new());
        let keys = keys(&issuer);
        let proxy = TestProxy::with_workers(
            2,
            &[
                callers(&keys),
                minting(&vendor),
                route(&upstream, &format!("subject: {subject}")),
            ]
            .concat(),
        );
        Self {
            issuer,
            vendor,
            upstream,
            proxy,
            _keys: keys,
        }
    }

    #[track_caller]
    fn ask(&self, fields: &str) -> Answer {
        self.proxy.send(get(fields))
    }

    #[track_caller]
    fn refused(&self, fields: &str, status: u16, code: &str) {
        let answer = self.ask(fields);
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (status, code),
            "{fields}"
        );
        assert_eq!(
            (self.vendor.server.count(), self.upstream.count()),
            (0, 0),
            "{fields}"
        );
    }
}

fn authorization(of: &Upstream) -> Vec<String> {
    let requests = of.requests();
    let all = requests
        .iter()
        .map(|it| it.headers("authorization").join(" and "));
    all.collect()
}

fn sent(user: &str, call: usize) -> String {
    format!("Bearer {}", issued(user, call))
}

#[test]
fn each_user_has_a_token_of_his_own() {
    let scene = Scene::new("caller");
    for user in [ADA, BOB, ADA, BOB] {
        assert_eq!(scene.ask(&bearer(&scene.issuer.about(user))).status(), 200);
    }
    assert_eq!(scene.vendor.users(), [ADA, BOB]);
    assert_eq!(
        authorization(&scene.upstream),
        [sent(ADA, 1), sent(BOB, 2), sent(ADA, 1), sent(BOB, 2)]
    );
}

#[test]
fn no_two_users_share_a_token_when_all_come_at_once() {
    let scene = Scene::new("caller");
    let users: Vec<String> = (0..8).map(|n| format!("kanarienvogel-{n}")).collect();
    thread::scope(|scope| {
        for user in &users {
            for _ in 0..3 {
                let request = get(&format!(
                    "{}X-Me: {user}\r\n",
                    bearer(&scene.issuer.about(user))
                ));
                let proxy = &scene.proxy;
                scope.spawn(move || {
                    let mut client = proxy.connect();
                    for _ in 0..5 {
                        assert_eq!(client.send(&request).answer().status(), 200);
                    }
                });
            }
        }
    });
    assert_eq!(
        scene.vendor.server.count(),
        users.len(),
        "one call for each"
    );
    for request in scene.upstream.requests() {
        let (me, carried) = (
            request.header("x-me").unwrap(),
            request.header("authorization"),
        );
        let carried = carried.unwrap();
        assert!(
            carried.ends_with(&format!("-of-{me}")),
            "{me} has {carried}"
        );
    }
    assert_eq!(scene.upstream.count(), 8 * 3 * 5);
}

#[test]
fn a_caller_with_a_key_stands_for_itself() {
    let scene = Scene::new("caller");
    assert_eq!(scene.ask(&key(CLERK)).status(), 200);
    assert_eq!(scene.vendor.users(), ["clerk"]);
    assert_eq!(authorization(&scene.upstream), [sent("clerk", 1)]);
    scene.ask(&bearer(&scene.issuer.about(ADA)));
    assert_eq!(scene.vendor.users(), ["clerk", ADA]);
}

#[test]
fn a_claim_names_the_user_and_who_lacks_it_is_denied() {
    let scene = Scene::new("{ claim: employee }");
    scene.refused(&bearer(&scene.issuer.about(ADA)), 403, "caller_denied");
    scene.refused(&key(CLERK), 403, "caller_denied");
    let empty = scene.issuer.with(&json!({ "sub": ADA, "employee": "" }));
    scene.refused(&bearer(&empty), 400, "request_invalid");
    for user in [ADA, BOB] {
        let jwt = scene.issuer.with(&json!({ "sub": user, "employee": 4711 }));
        assert_eq!(scene.ask(&bearer(&jwt)).status(), 200);
    }
    assert_eq!(
        scene.vendor.users(),
        ["4711"],
        "both tokens name the same user"
    );
}

#[test]
fn only_a_caller_that_may_names_users_in_a_header() {
    let scene = Scene::new("{ header: X-User }");
    let naming = |user: &str| format!("X-User: {user}\r\n");
    scene.refused(&(key(CLERK) + &naming(ADA)), 403, "caller_denied");
    let bob = bearer(&scene.issuer.about(BOB));
    scene.refused(&(bob + &naming(ADA)), 403, "caller_denied");
    scene.refused(&naming(ADA), 401, "caller_unknown");
    for user in [ADA, BOB] {
        assert_eq!(scene.ask(&(key(SECRET) + &naming(user))).status(), 200);
    }
    assert_eq!(scene.vendor.users(), [ADA, BOB]);
    assert_eq!(authorization(&scene.upstream), [sent(ADA, 1), sent(BOB, 2)]);
}

#[test]
fn a_user_who_is_nobody_is_a_bad_request() {
    let scene = Scene::new("{ header: X-User }");
    let long = format!("X-User: {}\r\n", "x".repeat(1025));
    for fields in [
        "",
        "X-User:\r\n",
        "X-User:   \r\n",
        "X-User: a\r\nX-User: a\r\n",
        "X-User: a\tb\r\n",
        &long,
    ] {
        scene.refused(&(key(SECRET) + fields), 400, "request_invalid");
    }
    let scene = Scene::new("caller");
    for nobody in ["", "  "] {
        let jwt = scene.issuer.about(nobody);
        scene.refused(&bearer(&jwt), 401, "caller_unknown");
    }
}

#[test]
fn the_header_that_names_the_user_goes_no_further_in_any_spelling() {
    let scene = Scene::new("{ header: X-User }");
    let fields = format!(
        "{}X-User: {ADA}\r\nX_User: {BOB}\r\nx_uSER: {BOB}\r\n",
        key(SECRET)
    );
    assert_eq!(scene.ask(&fields).status(), 200);
    assert_eq!(scene.vendor.users(), [ADA], "another spelling names nobody");
    let request = scene.upstream.request();
    let names: Vec<_> = request
        .fields
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    assert!(
        !names.iter().any(|name| name.replace('_', "-") == "x-user"),
        "{names:?}"
    );
    assert_eq!(request.header("x-api-key"), None);
}

#[test]
fn the_callers_own_token_never_reaches_the_upstream() {
    let issuer = Issuer::new();
    let (keys, upstream) = (keys(&issuer), Upstream::ok());
    // The credential can't be had, and the route goes on without.
    let vendor = Vendor::answering(|exchange, _| exchange.answer(403, "", ""));
    let proxy = TestProxy::start(
        &[
            callers(&keys),
            minting(&vendor),
            route(&upstream, "subject: caller, on_failure: pass"),
        ]
        .concat(),
    );
    let ada = issuer.about(ADA);
    for fields in [bearer(&ada), format!("authorization: bEARER  {ada}\r\n")] {
        assert_eq!(proxy.send(get(&fields)).status(), 200);
    }
    assert_eq!(vendor.users()[0], ADA);
    assert_eq!(authorization(&upstream), ["", ""]);
    let bytes = upstream.bytes().concat();
    let signature = ada.rsplit('.').next().unwrap().as_bytes();
    assert!(!bytes.windows(signature.len()).any(|it| it == signature));
}

#[test]
fn a_refusal_costs_only_that_users_token_and_his_request_is_sent_again() {
    let upstream = Upstream::start(|exchange| {
        let refused = exchange.request.header("authorization") == Some(&*sent(ADA, 1));
        exchange.answer(if refused { 401 } else { 200 }, "", "");
    });
    let scene = Scene::before(upstream, "caller");
    let (ada, bob) = (scene.issuer.about(ADA), scene.issuer.about(BOB));
    // The first call is Ada's: her token is the refused one.
    assert_eq!(scene.ask(&bearer(&ada)).status(), 200);
    assert_eq!(scene.ask(&bearer(&bob)).status(), 200);
    assert_eq!(scene.vendor.users(), [ADA, ADA, BOB]);
    assert_eq!(
        authorization(&scene.upstream),
        [sent(ADA, 1), sent(ADA, 2), sent(BOB, 3)]
    );
    for jwt in [&ada, &bob] {
        assert_eq!(scene.ask(&bearer(jwt)).status(), 200);
    }
    assert_eq!(scene.vendor.server.count(), 3, "nobody lost a good token");
}

#[test]
fn a_refusal_leaves_the_tokens_of_others_as_they_are() {
    let refusing = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::start({
        let refusing = Arc::clone(&refusing);
        move |exchange| {
            let adas = exchange.request.header("authorization") == Some(&*sent(ADA, 1));
            let refused = adas && refusing.load(Ordering::SeqCst);
            exchange.answer(if refused { 401 } else { 200 }, "", "");
        }
    });
    let scene = Scene::before(upstream, "caller");
    let (ada, bob) = (scene.issuer.about(ADA), scene.issuer.about(BOB));
    for jwt in [&ada, &bob] {
        assert_eq!(scene.ask(&bearer(jwt)).status(), 200);
    }
    refusing.store(true, Ordering::SeqCst);
    let post = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n{}\r\nhello",
        bearer(&ada)
    );
    assert_eq!(scene.proxy.send(post).status(), 200);
    for jwt in [&bob, &ada] {
        assert_eq!(scene.ask(&bearer(jwt)).status(), 200);
    }
    assert_eq!(scene.vendor.users(), [ADA, BOB, ADA]);
    assert_eq!(
        authorization(&scene.upstream)[2..],
        [sent(ADA, 1), sent(ADA, 3), sent(BOB, 2), sent(ADA, 3)]
    );
    assert_eq!(scene.upstream.requests()[3].text(), "hello");
}

#[test]
fn what_is_shown_of_a_credential_names_no_user() {
    let scene = Scene::new("caller");
    for user in [ADA, BOB] {
        scene.ask(&bearer(&scene.issuer.about(user)));
    }
    let views = scene.proxy.app.credentials().views();
    let main = views.iter().find(|view| &*view.name == "main").unwrap();
    assert_eq!(main.subjects.as_ref().unwrap().kept, 2);
    crate::support::check("the view", format!("{views:?}").as_bytes());
}

#[test]
fn a_credential_that_builds_on_a_users_is_that_users() {
    let (issuer, first, second, upstream) =
        (Issuer::new(), Vendor::new(), Vendor::new(), Upstream::ok());
    let keys = keys(&issuer);
    let credentials = minting(&first).replace("main:", "login:")
        + &format!(
            "  main: {{ token_exchange: {{ token_url: 'http://{}/token', subject: {{ credential: login }} }} }}\n",
            second.server.address()
        );
    let proxy = TestProxy::start(
        &[
            callers(&keys),
            credentials,
            route(&upstream, "subject: caller"),
        ]
        .concat(),
    );
    for user in [ADA, BOB, ADA] {
        let answer = proxy.send(get(&bearer(&issuer.about(user))));
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    assert_eq!(first.users(), [ADA, BOB]);
    assert_eq!(second.users(), [issued(ADA, 1), issued(BOB, 2)]);
    let sent = |user, call| sent(&issued(user, call), call);
    assert_eq!(
        authorization(&upstream),
        [sent(ADA, 1), sent(BOB, 2), sent(ADA, 1)]
    );
}
