//! `symphony`: logins that fail, that stand elsewhere, and those that clients attempt.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use super::{
    Key, Temporary, asked, count, fields, json, life, only, proxy, symphony::bot, unsigned, yaml,
};
use crate::support::{Authority, Exchange, TestProxy, Upstream, text_of, token, until};

const LOGIN: &str = "/login/pubkey/authenticate";

/// Answers this to every login, and 200 to all else.
fn pod(login: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| match is_login(exchange) {
        true => login(exchange),
        false => exchange.answer(200, "", "ok"),
    })
}

fn is_login(exchange: &Exchange<'_>) -> bool {
    exchange.request.start.starts_with("POST") && exchange.request.second().contains("authenticate")
}

/// Gives what is asked for: the token of the request's number.
fn give(exchange: &mut Exchange<'_>) {
    let name = match exchange.request.second().contains("/relay/") {
        true => "keyManagerToken",
        false => "sessionToken",
    };
    let body = json!({"name": name, "token": token(exchange.number + 1)});
    json(exchange, 200, &body.to_string());
}

#[track_caller]
fn is_refused_for_twenty_minutes(proxy: &TestProxy) {
    for _ in 0..5 {
        let answer = proxy.get("/pod/v1/x");
        assert_eq!((answer.status(), &*answer.code()), (502, "token_rejected"));
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1150..=1200).contains(&after), "{after}");
    }
}

#[test]
fn a_login_that_is_refused_is_tried_again_after_twenty_minutes() {
    for status in [400, 401, 403] {
        let body = json!({"code": status, "message": "Unauthorized"}).to_string();
        let (key, pod) = (
            Key::new(),
            pod(move |exchange| json(exchange, status, &body)),
        );
        let proxy = proxy("symphony", &bot(&key, ""), &pod);
        is_refused_for_twenty_minutes(&proxy);
        assert_eq!(asked(&pod), [format!("POST {LOGIN}")], "{status}");
    }
}

#[test]
fn a_certificate_that_is_refused_is_not_shown_by_every_request() {
    let body = r#"{"code":403,"message":"Certificate authentication is not allowed for the requested user"}"#;
    let authority = Authority::new("symphony-403");
    let doors = Upstream::over_tls(&authority, "localhost", move |exchange| {
        json(exchange, 403, body);
    });
    let (pod, account) = (Upstream::ok(), Account::new());
    let proxy = proxy("symphony", &account.with(&doors, &authority), &pod);
    is_refused_for_twenty_minutes(&proxy);
    assert_eq!(asked(&doors), ["POST /sessionauth/v1/authenticate"]);
}

#[test]
fn a_pod_in_trouble_is_asked_again() {
    for (status, code) in [(429, "token_rate_limited"), (500, "token_unavailable")] {
        let well = Arc::new(AtomicBool::new(false));
        let (key, pod) = (
            Key::new(),
            pod({
                let well = Arc::clone(&well);
                move |exchange| match well.load(Ordering::SeqCst) {
                    true => give(exchange),
                    false => json(exchange, status, r#"{"message":"later"}"#),
                }
            }),
        );
        let proxy = proxy("symphony", &bot(&key, ""), &pod);
        for _ in 0..10 {
            let answer = proxy.get("/pod/v1/x");
            assert_eq!((answer.status(), &*answer.code()), (503, code), "{status}");
        }
        assert!(count(&pod, LOGIN) <= 2, "{:?}", asked(&pod));
        well.store(true, Ordering::SeqCst);
        until("requests are served again", || {
            proxy.get("/pod/v1/x").status() == 200
        });
    }
}

/// No answer tells how long: the `exp` of a session that happens to be a JWT is not believed either.
#[test]
fn a_session_has_no_end_of_its_own() {
    for session in [
        token(1),
        unsigned(&json!({"exp": 1_000_000_000}), &token(1)),
    ] {
        let (key, pod) = (
            Key::new(),
            pod({
                let body = json!({"name": "sessionToken", "token": session}).to_string();
                move |exchange| json(exchange, 200, &body)
            }),
        );
        let proxy = proxy("symphony", &bot(&key, ""), &pod);
        assert_eq!(proxy.get("/pod/v1/x").status(), 200);
        assert_eq!(life(&proxy, "main"), None);
        assert_eq!(only(&pod, "/pod/v1/x").headers("sessiontoken"), [session]);
    }
}

/// An account with a certificate.
struct Account {
    cert: Temporary,
    key: Temporary,
}

impl Account {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["robot".to_owned()]).unwrap();
        Self {
            cert: Temporary::new(&made.cert.pem()),
            key: Temporary::new(&made.signing_key.serialize_pem()),
        }
    }

    fn with(&self, doors: &Upstream, authority: &Authority) -> String {
        format!(
            "pod_url: VENDOR, session_auth_url: 'https://localhost:{}', cert: {}, key: {{ file: {} }}, ca: {}",
            doors.address().port(),
            self.cert.path(),
            self.key.path(),
            authority.file().display()
        )
    }
}

#[test]
fn an_app_with_a_certificate_acts_on_behalf_of_a_user() {
    for (who, user) in [
        ("obo_user: 'al ice'", "username/al%20ice"),
        ("obo_user_id: 7", "user/7"),
    ] {
        let authority = Authority::new(&format!("symphony-{}", user.len()));
        let doors = Upstream::over_tls(&authority, "localhost", |exchange| {
            let name = match exchange.number {
                0 => "token",
                _ => "sessionToken",
            };
            let body = json!({name: token(exchange.number + 1)});
            json(exchange, 200, &body.to_string());
        });
        let (pod, account) = (Upstream::ok(), Account::new());
        let with = format!("{}, {who}", account.with(&doors, &authority));
        let proxy = proxy("symphony", &with, &pod);
        assert_eq!(proxy.get("/agent/v4/x").status(), 200, "{who}");
        assert_eq!(
            asked(&doors),
            [
                "POST /sessionauth/v1/app/authenticate".to_owned(),
                format!("POST /sessionauth/v1/app/{user}/authenticate")
            ]
        );
        let second = &doors.requests()[1];
        assert_eq!(second.headers("sessiontoken"), [token(1)]);
        assert_eq!(second.headers("content-length"), ["0"]);
        let carried = fields(&only(&pod, "/agent/v4/x"));
        assert_eq!(carried, [format!("sessiontoken: {}", token(2))]);
    }
}

#[test]
fn on_behalf_of_a_user_there_is_no_scoped_token() {
    let (key, pod) = (Key::new(), pod(give));
    let proxy = proxy("symphony", &bot(&key, ""), &pod);
    let file = yaml("symphony_oauth", &bot(&key, ", obo_user: jo"), &pod);
    let error = text_of(&proxy.reload(&file).unwrap_err());
    assert!(error.contains("has no parameter `obo_user`"), "{error}");
}

#[test]
fn each_part_may_be_a_server_of_its_own_below_a_context() {
    let (pod, relay) = (pod(give), pod(give));
    let agent = Upstream::ok();
    let (key, at) = (Key::new(), |server: &Upstream| {
        format!("http://{}", server.address())
    });
    let proxy = TestProxy::start(&format!(
        "credentials:\n  main:\n    preset: symphony\n    with:\n      pod_url: {pod}/p\n      key_manager_url: {relay}/k\n      \
         agent_url: {agent}/a\n      context: /a\n      username: robot\n      key: {{ file: {} }}\n\
         routes:\n  - {{ match: /, upstream: '{pod}/p/', credential: main }}\n  \
         - {{ match: /agent/, upstream: '{agent}/a/agent/', credential: main }}\n",
        key.file.path(),
        pod = at(&pod),
        relay = at(&relay),
        agent = at(&agent),
    ));
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    assert_eq!(proxy.get("/pod/v1/x").status(), 200);
    assert_eq!(asked(&relay), ["POST /k/relay/pubkey/authenticate"]);
    assert_eq!(
        asked(&pod),
        ["POST /p/login/pubkey/authenticate", "GET /p/pod/v1/x"]
    );
    let carried = only(&agent, "/a/agent/v4/x");
    assert_eq!(carried.headers("sessiontoken").len(), 1);
    assert_eq!(carried.headers("keymanagertoken").len(), 1);
}

#[test]
fn the_pod_s_name_gives_all_its_hosts() {
    let (key, account) = (Key::new(), Account::new());
    let bot = format!("username: robot, key: {{ file: {} }}", key.file.path());
    let by_cert = format!(
        "cert: {}, key: {{ file: {} }}",
        account.cert.path(),
        account.key.path()
    );
    for (with, session, relay) in [
        (
            bot,
            "https://acme.symphony.com/login/pubkey/authenticate",
            "https://acme.symphony.com/relay/pubkey/authenticate",
        ),
        (
            by_cert,
            "https://acme-api.symphony.com:8444/sessionauth/v1/authenticate",
            "https://acme-api.symphony.com:8444/keyauth/v1/authenticate",
        ),
    ] {
        let upstream = Upstream::ok();
        let with = format!("vanity: acme, {with}");
        let proxy = proxy("symphony", &with, &upstream);
        let views = proxy.app.credentials().views();
        let endpoint = |name: &str| {
            let view = views.iter().find(|view| &*view.name == name).unwrap();
            view.endpoint.as_deref().unwrap_or_default().to_owned()
        };
        assert_eq!(endpoint("main"), session);
        assert_eq!(endpoint("main.key_manager"), relay);
    }
}

/// Every login of the preset: where it is, and what its answer calls the token.
const LOGINS: [(&str, &str); 11] = [
    (LOGIN, "/token"),
    ("/relay/pubkey/authenticate", "/token"),
    ("/sessionauth/v1/authenticate", "/token"),
    ("/keyauth/v1/authenticate", "/token"),
    ("/login/pubkey/app/authenticate", "/token"),
    ("/login/pubkey/app/username/jo/authenticate", "/token"),
    ("/login/pubkey/app/user/7/authenticate", "/token"),
    ("/sessionauth/v1/app/authenticate", "/token"),
    (
        "/sessionauth/v1/app/username/jo/authenticate",
        "/sessionToken",
    ),
    ("/sessionauth/v1/app/user/7/authenticate", "/sessionToken"),
    ("/login/idm/tokens", "/access_token"),
];

#[test]
fn clients_log_in_nowhere_with_our_session() {
    let (key, pod) = (Key::new(), pod(give));
    let others = [
        "/login/v1/pubkey/app/authenticate/extensionApp",
        "/sessionauth/v1/logout",
        "/login/idm/tokens?scope=sym-files",
        "/context/login/pubkey/authenticate",
        "/Login//idm/%74okens",
    ];
    let proxy = proxy("symphony", &bot(&key, ""), &pod);
    for path in LOGINS.iter().map(|(path, _)| *path).chain(others) {
        let answer = proxy.post(path, b"{}");
        assert_eq!(answer.code(), "token_endpoint_denied", "{path}");
    }
    assert_eq!(asked(&pod), [""; 0]);
}

/// What an SDK logs in with is worth nothing, and so is what it gets: nobody hears of either.
#[test]
fn clients_that_insist_log_in_here_and_log_out_here() {
    let (key, pod) = (Key::new(), pod(give));
    let file = yaml("symphony", &bot(&key, ""), &pod);
    let file = file.replace("credential: main }", "credential: main, emulate: true }");
    let proxy = TestProxy::start(&file);
    for (path, pointer) in LOGINS {
        let login = proxy.post(path, br#"{"token":"made up"}"#);
        let said: Value = serde_json::from_slice(&login.body).unwrap();
        assert_eq!(login.status(), 200, "{path}");
        assert!(
            said.pointer(pointer).is_some_and(Value::is_string),
            "{path}: {said}"
        );
    }
    assert_eq!(proxy.post("/sessionauth/v1/logout", b"").status(), 200);
    let app = "/login/v1/pubkey/app/authenticate/extensionApp";
    assert_eq!(proxy.post(app, b"{}").code(), "token_endpoint_denied");
    assert_eq!(asked(&pod), [""; 0]);
    // The session of all others goes on.
    assert_eq!(proxy.get("/pod/v1/x").status(), 200);
}
