//! `symphony` and `symphony_oauth`: what each API family gets, and what of its answers is whose affair.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::{Key, asked, count, fields, json, life, only, proxy, symphony::bot, yaml};
use crate::support::{Exchange, TestProxy, Upstream, token};

const LOGIN: &str = "/login/pubkey/authenticate";
const RELAY: &str = "/relay/pubkey/authenticate";
const IDM: &str = "/login/idm/tokens";

/// A pod that gives whatever is asked for, also below `/context`; `api` answers all else, and is told how many of its
/// requests came before.
fn pod(api: impl Fn(&mut Exchange<'_>, usize) + Send + Sync + 'static) -> Upstream {
    let before = AtomicUsize::new(0);
    Upstream::start(move |exchange| {
        let token = token(exchange.number + 1);
        let path = exchange.request.path();
        let body = match path.trim_start_matches("/context") {
            LOGIN => json!({"name": "sessionToken", "token": token}),
            RELAY => json!({"name": "keyManagerToken", "token": token}),
            IDM => json!({"token_type": "Bearer", "expires_in": 1800, "access_token": token}),
            _ => return api(exchange, before.fetch_add(1, Ordering::SeqCst)),
        };
        json(exchange, 200, &body.to_string());
    })
}

fn ok(exchange: &mut Exchange<'_>, _: usize) {
    exchange.answer(200, "", "ok");
}

#[test]
fn the_pod_s_apis_get_the_session_alone_and_the_key_manager_is_not_asked() {
    let (key, pod) = (Key::new(), pod(ok));
    let proxy = proxy("symphony", &bot(&key, ""), &pod);
    for path in [
        "/pod/v2/sessioninfo",
        "/v5/users/1",
        "/v1/groups/type/x",
        "/agentx/y",
    ] {
        assert_eq!(proxy.get(path).status(), 200, "{path}");
        let carried = fields(&only(&pod, path));
        assert_eq!(carried, [format!("sessiontoken: {}", token(1))], "{path}");
    }
    assert_eq!((count(&pod, LOGIN), count(&pod, RELAY)), (1, 0));
}

/// A gateway puts something before all paths.
#[test]
fn behind_a_context_each_api_gets_its_own_all_the_same() {
    for (preset, paths, headers) in [
        (
            "symphony",
            ["/pod/v1/x", "/agent/v4/x"],
            [&["sessiontoken"][..], &["keymanagertoken", "sessiontoken"]],
        ),
        (
            "symphony_oauth",
            ["/files/v1/1", "/profile-manager/v1/x"],
            [&["authorization"], &["authorization"]],
        ),
    ] {
        let (key, pod) = (Key::new(), pod(ok));
        let with = bot(&key, ", context: /context").replace("VENDOR", "VENDOR/context");
        let file = yaml(preset, &with, &pod);
        let file = file.replace("/', credential", "/context/', credential");
        let proxy = TestProxy::start(&file);
        for (path, wanted) in paths.into_iter().zip(headers) {
            assert_eq!(proxy.get(path).status(), 200, "{path}");
            let sent = fields(&only(&pod, &format!("/context{path}")));
            let names: Vec<_> = sent
                .iter()
                .map(|it| it.split(':').next().unwrap())
                .collect();
            assert_eq!(names, wanted, "{path}");
        }
        let scopes: Vec<_> = asked(&pod)
            .into_iter()
            .filter(|it| it.contains(IDM))
            .collect();
        let expected: &[&str] = match preset {
            "symphony" => &[],
            _ => &["scope=sym-files", "scope=profile-manager"],
        };
        assert!(
            scopes
                .iter()
                .map(|it| it.split('?').nth(1).unwrap())
                .eq(expected.iter().copied()),
            "{scopes:?}"
        );
        let answer = proxy.post("/login/idm/tokens", b"");
        assert_eq!(answer.code(), "token_endpoint_denied", "{preset}");
    }
}

#[test]
fn what_a_client_says_of_itself_and_of_its_request_arrives() {
    let (key, pod) = (Key::new(), pod(ok));
    let proxy = proxy("symphony_oauth", &bot(&key, ""), &pod);
    let own = [
        "if-match: \"7\"",
        "user-agent: Robot/1.0",
        "x-trace-id: 9uIbZQ",
    ];
    let head = "PUT /profile-manager/v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n";
    let answer = proxy.send(format!("{head}{}\r\n\r\n", own.join("\r\n")));
    assert_eq!(answer.status(), 200);
    let sent = only(&pod, "/profile-manager/v1/x");
    for line in own {
        let (name, value) = line.split_once(": ").unwrap();
        assert_eq!(sent.headers(name), [value]);
    }
}

#[test]
fn an_agent_of_its_own_tells_its_version_to_anybody() {
    let agent = Upstream::start(|exchange| json(exchange, 200, r#"{"version":"Agent-25.8.1"}"#));
    let (key, pod) = (Key::new(), simplified());
    let more = format!(", agent_url: 'http://{}'", agent.address());
    let proxy = proxy("symphony", &bot(&key, &more), &pod);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    assert_eq!(fields(&agent.request()), ["accept: application/json"]);
}

/// A pod whose sessions say that keys are delivered without the key manager.
fn simplified() -> Upstream {
    Upstream::start(|exchange| match exchange.request.second() {
        LOGIN => {
            let claims = json!({"canUseSimplifiedKeyDelivery": true});
            let session = super::unsigned(&claims, &token(1));
            json(exchange, 200, &json!({"token": session}).to_string());
        }
        _ => exchange.answer(200, "", "ok"),
    })
}

/// The Files API has a shape of its own for what it refuses.
#[test]
fn the_files_api_refuses_a_token_with_401_and_a_right_with_403() {
    let no_token = r#"{"error":"Invalid session token"}"#;
    let no_right = r#"{"error":"Invalid entitlements"}"#;
    let (key, pod) = (
        Key::new(),
        pod(move |exchange, before| match before {
            0 => json(exchange, 401, no_token),
            1 => exchange.answer(200, "", "ok"),
            _ => json(exchange, 403, no_right),
        }),
    );
    let proxy = proxy("symphony_oauth", &bot(&key, ""), &pod);
    assert_eq!(proxy.get("/files/v1/1").status(), 200);
    for _ in 0..3 {
        let answer = proxy.get("/files/v1/2");
        assert_eq!((answer.status(), answer.text()), (403, no_right.to_owned()));
    }
    assert_eq!((count(&pod, LOGIN), count(&pod, IDM)), (1, 2));
    assert_eq!(count(&pod, "/files/v1/2"), 3);
}

/// The answer is a 200 with the address of the file elsewhere, which is signed: it wants no token of ours.
#[test]
fn a_file_s_address_is_told_and_not_followed() {
    let storage = Upstream::ok();
    let at = format!(
        "http://{}/b/f?X-Goog-Signature=a%2Bb&x=1",
        storage.address()
    );
    let body = json!({"message": "ok", "signedUrl": at}).to_string();
    let (key, pod) = (
        Key::new(),
        pod({
            let (at, body) = (at.clone(), body.clone());
            move |exchange, _| exchange.answer(200, &format!("Location: {at}\r\n"), &body)
        }),
    );
    let proxy = proxy("symphony_oauth", &bot(&key, ", scope: sym-files"), &pod);
    let answer = proxy.get("/files/v1/1");
    assert_eq!((answer.status(), answer.text()), (200, body));
    assert_eq!(answer.headers("location"), [at]);
    assert_eq!(storage.connections(), 0);
}

#[test]
fn a_key_manager_s_token_that_ends_alone_is_renewed_with_the_session() {
    let revoked = Arc::new(AtomicUsize::new(0));
    let (key, pod) = (
        Key::new(),
        pod({
            let revoked = Arc::clone(&revoked);
            move |exchange, _| {
                let revoked = token(revoked.load(Ordering::SeqCst));
                match exchange.request.header("keymanagertoken") == Some(&revoked) {
                    true => json(exchange, 401, r#"{"code":401,"message":"Invalid"}"#),
                    false => exchange.answer(200, "", "ok"),
                }
            }
        }),
    );
    let proxy = proxy("symphony", &bot(&key, ""), &pod);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    revoked.store(2, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(proxy.get("/agent/v4/x").status(), 200, "{:?}", asked(&pod));
    }
    assert_eq!((count(&pod, LOGIN), count(&pod, RELAY)), (2, 2));
    assert_eq!(proxy.get("/pod/v1/x").status(), 200);
    assert_eq!(count(&pod, LOGIN), 2, "the pod's requests have it too");
}

#[test]
fn no_trouble_of_an_api_but_a_401_logs_in() {
    let (key, pod) = (
        Key::new(),
        pod(|exchange, before| match before {
            0 => exchange.answer(429, "Retry-After: 5\r\n", "slow down"),
            1 => exchange.answer(500, "", "oh"),
            2 => exchange.answer(503, "", "oh"),
            3 => exchange.answer(403, "", "no"),
            _ => exchange.reset(),
        }),
    );
    let proxy = proxy("symphony", &bot(&key, ""), &pod);
    let statuses: Vec<u16> = (0..5)
        .map(|_| proxy.post("/agent/v4/x", b"{}").status())
        .collect();
    assert_eq!(statuses, [429, 500, 503, 403, 502]);
    assert_eq!((count(&pod, LOGIN), count(&pod, RELAY)), (1, 1));
    assert_eq!(count(&pod, "/agent/v4/x"), 5, "each was sent once");
}

#[test]
fn a_scoped_token_lives_as_long_as_is_said_else_for_minutes() {
    for (said, most) in [(json!(1800), 1800), (json!("900"), 900), (json!(null), 300)] {
        let (key, pod) = (
            Key::new(),
            Upstream::start({
                let said = said.clone();
                move |exchange| {
                    let token = token(exchange.number + 1);
                    let body = match exchange.request.second() {
                        LOGIN => json!({"token": token}),
                        "/login/idm/tokens" => {
                            json!({"token_type": "Bearer", "expires_in": said, "access_token": token})
                        }
                        _ => return exchange.answer(200, "", "ok"),
                    };
                    json(exchange, 200, &body.to_string());
                }
            }),
        );
        let proxy = proxy("symphony_oauth", &bot(&key, ""), &pod);
        assert_eq!(proxy.get("/community/x").status(), 200, "{said}");
        let (left, most) = (life(&proxy, "main").unwrap(), Duration::from_secs(most));
        assert!(
            left <= most && left > most - Duration::from_secs(12),
            "{said}: {left:?}"
        );
    }
}

/// Session, key manager's token and all: longer than most servers' heads may be.
#[test]
fn long_tokens_are_sent() {
    let long = |number: usize| format!("{}{}", token(number), "x".repeat(12_000));
    let (key, pod) = (
        Key::new(),
        Upstream::start(move |exchange| match exchange.request.second() {
            LOGIN | RELAY => {
                let body = json!({"token": long(exchange.number)}).to_string();
                json(exchange, 200, &body);
            }
            _ => exchange.answer(200, "", "ok"),
        }),
    );
    let proxy = proxy("symphony", &bot(&key, ""), &pod);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    let sent = only(&pod, "/agent/v4/x");
    assert_eq!(sent.headers("sessiontoken"), [long(0)]);
    assert_eq!(sent.headers("keymanagertoken"), [long(1)]);
}

/// Who calls is no part of it; everything that the session is made of is.
#[test]
fn a_session_is_every_client_s_and_another_one_s_where_anything_changes() {
    let (key, other, pod) = (Key::new(), Key::new(), pod(ok));
    let of = |with: &str| {
        let callers = "callers:\n  a: { api_key: { key: the-key-of-a } }\n  b: { api_key: { key: the-key-of-b } }\n";
        format!("{callers}{}", yaml("symphony", with, &pod))
    };
    let proxy = TestProxy::start(&of(&bot(&key, "")));
    let logins = || {
        for caller in ["a", "b"] {
            let head = format!(
                "GET /pod/v1/x HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: the-key-of-{caller}\r\n\r\n"
            );
            assert_eq!(proxy.send(head).status(), 200);
        }
        count(&pod, LOGIN) + count(&pod, "/login/pubkey/app/authenticate")
    };
    assert_eq!(logins(), 1);
    for (changed, total) in [
        (bot(&key, ""), 1),
        (bot(&key, "").replace("robot", "droid"), 2),
        (bot(&other, "").replace("robot", "droid"), 3),
    ] {
        proxy.reload(&of(&changed)).unwrap();
        assert_eq!(logins(), total, "{changed}");
    }
}

/// The gateway before a pod may want to know who comes, besides the pod.
#[test]
fn a_header_for_a_gateway_can_be_put_beside_each_api_s_own() {
    let (key, pod) = (Key::new(), pod(ok));
    let file = yaml("symphony", &bot(&key, ""), &pod);
    let at = format!("http://{}", pod.address());
    let session = "{ header: sessionToken, value: '{{ session_token }}' }";
    let relay = "{ header: keyManagerToken, value: '{{ key_manager_token }}', optional: true }";
    let gateway = "{ header: X-Gateway-Key, value: for-the-gateway }";
    let file = file.replace(
        "credential: main }",
        &format!("credential: main, inject: [{session}, {gateway}] }}"),
    );
    let proxy = TestProxy::start(&format!(
        "{file}  - {{ name: agent, match: /agent/, upstream: '{at}/agent/', credential: main.agent, \
         inject: [{session}, {relay}, {gateway}] }}\n"
    ));
    for (path, wanted) in [
        ("/pod/v1/x", &["sessiontoken", "x-gateway-key"][..]),
        (
            "/agent/v4/x",
            &["keymanagertoken", "sessiontoken", "x-gateway-key"],
        ),
    ] {
        let own = "X-Gateway-Key: mine\r\nSessionToken: mine\r\nKeyManagerToken: mine\r\n";
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{own}\r\n");
        assert_eq!(proxy.send(head).status(), 200, "{path}");
        let sent = only(&pod, path);
        let all = fields(&sent);
        let names: Vec<_> = all.iter().map(|it| it.split(':').next().unwrap()).collect();
        assert_eq!(names, wanted, "{path}");
        assert_eq!(sent.headers("x-gateway-key"), ["for-the-gateway"]);
    }
}
