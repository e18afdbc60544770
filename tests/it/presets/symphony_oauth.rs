//! `symphony_oauth`: tokens of the identity service, bought with a session.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{
    Key, asked, count, fields, json, only, proxy,
    symphony::{Pod, bot},
    unsigned, yaml,
};
use crate::support::{TestProxy, Upstream, token};

const LOGIN: &str = "/login/pubkey/authenticate";
const IDM: &str = "/login/idm/tokens";

#[test]
fn a_scope_is_asked_for_with_the_session() {
    for (scope, query) in [
        (", scope: sym-files", "?scope=sym-files"),
        (
            ", scope: [sym-files, profile-manager]",
            "?scope=sym-files+profile-manager",
        ),
        ("", ""),
    ] {
        let (key, (_, vendor)) = (Key::new(), Pod::default().start());
        let proxy = proxy("symphony_oauth", &bot(&key, scope), &vendor);
        proxy.get("/community/x");
        let asked = only(&vendor, IDM);
        assert_eq!(
            asked.start,
            format!("POST /login/idm/tokens{query} HTTP/1.1")
        );
        assert_eq!(
            fields(&asked),
            [
                "accept: application/json".to_owned(),
                "content-length: 0".into(),
                format!("sessiontoken: {}", token(1))
            ]
        );
        let carried = only(&vendor, "/community/x");
        assert_eq!(
            carried.headers("authorization"),
            [format!("Bearer {}", token(2))]
        );
        assert_eq!(carried.headers("sessiontoken").len(), 0);
    }
}

#[test]
fn a_refused_token_is_renewed_before_the_session() {
    let (key, (pod, vendor)) = (Key::new(), Pod::default().start());
    let proxy = proxy("symphony_oauth", &bot(&key, ", scope: sym-files"), &vendor);
    let get = || {
        assert_eq!(
            proxy.get("/files/v1/1").status(),
            200,
            "{:?}",
            asked(&vendor)
        )
    };
    get();
    pod.revoke_bearer();
    get();
    assert_eq!((count(&vendor, LOGIN), count(&vendor, IDM)), (1, 2));
    // Only where the session is refused as well is there another one.
    pod.revoke_bearer();
    pod.revoke_session();
    get();
    assert_eq!((count(&vendor, LOGIN), count(&vendor, IDM)), (2, 4));
    let last: Vec<_> = asked(&vendor).into_iter().rev().take(5).collect();
    let expected = [
        "GET /files/v1/1",
        "POST /login/idm/tokens?scope=sym-files",
        "POST /login/pubkey/authenticate",
        "POST /login/idm/tokens?scope=sym-files",
        "GET /files/v1/1",
    ];
    assert_eq!(last, expected);
}

#[test]
fn a_missing_entitlement_is_no_reason_to_log_in_again() {
    let (key, (pod, vendor)) = (Key::new(), Pod::default().start());
    pod.refuses_scopes.store(true, Ordering::SeqCst);
    let proxy = proxy("symphony_oauth", &bot(&key, ", scope: sym-files"), &vendor);
    for _ in 0..5 {
        assert_eq!(proxy.get("/files/v1/1").code(), "token_rejected");
    }
    assert_eq!((count(&vendor, LOGIN), count(&vendor, IDM)), (1, 1));
}

#[test]
fn each_api_gets_the_scope_that_it_wants_where_none_is_said() {
    let (key, (_, vendor)) = (Key::new(), Pod::default().start());
    let proxy = proxy(
        "symphony_oauth",
        &bot(&key, ", host: acme.symphony.com"),
        &vendor,
    );
    proxy.get("/files/v1/1");
    proxy.get("/profile-manager/v1/x");
    let asked: Vec<_> = asked(&vendor)
        .into_iter()
        .filter(|it| it.contains(IDM))
        .collect();
    assert_eq!(
        asked,
        [
            format!("POST {IDM}?scope=sym-files"),
            format!("POST {IDM}?scope=profile-manager")
        ]
    );
    assert_eq!(count(&vendor, LOGIN), 1);
    assert_eq!(
        only(&vendor, "/profile-manager/v1/x").headers("x-symphony-host"),
        ["acme.symphony.com"]
    );
    assert_eq!(
        only(&vendor, "/files/v1/1")
            .headers("x-symphony-host")
            .len(),
        0
    );
}

#[test]
fn the_session_of_another_credential_will_do() {
    let (key, (_, vendor)) = (Key::new(), Pod::default().start());
    let at = format!("http://{}", vendor.address());
    let file = yaml("symphony", &bot(&key, ""), &vendor);
    let (credentials, _) = file.split_once("routes:").unwrap();
    let proxy = TestProxy::start(&format!(
        "{credentials}  files:\n    preset: symphony_oauth\n    with: {{ pod_url: '{at}', session: main, scope: sym-files }}\n\
         routes:\n  - {{ match: /, upstream: '{at}/', credential: main }}\n  \
         - {{ match: /files/, upstream: '{at}/files/', credential: files }}\n"
    ));
    assert_eq!(proxy.get("/pod/v1/x").status(), 200);
    assert_eq!(proxy.get("/files/v1/1").status(), 200);
    assert_eq!((count(&vendor, LOGIN), count(&vendor, IDM)), (1, 1));
}

#[test]
fn the_profile_manager_hears_the_pod_s_name_whatever_the_scope() {
    let (key, (_, vendor)) = (Key::new(), Pod::default().start());
    let with = bot(
        &key,
        ", scope: [sym-files, profile-manager], host: acme.symphony.com",
    );
    let proxy = proxy("symphony_oauth", &with, &vendor);
    assert_eq!(proxy.get("/profile-manager/v1/x").status(), 200);
    assert_eq!(proxy.get("/files/v1/1").status(), 200);
    let host = |path| only(&vendor, path).headers("x-symphony-host").len();
    assert_eq!((host("/profile-manager/v1/x"), host("/files/v1/1")), (1, 0));
    assert_eq!(
        (count(&vendor, LOGIN), count(&vendor, IDM)),
        (1, 1),
        "one token for both"
    );
}

/// `authorizationToken` begins with `Bearer ` already.
#[test]
fn the_common_jwt_of_a_login_will_do_for_the_profile_manager() {
    let key = Key::new();
    let soon = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs()
        + 300;
    let common = unsigned(&json!({ "exp": soon }), &token(1));
    let vendor = Upstream::start({
        let common = common.clone();
        move |exchange| match exchange.request.second() {
            LOGIN => {
                let body = json!({"name": "sessionToken", "token": token(2), "authorizationToken": format!("Bearer {common}")});
                json(exchange, 200, &body.to_string());
            }
            _ => exchange.answer(200, "", "ok"),
        }
    });
    let proxy = proxy(
        "symphony_oauth",
        &bot(&key, ", host: acme.symphony.com, profile_manager: login"),
        &vendor,
    );
    assert_eq!(proxy.get("/profile-manager/v1/x").status(), 200);
    let carried = only(&vendor, "/profile-manager/v1/x");
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {common}")]
    );
    assert_eq!(carried.headers("x-symphony-host"), ["acme.symphony.com"]);
    assert_eq!(carried.headers("sessiontoken").len(), 0);
    assert_eq!(count(&vendor, IDM), 0);
    let views = proxy.app.credentials().views();
    let view = views
        .iter()
        .find(|it| &*it.name == "main.profile_manager")
        .unwrap();
    let left = view.expires_in.unwrap().as_secs();
    assert!((200..=300).contains(&left), "{left}");
}

#[test]
fn a_pod_without_a_common_jwt_says_so() {
    let key = Key::new();
    let vendor = Upstream::start(|exchange| {
        let body = json!({"name": "sessionToken", "token": token(1)});
        json(exchange, 200, &body.to_string());
    });
    let proxy = proxy(
        "symphony_oauth",
        &bot(&key, ", profile_manager: login"),
        &vendor,
    );
    let answer = proxy.get("/profile-manager/v1/x");
    assert_eq!(answer.code(), "token_malformed");
    assert!(
        answer
            .text()
            .contains("no /authorizationToken in the answer"),
        "{answer:?}"
    );
}
