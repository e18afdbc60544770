//! A user that is looked up before a token is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CALLBACK, CODE, TOKEN, client, refuse, to};
use crate::{
    presets::{asked, count, json, proxy, yaml},
    support::{TestProxy, Upstream, token},
};

const LIST: &str = "/api/Users/ListUsers";
const USERS: &str = r#"[
    {"id": "u-1", "userName": "ann", "email": "ann@example.com"},
    {"id": "u 2/?&", "userName": "bob", "email": "bob@example.com"},
    {"id": 3, "userName": "cleo", "email": "twice@example.com"},
    {"id": "u-4", "userName": "dora", "email": "twice@example.com"}
]"#;

/// An installation with this answer for the list; the first `stale` generic tokens are refused there.
fn vendor(list: &str, stale: usize) -> Upstream {
    let (list, issued) = (list.to_owned(), AtomicUsize::new(0));
    let lists = AtomicUsize::new(0);
    Upstream::start(move |exchange| {
        let path = exchange.request.path().to_owned();
        match path.as_str() {
            CODE => exchange.answer(302, &format!("Location: {CALLBACK}?code=c\r\n"), ""),
            TOKEN => {
                let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
                json(
                    exchange,
                    200,
                    &format!(r#"{{"access_token":"{}"}}"#, token(number)),
                );
            }
            LIST if lists.fetch_add(1, Ordering::SeqCst) < stale => refuse(exchange),
            LIST => json(exchange, 200, &list),
            _ => exchange.answer(200, "", "ok"),
        }
    })
}

/// Whose tokens were asked for, as it stands in the requests.
fn users(vendor: &Upstream) -> Vec<String> {
    let codes = asked(vendor).into_iter().filter(|it| it.contains(CODE));
    codes
        .filter_map(|it| Some(it.split_once("userid=")?.1.to_owned()))
        .collect()
}

#[test]
fn a_user_is_found_by_any_member_and_asked_for_by_id() {
    for (with, user) in [
        ("userid: bob@example.com, user_by: email", "u+2%2F%3F%26"),
        ("userid: cleo, user_by: userName", "3"),
        ("userid: u-1, user_by: id", "u-1"),
    ] {
        let vendor = vendor(USERS, 0);
        let proxy = proxy("aicrisk", &client(&format!(", {with}")), &vendor);
        assert_eq!(proxy.get("/api/x").status(), 200, "{with}");
        assert_eq!(users(&vendor), [user]);
        let form = to(&vendor, TOKEN)[1].text();
        assert!(form.ends_with(&format!("&userid={user}")), "{form}");
        let list = &to(&vendor, LIST)[0];
        assert_eq!(
            list.headers("authorization"),
            [format!("Bearer {}", token(1))]
        );
        assert_eq!(list.headers("accept"), ["application/json"]);
        assert_eq!(proxy.get("/api/y").status(), 200);
        assert_eq!(count(&vendor, LIST), 1, "its outcome is the token");
    }
}

#[test]
fn a_list_may_stand_inside_its_answer() {
    let vendor = vendor(&format!(r#"{{"data":{{"users":{USERS}}}}}"#), 0);
    let with = client(", userid: ann, user_by: userName, users_at: /data/users");
    let proxy = proxy("aicrisk", &with, &vendor);
    assert_eq!(proxy.get("/api/x").status(), 200);
    assert_eq!(users(&vendor), ["u-1"]);
}

#[test]
fn a_user_who_is_not_there_is_a_refusal_that_names_nobody() {
    for (list, user) in [
        (USERS, "nobody@example.com"),
        (USERS, "ANN@example.com"),
        (USERS, "twice@example.com"),
        ("[]", "ann@example.com"),
        ("{}", "ann@example.com"),
        (
            r#"[null, 7, {"email": "ann@example.com"}]"#,
            "ann@example.com",
        ),
    ] {
        let vendor = vendor(list, 0);
        let with = client(&format!(", userid: {user}, user_by: email"));
        let proxy = proxy("aicrisk", &with, &vendor);
        for _ in 0..3 {
            let answer = proxy.get("/api/x");
            assert_eq!(answer.code(), "token_rejected", "{list} {user}");
            let told = answer.text() + &format!("{:?}", proxy.app.credentials().views());
            for secret in ["example.com", "u-1", "ann", &token(1)] {
                assert!(!told.contains(secret), "{secret}: {told}");
            }
        }
        assert_eq!(
            count(&vendor, LIST),
            1,
            "refused for good, not asked again and again"
        );
        assert_eq!(users(&vendor), [""; 0]);
    }
}

#[test]
fn a_list_without_end_is_not_read() {
    let vendor = vendor(&"[1,".repeat(400_000), 0);
    let proxy = proxy(
        "aicrisk",
        &client(", userid: ann, user_by: userName"),
        &vendor,
    );
    assert_eq!(proxy.get("/api/x").code(), "token_malformed");
    assert_eq!(users(&vendor), [""; 0]);
}

#[test]
fn a_generic_token_that_the_list_refuses_is_renewed_once() {
    for (stale, status, lists) in [(1, 200, 2), (9, 502, 2)] {
        let vendor = vendor(USERS, stale);
        let proxy = proxy(
            "aicrisk",
            &client(", userid: ann, user_by: userName"),
            &vendor,
        );
        assert_eq!(proxy.get("/api/x").status(), status);
        assert_eq!(count(&vendor, LIST), lists, "{:?}", asked(&vendor));
    }
}

#[test]
fn each_user_of_the_route_is_looked_up() {
    let vendor = vendor(USERS, 0);
    let file = yaml("aicrisk", &client(", user_by: userName"), &vendor).replace(
        ", credential: main }",
        ", credential: main, subject: { header: X-User } }",
    );
    let proxy = TestProxy::start(&format!(
        "callers:\n  portal: {{ api_key: {{ header: X-Caller, key: portal-key }}, may_name_users: true }}\n{file}"
    ));
    for (user, status) in [("ann", 200), ("dora", 200), ("eve", 502), ("ann", 200)] {
        let head = format!(
            "GET /api/x HTTP/1.1\r\nHost: localhost\r\nX-Caller: portal-key\r\nX-User: {user}\r\n\r\n"
        );
        assert_eq!(proxy.send(head).status(), status, "{user}");
    }
    assert_eq!(users(&vendor), ["u-1", "u-4"]);
}
