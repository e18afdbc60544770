//! `aicrisk`: a code out of a redirect, then a token; the generic one first, then a user's with it.

mod callback;
mod redirect;
mod users;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use super::{asked, count, fields, json, proxy, yaml};
use crate::support::{Exchange, Message, SECRET, TestProxy, Upstream, token};

const CODE: &str = "/api/oauth2";
const TOKEN: &str = "/api/oauth2/Token";
const CALLBACK: &str = "https://localhost/callback";

/// An installation: the newest generic token is good, and every code once.
#[derive(Default)]
struct Installation {
    issued: AtomicUsize,
    generic: Mutex<String>,
    /// By which codes are answered: 302, or 200 with JSON.
    in_body: bool,
    /// How many codes are forgotten at once.
    forgets: AtomicUsize,
}

impl Installation {
    fn start(self) -> (Arc<Self>, Upstream) {
        let installation = Arc::new(self);
        let server = Upstream::start({
            let installation = Arc::clone(&installation);
            move |exchange| installation.answer(exchange)
        });
        (installation, server)
    }

    fn answer(&self, exchange: &mut Exchange<'_>) {
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let request = &exchange.request;
        let target = request.second().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let user = query.contains("userid") || request.text().contains("userid");
        let generic = format!("Bearer {}", self.generic.lock().unwrap());
        if user && request.header("authorization") != Some(&generic) {
            return refuse(exchange);
        }
        match path {
            CODE if self.in_body => {
                json(exchange, 200, &json!({"code": token(number)}).to_string())
            }
            CODE => {
                let at = format!("Location: {CALLBACK}?code={}\r\n", token(number));
                let affinity = "Set-Cookie: ARRAffinity=one;Path=/;HttpOnly;Secure\r\nSet-Cookie: ARRAffinitySameSite=one;Path=/;SameSite=None\r\n";
                exchange.answer(302, &format!("{at}{affinity}"), "");
            }
            TOKEN if self.forgets.load(Ordering::SeqCst) > 0 => {
                self.forgets.fetch_sub(1, Ordering::SeqCst);
                exchange.answer(
                    400,
                    "Content-Type: text/plain; charset=utf-8\r\n",
                    "Invalid Code",
                );
            }
            TOKEN => {
                let token = token(number);
                if !user {
                    self.generic.lock().unwrap().clone_from(&token);
                }
                let date =
                    "Date: Sun, 30 Mar 2025 13:12:17 GMT\r\nContent-Type: application/json\r\n";
                let body = json!({"access_token": token, "expiration": "2025-03-30T14:12:17Z"});
                exchange.answer(200, date, &body.to_string());
            }
            _ => exchange.answer(200, "Set-Cookie: ARRAffinity=two;Path=/\r\n", "ok"),
        }
    }
}

fn refuse(exchange: &mut Exchange<'_>) {
    let body = r#"{"title":"Unauthorized","status":401}"#;
    exchange.answer(401, "Content-Type: application/problem+json\r\n", body);
}

fn client(more: &str) -> String {
    format!(
        "url: VENDOR, client_id: abc, client_secret: {{ env: SECRET }}, redirect_uri: '{CALLBACK}'{more}"
    )
}

/// The requests for this path.
fn to(vendor: &Upstream, path: &str) -> Vec<Message> {
    let requests = vendor.requests().into_iter();
    requests.filter(|it| it.path() == path).collect()
}

fn form(request: &Message) -> Vec<(String, String)> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

#[test]
fn a_user_s_token_is_asked_for_with_the_generic_one() {
    let (_, vendor) = Installation::default().start();
    let proxy = proxy("aicrisk", &client(", userid: 'user 42'"), &vendor);
    let answer = proxy.get("/api/Risks/List");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers("set-cookie").len(), 0);
    let redirect = "client_id=abc&redirect_uri=https%3A%2F%2Flocalhost%2Fcallback";
    assert_eq!(
        asked(&vendor),
        [
            format!("GET /api/oauth2?{redirect}"),
            format!("POST {TOKEN}"),
            format!("GET /api/oauth2?{redirect}&userid=user+42"),
            format!("POST {TOKEN}"),
            "GET /api/Risks/List".into(),
        ]
    );
    let codes = to(&vendor, CODE);
    assert_eq!(fields(&codes[0]), ["accept: application/json"]);
    assert_eq!(
        fields(&codes[1]),
        [
            "accept: application/json".to_owned(),
            format!("authorization: Bearer {}", token(2))
        ]
    );
    let tokens = to(&vendor, TOKEN);
    let length = tokens[0].body.len();
    assert_eq!(
        fields(&tokens[0]),
        [
            "accept: application/json".to_owned(),
            format!("content-length: {length}"),
            "content-type: application/x-www-form-urlencoded".into(),
            "cookie: ARRAffinity=one; ARRAffinitySameSite=one".into(),
        ]
    );
    let sent = |code| {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", "abc".into()),
            ("client_secret", SECRET.into()),
            ("redirect_uri", CALLBACK.into()),
            ("response_uri", CALLBACK.into()),
            ("code", token(code)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    };
    assert_eq!(form(&tokens[0]), sent(1));
    let mut user = sent(3);
    user.push(("userid".into(), "user 42".into()));
    assert_eq!(form(&tokens[1]), user);
    assert_eq!(
        tokens[1].headers("authorization"),
        [format!("Bearer {}", token(2))]
    );
    let carried = &to(&vendor, "/api/Risks/List")[0];
    assert_eq!(
        fields(carried),
        [
            "accept: application/json".to_owned(),
            format!("authorization: Bearer {}", token(4))
        ]
    );
}

#[test]
fn the_list_of_users_alone_takes_the_generic_token() {
    let (_, vendor) = Installation::default().start();
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    for path in ["/api/Users/ListUsers", "/api/Users/ListUsersOf"] {
        assert_eq!(proxy.get(path).status(), 200);
    }
    let bearer = |path| {
        to(&vendor, path)[0]
            .header("authorization")
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        bearer("/api/Users/ListUsers"),
        format!("Bearer {}", token(2))
    );
    assert_eq!(
        bearer("/api/Users/ListUsersOf"),
        format!("Bearer {}", token(5))
    );
}

#[test]
fn where_parameters_stand_and_how_they_are_called_can_be_said() {
    for (more, query, body) in [
        (
            ", params_in: query, redirect_param: redirect_uri",
            "redirect_uri",
            "",
        ),
        (
            ", params_in: query, redirect_param: response_uri",
            "response_uri",
            "",
        ),
        (
            ", params_in: json, redirect_param: response_uri",
            "",
            "response_uri",
        ),
    ] {
        let (_, vendor) = Installation::default().start();
        let proxy = proxy("aicrisk", &client(&format!("{more}, userid: jo")), &vendor);
        assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
        let call = &to(&vendor, TOKEN)[0];
        let names = |text: &str| -> Vec<String> {
            ["redirect_uri", "response_uri"]
                .into_iter()
                .filter(|name| text.contains(name))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(names(call.second()).join(""), query, "{more}");
        assert_eq!(names(&call.text()).join(""), body, "{more}");
        if !body.is_empty() {
            let sent: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
            assert_eq!(sent["code"], token(1));
        }
    }
}

#[test]
fn a_code_in_the_body_will_do() {
    let installation = Installation {
        in_body: true,
        ..Installation::default()
    };
    let (_, vendor) = installation.start();
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(proxy.get("/api/x").status(), 200);
}

#[test]
fn a_forgotten_code_is_asked_for_again_once() {
    let (installation, vendor) = Installation::default().start();
    installation.forgets.store(1, Ordering::SeqCst);
    let again = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(again.get("/api/Users/ListUsers").status(), 200);
    assert_eq!((count(&vendor, CODE), count(&vendor, TOKEN)), (2, 2));
    let (installation, vendor) = Installation::default().start();
    installation.forgets.store(9, Ordering::SeqCst);
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 502);
    assert_eq!((count(&vendor, CODE), count(&vendor, TOKEN)), (2, 2));
}

#[test]
fn a_generic_token_that_has_ended_is_renewed_once_for_a_user_s() {
    let (installation, vendor) = Installation::default().start();
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
    *installation.generic.lock().unwrap() = "another".into();
    assert_eq!(proxy.get("/api/x").status(), 200);
    // Generic, refused, generic again, user.
    assert_eq!((count(&vendor, CODE), count(&vendor, TOKEN)), (4, 3));
}

#[test]
fn a_refused_client_is_final() {
    let vendor = Upstream::start(refuse);
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    for _ in 0..4 {
        assert_eq!(proxy.get("/api/Users/ListUsers").code(), "token_rejected");
    }
    assert_eq!(vendor.count(), 1);
}

#[test]
fn each_user_of_the_route_has_a_token_of_their_own() {
    let (_, vendor) = Installation::default().start();
    let file = yaml("aicrisk", &client(""), &vendor);
    let file = file.replace(
        ", credential: main }",
        ", credential: main, subject: { header: X-User } }",
    );
    let proxy = TestProxy::start(&format!(
        "callers:\n  portal: {{ api_key: {{ header: X-Caller, key: portal-key }}, may_name_users: true }}\n{file}"
    ));
    for user in ["ann", "bob", "ann"] {
        let head = format!(
            "GET /api/x HTTP/1.1\r\nHost: localhost\r\nX-Caller: portal-key\r\nX-User: {user}\r\n\r\n"
        );
        assert_eq!(proxy.send(head).status(), 200);
    }
    let users: Vec<_> = to(&vendor, TOKEN)
        .iter()
        .filter_map(|it| Some(form(it).into_iter().find(|(name, _)| name == "userid")?.1))
        .collect();
    assert_eq!(users, ["ann", "bob"]);
    let sent: Vec<_> = to(&vendor, "/api/x")
        .iter()
        .map(|it| it.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(sent[0], sent[2]);
    assert_ne!(sent[0], sent[1]);
}

#[test]
fn a_client_that_logs_in_gets_a_placeholder_with_its_end_as_a_date() {
    let (_, vendor) = Installation::default().start();
    let file = yaml("aicrisk", &client(", userid: jo"), &vendor).replace(
        ", credential: main }",
        ", credential: main, emulate: true }",
    );
    let proxy = TestProxy::start(&file);
    let answer = proxy.post(TOKEN, b"client_id=x&client_secret=y&code=z");
    assert_eq!(answer.status(), 200);
    let login: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert!(login["access_token"].as_str().unwrap().starts_with("eyJ"));
    let ends = login["expiration"].as_str().unwrap();
    assert!(
        ends.starts_with("20") && ends.len() == 20 && ends.ends_with('Z'),
        "{ends}"
    );
    assert_eq!(
        proxy.get("/api/oauth2?client_id=x").code(),
        "token_endpoint_denied"
    );
    assert_eq!(vendor.count(), 0);
    let placeholder = login["access_token"].as_str().unwrap();
    let head = format!(
        "GET /api/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {placeholder}\r\n\r\n"
    );
    assert_eq!(proxy.send(head).status(), 200);
    let carried = &to(&vendor, "/api/x")[0];
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(4))]
    );
}

#[test]
fn a_token_ends_at_its_date_by_the_vendor_s_clock() {
    let (_, vendor) = Installation::default().start();
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(proxy.get("/api/x").status(), 200);
    for view in proxy.app.credentials().views() {
        let left = view.expires_in.unwrap().as_secs();
        assert!((3500..=3600).contains(&left), "{}: {left}", view.name);
    }
}

#[test]
fn a_user_s_token_that_is_refused_is_a_whole_new_dance_with_the_same_generic_one() {
    let vendor = Upstream::start(|exchange| {
        let (path, number) = (exchange.request.path().to_owned(), exchange.number);
        match path.as_str() {
            CODE => exchange.answer(302, &format!("Location: {CALLBACK}?code=c\r\n"), ""),
            TOKEN => json(
                exchange,
                200,
                &json!({"access_token": token(number)}).to_string(),
            ),
            _ if exchange.request.header("authorization")
                == Some(&format!("Bearer {}", token(3))) =>
            {
                refuse(exchange)
            }
            _ => exchange.answer(200, "", "ok"),
        }
    });
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(proxy.get("/api/x").status(), 200);
    assert_eq!((count(&vendor, CODE), count(&vendor, TOKEN)), (3, 3));
    let generic = format!("Bearer {}", token(1));
    let tokens = to(&vendor, TOKEN);
    let shown: Vec<_> = tokens.iter().map(|it| it.header("authorization")).collect();
    assert_eq!(shown, [None, Some(&*generic), Some(&*generic)]);
}

#[test]
fn a_token_by_its_other_name_is_one() {
    let vendor = Upstream::start(|exchange| match exchange.request.path() {
        CODE => exchange.answer(302, &format!("Location: {CALLBACK}?code=c\r\n"), ""),
        TOKEN => json(exchange, 200, &json!({"access_code": token(1)}).to_string()),
        _ => exchange.answer(200, "", "ok"),
    });
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
    let carried = &to(&vendor, "/api/Users/ListUsers")[0];
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
}

#[test]
fn a_missing_client_id_is_final() {
    let vendor = Upstream::start(|exchange| {
        exchange.answer(
            400,
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Invalid client_id",
        );
    });
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    for _ in 0..3 {
        assert_eq!(proxy.get("/api/Users/ListUsers").code(), "token_rejected");
    }
    assert_eq!(vendor.count(), 1);
}

#[test]
fn both_paths_can_be_said() {
    let vendor = Upstream::start(|exchange| match exchange.request.path() {
        "/authorize" => exchange.answer(302, &format!("Location: {CALLBACK}?code=c\r\n"), ""),
        "/token" => json(
            exchange,
            200,
            &json!({"access_token": token(1)}).to_string(),
        ),
        _ => exchange.answer(200, "", "ok"),
    });
    let with = client(", userid: jo, code_path: /authorize, token_path: /token");
    let proxy = proxy("aicrisk", &with, &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
    assert_eq!(proxy.post("/token", b"").code(), "token_endpoint_denied");
}

#[test]
fn an_answer_in_chunks_is_read_as_any_other() {
    let vendor = Upstream::start(|exchange| match exchange.request.path() {
        CODE => exchange.answer(302, &format!("Location: {CALLBACK}?code=c\r\n"), ""),
        TOKEN => {
            let body = json!({"access_token": token(1)}).to_string();
            let (one, other) = body.split_at(20);
            exchange.write(format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n",
                    one.len(),
                    other.len()
                ));
        }
        _ => exchange.answer(200, "", "ok"),
    });
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
    assert_eq!(proxy.get("/api/Users/ListUsers").status(), 200);
    let carried = &to(&vendor, "/api/Users/ListUsers")[0];
    assert_eq!(
        carried.headers("authorization"),
        [format!("Bearer {}", token(1))]
    );
}

#[test]
fn clients_obtain_neither_codes_nor_tokens() {
    let (_, vendor) = Installation::default().start();
    let proxy = proxy("aicrisk", &client(", userid: jo"), &vendor);
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
    assert_eq!(vendor.count(), 0);
}
