//! `aicrisk`, and what differs from one installation or description to another.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{asked, count, only, proxy};
use crate::support::{Exchange, Upstream, token};

const CODE: &str = "/api/oauth2";
const TOKEN: &str = "/api/oauth2/Token";
const CLIENT: &str = "url: VENDOR, client_id: abc, client_secret: { env: SECRET }, \
                      redirect_uri: 'https://localhost/callback', userid: jo";

/// Redirects with a code at `code`; `answer` is what comes of one, and `api` answers all else.
fn installation(
    code: &'static str,
    answer: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
    api: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
) -> Upstream {
    Upstream::start(move |exchange| {
        let path = exchange.request.path().to_owned();
        if path == code {
            let code = token(exchange.number + 1);
            let at = format!("Location: https://localhost/callback?code={code}\r\n");
            return exchange.answer(302, &at, "");
        }
        match path.eq_ignore_ascii_case(TOKEN) {
            true => answer(exchange),
            false => api(exchange),
        }
    })
}

/// A token of the request's number that ends an hour after the answer.
fn issue(exchange: &mut Exchange<'_>) {
    let body =
        json!({"access_token": token(exchange.number + 1), "expiration": "2025-03-30T14:12:17Z"});
    exchange.answer(200, DATED, &body.to_string());
}

const DATED: &str =
    "Date: Sun, 30 Mar 2025 13:12:17 GMT\r\nContent-Type: application/json; charset=utf-8\r\n";

fn ok(exchange: &mut Exchange<'_>) {
    exchange.answer(200, "", "ok");
}

/// The diagrams call the path of the code otherwise, a gateway may write the token's in small letters, the prose calls
/// the token `access_code`, and the answers come in chunks.
#[test]
fn other_paths_another_name_and_chunks_are_understood() {
    let vendor = installation(
        "/authorize",
        |exchange| {
            let body = json!({"access_code": token(exchange.number + 1), "expiration": "2025-03-30T14:12:17Z"})
                .to_string();
            let (one, other) = body.split_at(20);
            exchange.write(format!(
                "HTTP/1.1 200 OK\r\n{DATED}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n",
                one.len(),
                other.len()
            ));
        },
        ok,
    );
    let with = format!("{CLIENT}, code_path: /authorize, token_path: /api/oauth2/token");
    let proxy = proxy("aicrisk", &with, &vendor);
    assert_eq!(proxy.get("/api/Risks").status(), 200);
    assert_eq!(count(&vendor, "/authorize"), 2);
    assert_eq!(count(&vendor, "/api/oauth2/token"), 2);
    let carried = only(&vendor, "/api/Risks");
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(4))]
    );
}

/// Nothing that a new code would mend, though it is a 400 in plain text, too.
#[test]
fn a_parameter_that_is_missing_begins_nothing_again() {
    let vendor = installation(
        CODE,
        |exchange| {
            let kind = "Content-Type: text/plain; charset=utf-8\r\n";
            exchange.answer(400, kind, "Invalid client_id");
        },
        ok,
    );
    let proxy = proxy("aicrisk", CLIENT, &vendor);
    for _ in 0..3 {
        let answer = proxy.get("/api/Users/ListUsers");
        assert_eq!((answer.status(), &*answer.code()), (502, "token_rejected"));
    }
    assert_eq!((count(&vendor, CODE), count(&vendor, TOKEN)), (1, 1));
}

/// There is no refresh token.
#[test]
fn a_user_s_token_that_is_refused_is_had_by_the_whole_dance_again() {
    let refusals = AtomicUsize::new(0);
    let vendor = installation(CODE, issue, move |exchange| {
        match refusals.fetch_add(1, Ordering::SeqCst) {
            0 => exchange.answer(
                401,
                "Content-Type: application/problem+json\r\n",
                r#"{"title":"Unauthorized","status":401}"#,
            ),
            _ => exchange.answer(200, "", "ok"),
        }
    });
    let proxy = proxy("aicrisk", CLIENT, &vendor);
    assert_eq!(proxy.post("/api/Risks", b"{}").text(), "ok");
    // The generic one, the user's, and that once more: by a code of its own.
    assert_eq!((count(&vendor, CODE), count(&vendor, TOKEN)), (3, 3));
    let requests = vendor.requests();
    let codes: Vec<_> = requests
        .iter()
        .filter(|it| it.second() == TOKEN)
        .map(|it| {
            let mut form = form_urlencoded::parse(&it.body);
            form.find(|(name, _)| name == "code")
                .map(|(_, code)| code.into_owned())
        })
        .collect();
    let [generic, first, second] = [1, 3, 6].map(|number| Some(token(number)));
    assert_eq!(codes, [generic, first, second]);
}

#[test]
fn clients_obtain_neither_codes_nor_tokens() {
    let vendor = installation(CODE, issue, ok);
    let proxy = proxy("aicrisk", CLIENT, &vendor);
    for target in [
        "/api/oauth2?client_id=abc&redirect_uri=https%3A%2F%2Flocalhost%2Fcallback&userid=ann",
        "/API/OAuth2/",
        TOKEN,
        "/api/oauth2/token",
    ] {
        assert_eq!(
            proxy.get(target).code(),
            "token_endpoint_denied",
            "{target}"
        );
        let answer = proxy.post(target, b"client_id=abc");
        assert_eq!(answer.code(), "token_endpoint_denied", "{target}");
    }
    assert_eq!(asked(&vendor), [""; 0]);
}
