//! Presets of no vendor: `csrf_login` and `nested_json`.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{asked, fields, json, only, proxy};
use crate::support::{SECRET, Upstream, token};

/// A web application that sends a form with a token, wants both back, and counts its sessions.
fn application(field: &'static str) -> Upstream {
    let sessions = AtomicUsize::new(0);
    Upstream::start(move |exchange| {
        let request = &exchange.request;
        let own = format!("sessionid={}", token(sessions.load(Ordering::SeqCst)));
        match request.start.split(' ').collect::<Vec<_>>()[..] {
            ["GET", "/login", _] => {
                let set = format!("Set-Cookie: csrftoken={}; Path=/\r\n", token(77));
                exchange.answer(200, &set, field);
            }
            ["POST", "/login", _] => {
                let cookie = request.header("cookie") == Some(&format!("csrftoken={}", token(77)));
                let secret: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
                let form = format!("csrf_token={}&username=jo&password={secret}", token(77));
                if !cookie || request.text() != form {
                    return exchange.answer(200, "", "wrong password");
                }
                let number = sessions.fetch_add(1, Ordering::SeqCst) + 1;
                let set = format!(
                    "Location: /\r\nSet-Cookie: sessionid={}; HttpOnly\r\n",
                    token(number)
                );
                exchange.answer(302, &set, "");
            }
            ["GET", "/end", _] => {
                sessions.fetch_add(1, Ordering::SeqCst);
                exchange.answer(200, "", "");
            }
            _ if request.header("cookie") == Some(&own) => exchange.answer(200, "", "ok"),
            _ => exchange.answer(401, "", ""),
        }
    })
}

fn page(attributes: &str) -> &'static str {
    let value = token(77);
    let text =
        format!("<form><input name=user><input {attributes}></form>").replace("VALUE", &value);
    Box::leak(text.into_boxed_str())
}

const ACCOUNT: &str = "login_url: VENDOR/login, username: jo, password: { env: SECRET }";

#[test]
fn a_form_is_sent_with_the_token_of_its_page() {
    for (attributes, more) in [
        (r#"type="hidden" name="csrf_token" value="VALUE""#, ""),
        (r"value='VALUE' type=hidden name='csrf_token'/", ""),
        ("", ", csrf_from: cookie"),
    ] {
        let application = application(page(attributes));
        let proxy = proxy("csrf_login", &format!("{ACCOUNT}{more}"), &application);
        assert_eq!(proxy.get("/app").status(), 200, "{attributes}");
        assert_eq!(
            asked(&application),
            ["GET /login", "POST /login", "GET /app"]
        );
    }
}

#[test]
fn a_session_that_ends_is_followed_by_another() {
    let application = application(page(r#"name="csrf_token" value="VALUE""#));
    let proxy = proxy("csrf_login", ACCOUNT, &application);
    assert_eq!(proxy.get("/app").status(), 200);
    assert_eq!(proxy.get("/end").status(), 200);
    assert_eq!(proxy.get("/app").status(), 200);
}

#[test]
fn a_page_again_is_a_wrong_password_and_not_tried_by_every_request() {
    let application = application(page(r#"name="csrf_token" value="VALUE""#));
    let account = ACCOUNT.replace("jo", "ann");
    let proxy = proxy("csrf_login", &account, &application);
    for _ in 0..4 {
        assert_eq!(proxy.get("/app").code(), "token_rejected");
    }
    assert_eq!(application.count(), 2);
}

#[test]
fn a_token_is_found_inside_its_answer() {
    let ends = "2999-01-01T00:00:00.000-07:00";
    let vendor = Upstream::start(move |exchange| {
        let body = format!(
            r#"{{"success":true,"data":{{"access_token":"{}","expires_at":"{ends}"}}}}"#,
            token(1)
        );
        match exchange.request.second() {
            "/x" => exchange.answer(200, "", "ok"),
            _ => json(exchange, 200, &body),
        }
    });
    let with = "url: VENDOR/auth/v1, key: { env: SECRET }, header: X-Auth, scheme: xelion";
    let proxy = proxy("nested_json", with, &vendor);
    assert_eq!(proxy.get("/x").status(), 200);
    let call = only(&vendor, "/auth/v1");
    assert_eq!(call.start, "POST /auth/v1 HTTP/1.1");
    assert_eq!(call.text(), format!(r#"{{"apiKey":"{SECRET}"}}"#));
    assert_eq!(
        fields(&only(&vendor, "/x")),
        [format!("x-auth: xelion {}", token(1))]
    );
}

#[test]
fn an_error_inside_a_200_is_one() {
    let vendor = Upstream::start(|exchange| {
        json(
            exchange,
            200,
            r#"{"success":false,"error":{"code":"x","message":"no"}}"#,
        );
    });
    let proxy = proxy(
        "nested_json",
        "url: VENDOR/auth, key: { env: SECRET }",
        &vendor,
    );
    for _ in 0..3 {
        assert_eq!(proxy.get("/x").code(), "token_rejected");
    }
    assert_eq!(vendor.count(), 1);
}
