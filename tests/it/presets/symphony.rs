//! `symphony`: a session for the pod, and the key manager's token with it for the agent.

mod logins;
mod places;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use super::{
    Key, Temporary, asked, count, fields, from_now, json, only, part, proxy, unsigned, yaml,
};
use crate::support::{Authority, Exchange, TestProxy, Upstream, text_of, token, until};

const LOGIN: &str = "/login/pubkey/authenticate";
const RELAY: &str = "/relay/pubkey/authenticate";

/// A pod with its key manager, agent and Files API: the newest tokens are good until they are revoked.
#[derive(Default)]
pub struct Pod {
    issued: AtomicUsize,
    session: Mutex<String>,
    relay: Mutex<String>,
    bearer: Mutex<String>,
    /// Keys are delivered without the key manager.
    simplified: bool,
    /// What idm/tokens answers to a good session.
    pub refuses_scopes: AtomicBool,
    /// The pod's login waits for the key manager's.
    pub together: AtomicBool,
}

impl Pod {
    pub fn start(self) -> (Arc<Self>, Upstream) {
        let pod = Arc::new(self);
        let server = Upstream::start({
            let pod = Arc::clone(&pod);
            move |exchange| pod.answer(exchange)
        });
        (pod, server)
    }

    pub fn revoke_session(&self) {
        self.session.lock().unwrap().clear();
    }

    pub fn revoke_relay(&self) {
        self.relay.lock().unwrap().clear();
    }

    pub fn revoke_bearer(&self) {
        self.bearer.lock().unwrap().clear();
    }

    fn answer(&self, exchange: &mut Exchange<'_>) {
        let request = &exchange.request;
        let path = request.path().to_owned();
        let holds = |header: &str, kept: &Mutex<String>| {
            let kept = kept.lock().unwrap().clone();
            !kept.is_empty() && request.header(header) == Some(&kept)
        };
        let session = holds("sessiontoken", &self.session);
        let good = match path.as_str() {
            LOGIN | "/sessionauth/v1/authenticate" | "/login/pubkey/app/authenticate" => {
                if self.together.load(Ordering::SeqCst) {
                    until("the key manager is asked as well", || {
                        !self.relay.lock().unwrap().is_empty()
                    });
                }
                let token = self.session();
                let body = json!({"name": "sessionToken", "token": token, "authorizationToken": "Bearer x"});
                return json(exchange, 200, &body.to_string());
            }
            RELAY | "/keyauth/v1/authenticate" => {
                let body = json!({"name": "keyManagerToken", "token": self.give(&self.relay)});
                return json(exchange, 200, &body.to_string());
            }
            "/login/idm/tokens" if session && self.refuses_scopes.load(Ordering::SeqCst) => {
                return json(exchange, 403, r#"{"code":403,"message":"Forbidden"}"#);
            }
            "/login/idm/tokens" if session => {
                let body = json!({"token_type": "Bearer", "expires_in": 3600, "access_token": self.give(&self.bearer)});
                return json(exchange, 200, &body.to_string());
            }
            path if path.starts_with("/login/pubkey/app/user") && session => {
                let body = json!({"sessionToken": self.session()});
                return json(exchange, 200, &body.to_string());
            }
            path if ["/files/", "/profile-manager/", "/community/"]
                .iter()
                .any(|api| path.starts_with(api)) =>
            {
                let bearer = self.bearer.lock().unwrap().clone();
                request.header("authorization") == Some(&format!("Bearer {bearer}"))
            }
            path if path.starts_with("/agent/") => {
                session && (self.simplified || holds("keymanagertoken", &self.relay))
            }
            _ => session,
        };
        match good {
            true => exchange.answer(200, "", "ok"),
            false => json(exchange, 401, r#"{"code":401,"message":"Invalid session"}"#),
        }
    }

    fn session(&self) -> String {
        let plain = self.give(&self.session);
        if !self.simplified {
            return plain;
        }
        let jwt = unsigned(&json!({"canUseSimplifiedKeyDelivery": true}), &plain);
        self.session.lock().unwrap().clone_from(&jwt);
        jwt
    }

    fn give(&self, place: &Mutex<String>) -> String {
        let token = token(self.issued.fetch_add(1, Ordering::SeqCst) + 1);
        place.lock().unwrap().clone_from(&token);
        token
    }
}

/// The parameters of a bot with this key.
pub fn bot(key: &Key, more: &str) -> String {
    let file = key.file.path();
    format!("pod_url: VENDOR, username: robot, key: {{ file: {file} }}{more}")
}

#[test]
fn the_login_is_a_signed_assertion_and_nothing_else() {
    let (key, (_, vendor)) = (Key::new(), Pod::default().start());
    let proxy = proxy("symphony", &bot(&key, ""), &vendor);
    assert_eq!(proxy.get("/pod/v2/sessioninfo").status(), 200);
    let login = only(&vendor, LOGIN);
    assert_eq!(login.start, "POST /login/pubkey/authenticate HTTP/1.1");
    let body: Value = serde_json::from_slice(&login.body).unwrap();
    let assertion = body["token"].as_str().unwrap();
    assert_eq!(login.text(), format!(r#"{{"token":"{assertion}"}}"#));
    assert_eq!(
        fields(&login),
        [
            "accept: application/json".to_owned(),
            format!("content-length: {}", login.body.len()),
            "content-type: application/json".to_owned(),
        ]
    );
    assert_eq!(part(assertion, 0), json!({"alg": "RS512", "typ": "JWT"}));
    let claims = part(assertion, 1);
    assert_eq!(claims.as_object().unwrap().len(), 2, "{claims}");
    assert_eq!(claims["sub"], "robot");
    assert!((230..=240).contains(&from_now(&claims["exp"])), "{claims}");
    assert!(key.has_signed(assertion));
    let carried = only(&vendor, "/pod/v2/sessioninfo");
    assert_eq!(carried.headers("sessiontoken"), [token(1)]);
}

#[test]
fn the_agent_gets_the_key_manager_s_token_with_the_same_session() {
    let (key, (_, vendor)) = (Key::new(), Pod::default().start());
    let proxy = proxy("symphony", &bot(&key, ""), &vendor);
    let own = "KeyManagerToken: mine\r\nkey_manager_token: mine\r\nSessionToken: mine\r\nAuthorization: mine\r\n";
    for path in ["/pod/v1/x", "/agent/v4/y", "/agent/v4/y", "/pod/v1/x"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{own}\r\n");
        assert_eq!(proxy.send(head).status(), 200, "{path}");
    }
    assert_eq!((count(&vendor, LOGIN), count(&vendor, RELAY)), (1, 1));
    let requests = vendor.requests();
    let tokens: Vec<_> = requests
        .iter()
        .filter(|it| it.start.starts_with("GET"))
        .map(|it| (it.headers("sessiontoken"), it.headers("keymanagertoken")))
        .collect();
    let (session, relay) = (token(1), token(2));
    let (pod, agent) = ((vec![&*session], vec![]), (vec![&*session], vec![&*relay]));
    assert_eq!(tokens, [pod.clone(), agent.clone(), agent, pod]);
    for request in &requests {
        assert!(!request.fields.iter().any(|(_, value)| value == "mine"));
    }
}

#[test]
fn both_are_asked_at_the_same_time_where_both_are_always_wanted() {
    let pod = Pod {
        together: AtomicBool::new(true),
        ..Pod::default()
    };
    let (key, (_, vendor)) = (Key::new(), pod.start());
    let proxy = proxy("symphony", &bot(&key, ", key_manager: always"), &vendor);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    assert_eq!((count(&vendor, LOGIN), count(&vendor, RELAY)), (1, 1));
}

#[test]
fn both_are_renewed_at_the_same_time_where_both_were_wanted() {
    let (key, (pod, vendor)) = (Key::new(), Pod::default().start());
    let proxy = proxy("symphony", &bot(&key, ""), &vendor);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    pod.revoke_session();
    pod.revoke_relay();
    // The pod's login waits for the key manager's from now on.
    pod.together.store(true, Ordering::SeqCst);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    assert_eq!((count(&vendor, LOGIN), count(&vendor, RELAY)), (2, 2));
}

#[test]
fn a_session_with_simplified_key_delivery_needs_no_key_manager() {
    let pod = Pod {
        simplified: true,
        ..Pod::default()
    };
    let (key, (_, vendor)) = (Key::new(), pod.start());
    let proxy = proxy("symphony", &bot(&key, ""), &vendor);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    assert_eq!((count(&vendor, LOGIN), count(&vendor, RELAY)), (1, 0));
    assert_eq!(
        only(&vendor, "/agent/v4/x")
            .headers("keymanagertoken")
            .len(),
        0
    );
}

#[test]
fn an_agent_of_its_own_is_asked_whether_it_knows_simplified_key_delivery() {
    for (version, asked) in [
        ("Agent-25.8.1", 0),
        ("Agent-24.12.3", 1),
        ("24.13.0", 0),
        ("Agent-24.2.1", 1),
    ] {
        let agent = Upstream::start(move |exchange| {
            json(exchange, 200, &json!({"version": version}).to_string());
        });
        let pod = Pod {
            simplified: true,
            ..Pod::default()
        };
        let (key, (_, vendor)) = (Key::new(), pod.start());
        let at = format!(", agent_url: 'http://{}'", agent.address());
        let proxy = proxy("symphony", &bot(&key, &at), &vendor);
        assert_eq!(proxy.get("/agent/v4/x").status(), 200, "{version}");
        assert_eq!(agent.request().start, "GET /agent/v1/info HTTP/1.1");
        assert_eq!(count(&vendor, RELAY), asked, "{version}");
    }
}

#[test]
fn a_session_that_ends_is_renewed_whoever_finds_out() {
    let (key, (pod, vendor)) = (Key::new(), Pod::default().start());
    let proxy = proxy("symphony", &bot(&key, ""), &vendor);
    let get = |path| assert_eq!(proxy.get(path).status(), 200, "{path}");
    get("/pod/v1/x");
    get("/agent/v4/x");
    let session = &proxy.app.credentials().views()[0];
    assert_eq!((session.expires_in, session.next_refresh_in), (None, None));
    pod.revoke_session();
    get("/agent/v4/x");
    assert_eq!(count(&vendor, LOGIN), 2, "{:?}", asked(&vendor));
    get("/pod/v1/x");
    assert_eq!(count(&vendor, LOGIN), 2, "{:?}", asked(&vendor));
    pod.revoke_session();
    get("/pod/v1/x");
    get("/agent/v4/x");
    assert_eq!(count(&vendor, LOGIN), 3, "{:?}", asked(&vendor));
}

#[test]
fn a_refused_login_is_final() {
    let vendor = Upstream::start(|exchange| {
        json(exchange, 401, r#"{"code":401,"message":"for operators"}"#)
    });
    let key = Key::new();
    let proxy = proxy("symphony", &bot(&key, ""), &vendor);
    for _ in 0..5 {
        let answer = proxy.get("/pod/v1/x");
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (502, "token_rejected")
        );
        assert!(!answer.text().contains("for operators"), "{answer:?}");
    }
    assert_eq!(vendor.count(), 1);
}

#[test]
fn a_certificate_logs_in_with_an_empty_body() {
    let authority = Authority::new("symphony");
    let certificate = rcgen::generate_simple_self_signed(vec!["robot".to_owned()]).unwrap();
    let cert = Temporary::new(&certificate.cert.pem());
    let own = Temporary::new(&certificate.signing_key.serialize_pem());
    let pod = Arc::new(Pod::default());
    let doors = Upstream::over_tls(&authority, "localhost", {
        let pod = Arc::clone(&pod);
        move |exchange| pod.answer(exchange)
    });
    let vendor = Upstream::start(move |exchange| pod.answer(exchange));
    let with = format!(
        "pod_url: VENDOR, session_auth_url: 'https://localhost:{}', cert: {}, key: {{ file: {} }}, ca: {}",
        doors.address().port(),
        cert.path(),
        own.path(),
        authority.file().display()
    );
    let proxy = proxy("symphony", &with, &vendor);
    assert_eq!(proxy.get("/agent/v4/x").status(), 200);
    let logins = doors.requests();
    assert_eq!(
        asked(&doors),
        [
            "POST /sessionauth/v1/authenticate",
            "POST /keyauth/v1/authenticate"
        ]
    );
    for login in logins {
        assert_eq!(
            fields(&login),
            ["accept: application/json", "content-length: 0"]
        );
    }
}

#[test]
fn an_app_acts_on_behalf_of_a_user() {
    for (who, path) in [
        (
            "obo_user: 'al ice'",
            "/login/pubkey/app/username/al%20ice/authenticate",
        ),
        (
            "obo_user: 'a/l?i#c%e'",
            "/login/pubkey/app/username/a%2Fl%3Fi%23c%25e/authenticate",
        ),
        ("obo_user_id: 7", "/login/pubkey/app/user/7/authenticate"),
        (
            "obo_user_id: '7/8'",
            "/login/pubkey/app/user/7%2F8/authenticate",
        ),
    ] {
        let (key, (_, vendor)) = (Key::new(), Pod::default().start());
        let proxy = proxy("symphony", &bot(&key, &format!(", {who}")), &vendor);
        assert_eq!(proxy.get("/pod/v1/x").status(), 200);
        assert_eq!(count(&vendor, "/login/pubkey/app/authenticate"), 1);
        let user = only(&vendor, path);
        assert_eq!(
            fields(&user),
            [
                "accept: application/json".to_owned(),
                "content-length: 0".into(),
                format!("sessiontoken: {}", token(1))
            ]
        );
        assert_eq!(
            only(&vendor, "/pod/v1/x").headers("sessiontoken"),
            [token(2)]
        );
        // The key manager knows no apps.
        proxy.get("/agent/v4/x");
        assert_eq!(count(&vendor, RELAY), 0);
    }
}

#[test]
fn what_is_left_over_from_the_documentation_is_refused() {
    let (key, (_, vendor)) = (Key::new(), Pod::default().start());
    let proxy: TestProxy = proxy("symphony", &bot(&key, ""), &vendor);
    let with = bot(&key, "").replace("VENDOR", "https://yourPodURL.symphony.com");
    let error = proxy.reload(&yaml("symphony", &with, &vendor)).unwrap_err();
    assert!(
        text_of(&error).contains("left over from an example"),
        "{error:?}"
    );
}
