//! What a pod answers to a login, and who gets to log in.

use std::thread;

use super::{LOGIN, Pod, RELAY, bot};
use crate::{
    presets::{Key, asked, count, json, only, proxy, yaml},
    support::{TestProxy, Upstream},
};

/// A pod whose logins answer like this.
fn answering(status: u16, body: &'static str) -> Upstream {
    Upstream::start(
        move |exchange| match exchange.request.second().contains("authenticate") {
            true => json(exchange, status, body),
            false => exchange.answer(200, "", "ok"),
        },
    )
}

#[test]
fn a_reply_names_the_header_that_its_token_goes_in() {
    let key = Key::new();
    for (body, path, good) in [
        (r#"{"name":"sessionToken","token":"a"}"#, "/pod/v1/x", true),
        (r#"{"token":"a"}"#, "/pod/v1/x", true),
        (
            r#"{"name":"keyManagerToken","token":"a"}"#,
            "/pod/v1/x",
            false,
        ),
        (r#"{"name":"Host","token":"a"}"#, "/pod/v1/x", false),
        (r#"{"name":"","token":"a"}"#, "/pod/v1/x", false),
        (
            r#"{"name":"sessionToken","token":"a"}"#,
            "/agent/v1/x",
            false,
        ),
    ] {
        let vendor = answering(200, body);
        let proxy = proxy("symphony", &bot(&key, ""), &vendor);
        let answer = proxy.get(path);
        assert_eq!(answer.status() == 200, good, "{body} {path}");
        if !good {
            assert_eq!(answer.code(), "token_rejected", "{body} {path}");
            assert_eq!(count(&vendor, path), 0);
        }
    }
}

#[test]
fn refused_by_many_at_once_is_one_login() {
    let (key, (pod, vendor)) = (Key::new(), Pod::default().start());
    let proxy = TestProxy::with_workers(2, &yaml("symphony", &bot(&key, ""), &vendor));
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    pod.revoke_session();
    thread::scope(|scope| {
        for number in 0..16 {
            let path = if number % 2 == 0 {
                "/agent/v4/x"
            } else {
                "/pod/v1/x"
            };
            let proxy = &proxy;
            scope.spawn(move || assert_eq!(proxy.get(path).status(), 200));
        }
    });
    assert_eq!(count(&vendor, LOGIN), 2, "{:?}", asked(&vendor));
    assert!(count(&vendor, RELAY) <= 2, "{:?}", asked(&vendor));
}

#[test]
fn what_only_looks_like_a_jwt_is_opaque() {
    for session in ["a.b.c", "..", "e30.!.x", "e30.W10.x"] {
        let key = Key::new();
        let vendor = Upstream::start(move |exchange| {
            let name = match exchange.request.second() {
                LOGIN => "sessionToken",
                RELAY => "keyManagerToken",
                _ => return exchange.answer(200, "", "ok"),
            };
            json(
                exchange,
                200,
                &format!(r#"{{"name":"{name}","token":"{session}"}}"#),
            );
        });
        let proxy = proxy("symphony", &bot(&key, ""), &vendor);
        assert_eq!(proxy.get("/agent/v4/x").status(), 200, "{session}");
        assert_eq!(
            only(&vendor, "/agent/v4/x").headers("keymanagertoken"),
            [session]
        );
    }
}
