//! `symbl`: id and secret as JSON, and a token that comes again with what it has left.

use std::time::Duration;

use super::{Temporary, asked, count, fields, json, life, only, proxy, yaml};
use crate::support::{Exchange, SECRET, TestProxy, Upstream, token};

const GENERATE: &str = "/oauth2/token:generate";
const MESSAGES: &str = "/v1/conversations/1/messages";

const APPLICATION: &str = "url: VENDOR, app_id: app-1, app_secret: { env: SECRET }";

/// Generates the token of the call's number with this life, as JSON has it; `api` answers all else.
fn symbl(life: &'static str, api: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| match exchange.request.second() {
        GENERATE => generate(exchange, exchange.number + 1, life),
        _ => api(exchange),
    })
}

/// One member is misspelled, as in the vendor's own schema.
fn generate(exchange: &mut Exchange<'_>, number: usize, life: &str) {
    let token = token(number);
    let body = format!(r#"{{"accessToken":"{token}","expiresIn":{life},"refershToken":"unused"}}"#);
    json(exchange, 200, &body);
}

fn ok(exchange: &mut Exchange<'_>) {
    exchange.answer(200, "", "ok");
}

fn invalid(exchange: &mut Exchange<'_>) {
    let body = r#"{"message":"Token validation failed for provided token."}"#;
    json(exchange, 401, body);
}

#[test]
fn a_token_is_asked_for_in_json_at_a_literal_colon() {
    let symbl = symbl("86400", ok);
    let proxy = proxy("symbl", APPLICATION, &symbl);
    assert_eq!(proxy.get(MESSAGES).status(), 200);
    let call = only(&symbl, GENERATE);
    assert_eq!(call.start, "POST /oauth2/token:generate HTTP/1.1");
    assert_eq!(
        call.text(),
        format!(r#"{{"type":"application","appId":"app-1","appSecret":"{SECRET}"}}"#)
    );
    assert_eq!(
        fields(&call),
        [
            "accept: application/json".to_owned(),
            format!("content-length: {}", call.body.len()),
            "content-type: application/json".into(),
        ]
    );
}

#[test]
fn a_secret_of_any_letters_arrives_as_it_is() {
    let secret = "a\"b\\c/é€\u{1F600}";
    let (symbl, file) = (symbl("86400", ok), Temporary::new(secret));
    let with = APPLICATION.replace("{ env: SECRET }", &format!("{{ file: {} }}", file.path()));
    let proxy = proxy("symbl", &with, &symbl);
    assert_eq!(proxy.get(MESSAGES).status(), 200);
    let body: serde_json::Value = serde_json::from_slice(&only(&symbl, GENERATE).body).unwrap();
    assert_eq!(body["appSecret"], secret);
}

#[test]
fn the_token_stands_where_it_is_wanted_and_what_sdks_send_nowhere() {
    let (head, query) = (
        format!("{MESSAGES}?limit=5"),
        format!("access_token={}", token(1)),
    );
    for (place, target, carried) in [
        (
            "header",
            head.clone(),
            vec![format!("authorization: Bearer {}", token(1))],
        ),
        (
            "api_key",
            head.clone(),
            vec![format!("x-api-key: {}", token(1))],
        ),
        ("query", format!("{head}&{query}"), vec![]),
    ] {
        let symbl = symbl("86400", ok);
        let proxy = proxy("symbl", &format!("{APPLICATION}, place: {place}"), &symbl);
        let answer = proxy.send(format!(
            "GET {MESSAGES}?access_token=mine&limit=5&Access_Token=mine HTTP/1.1\r\nHost: localhost\r\n\
             X-API-Key: mine\r\nx_api_key: mine\r\nAuthorization: Bearer mine\r\n\r\n"
        ));
        assert_eq!(answer.status(), 200, "{place}");
        let sent = only(&symbl, MESSAGES);
        assert_eq!(
            (sent.second(), fields(&sent)),
            (&*target, carried),
            "{place}"
        );
    }
}

/// The endpoint gives a token again, with the seconds that it has left: those count, not a day.
#[test]
fn a_life_is_what_the_answer_says_is_left_of_it() {
    for (said, seconds) in [
        ("86400", 86_400),
        ("120", 120),
        ("119.5", 119),
        ("\"90\"", 90),
    ] {
        let symbl = symbl(said, ok);
        let proxy = proxy("symbl", APPLICATION, &symbl);
        assert_eq!(proxy.get(MESSAGES).status(), 200, "{said}");
        let left = life(&proxy, "main").unwrap();
        let most = Duration::from_secs(seconds + 1);
        assert!(
            left <= most && left > most - Duration::from_secs(12),
            "{said}: {left:?}"
        );
    }
}

#[test]
fn a_life_of_nothing_is_an_error_and_no_endless_loop() {
    for said in ["0", "-5", "\"0\""] {
        let symbl = symbl(said, ok);
        let proxy = proxy("symbl", APPLICATION, &symbl);
        for _ in 0..20 {
            assert_eq!(proxy.get(MESSAGES).code(), "token_malformed", "{said}");
        }
        assert!(count(&symbl, GENERATE) <= 3, "{said}: {:?}", asked(&symbl));
        assert_eq!(count(&symbl, MESSAGES), 0, "{said}");
    }
}

#[test]
fn a_token_that_fails_validation_is_renewed_once() {
    let symbl = symbl("86400", |exchange| {
        let first = format!("Bearer {}", token(1));
        match exchange.request.header("authorization") == Some(&first) {
            true => invalid(exchange),
            false => ok(exchange),
        }
    });
    let proxy = proxy("symbl", APPLICATION, &symbl);
    assert_eq!(proxy.get(MESSAGES).status(), 200);
    assert_eq!((count(&symbl, GENERATE), count(&symbl, MESSAGES)), (2, 2));
}

/// Until near its end there is no other token to be had: the refused one is neither sent again nor asked for again.
#[test]
fn the_refused_token_again_is_no_reason_to_hurry() {
    let symbl = Upstream::start(|exchange| match exchange.request.second() {
        GENERATE => generate(exchange, 1, "3000"),
        _ => invalid(exchange),
    });
    let proxy = proxy("symbl", APPLICATION, &symbl);
    assert_eq!(proxy.get(MESSAGES).code(), "credential_refused");
    assert_eq!((count(&symbl, GENERATE), count(&symbl, MESSAGES)), (2, 1));
    for _ in 0..10 {
        assert_eq!(proxy.get(MESSAGES).code(), "credential_refused");
    }
    assert!(count(&symbl, GENERATE) <= 4, "{:?}", asked(&symbl));
    assert_eq!(count(&symbl, MESSAGES), 11, "each request once");
}

#[test]
fn too_many_jobs_and_missing_data_are_the_client_s_to_know() {
    let busy =
        r#"{"statusCode":429,"message":"You have reached the maximum of 50 concurrent jobs."}"#;
    let symbl = symbl("86400", move |exchange| match exchange.number {
        1..4 => exchange.answer(429, "Retry-After: 3\r\n", busy),
        _ => json(exchange, 404, r#"{"message":"Not found"}"#),
    });
    let proxy = proxy("symbl", APPLICATION, &symbl);
    for _ in 0..3 {
        let answer = proxy.post(MESSAGES, b"{}");
        assert_eq!((answer.status(), answer.text()), (429, busy.to_owned()));
        assert_eq!(answer.headers("retry-after"), ["3"]);
    }
    assert_eq!(proxy.get(MESSAGES).status(), 404);
    assert_eq!((count(&symbl, GENERATE), count(&symbl, MESSAGES)), (1, 4));
}

#[test]
fn a_refused_pair_is_not_tried_by_every_request() {
    let symbl = Upstream::start(|exchange| json(exchange, 401, r#"{"message":"Unauthorized"}"#));
    let proxy = proxy("symbl", APPLICATION, &symbl);
    for _ in 0..5 {
        let answer = proxy.get(MESSAGES);
        assert_eq!((answer.status(), &*answer.code()), (502, "token_rejected"));
    }
    assert_eq!(asked(&symbl), [format!("POST {GENERATE}")]);
}

#[test]
fn clients_neither_obtain_nor_end_a_token() {
    let symbl = symbl("86400", ok);
    let refused = |proxy: &TestProxy, method: &str, path: &str| {
        let answer = proxy.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        assert_eq!(answer.code(), "token_endpoint_denied", "{method} {path}");
    };
    let proxy = proxy("symbl", APPLICATION, &symbl);
    for path in [
        GENERATE,
        "/oauth2/token%3Agenerate",
        "/OAuth2/Token:Generate",
        "/oauth2/token:refresh",
        "/oauth2/token:revoke",
    ] {
        refused(&proxy, "POST", path);
    }
    refused(&proxy, "DELETE", "/oauth2/token:revoke");

    let file = yaml("symbl", APPLICATION, &symbl);
    let file = file.replace("credential: main }", "credential: main, emulate: true }");
    let proxy = TestProxy::start(&file);
    let made_up = br#"{"type":"application","appId":"made","appSecret":"up"}"#;
    let login = proxy.post(GENERATE, made_up);
    let said: serde_json::Value = serde_json::from_slice(&login.body).unwrap();
    assert_eq!((login.status(), &said["expiresIn"]), (200, &3600.into()));
    assert!(said["accessToken"].is_string(), "{said}");
    refused(&proxy, "DELETE", "/oauth2/token:revoke");
    assert_eq!(asked(&symbl), [""; 0]);
}
