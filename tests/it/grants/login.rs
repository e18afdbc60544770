//! `bearerd login`, and the proxy that lives on what it left: `device_code` and pasted codes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use super::{bearers, client, form, json};
use crate::support::{Exchange, SECRET, TestProxy, Upstream, token, until};

/// Where the test proxies' configurations are, and so the logins.
fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("it");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn kept(name: &str) -> PathBuf {
    folder().join(format!(".bearerd/{name}.login.json"))
}

fn yaml(name: &str, kind: &str, upstream: &Upstream) -> String {
    format!(
        "listen: 127.0.0.1:0\ncredentials:\n  {name}: {kind}\nroutes:\n  \
         - {{ name: all, match: /, upstream: 'http://{}/', credential: {name} }}\n",
        upstream.address()
    )
}

/// Runs `bearerd login NAME`; `answer` makes the line that is typed from the line that was told.
fn login(name: &str, yaml: &str, answer: impl Fn(&str) -> Option<String>) -> (Output, String) {
    let config = folder().join(format!("{name}.login.yaml"));
    fs::write(&config, yaml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.args(["login", name, "--config"]).arg(&config);
    command.env("SECRET", SECRET).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut told = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(typed) = answer(&line) {
            writeln!(stdin, "{typed}").unwrap();
        }
        told += &line;
        told.push('\n');
    }
    (child.wait_with_output().unwrap(), told)
}

fn issue(exchange: &mut Exchange<'_>) {
    let n = exchange.number + 1;
    let body = format!(
        r#"{{"access_token":"{}","refresh_token":"{}","expires_in":3600}}"#,
        token(n),
        token(100 + n)
    );
    json(exchange, 200, &body);
}

const BEGUN: &str = r#"{"device_code":"d3v","user_code":"WDJB-MJHT","verification_uri":"https://v.example/d","expires_in":60,"interval":1}"#;

fn device(server: &Upstream) -> String {
    format!(
        "{{ device_code: {{ {}, scope: read, device_authorization_url: 'http://{}/device' }} }}",
        client(server),
        server.address()
    )
}

#[test]
fn a_device_code_is_shown_and_the_proxy_lives_on_what_comes_of_it() {
    let _ = fs::remove_file(kept("device"));
    let server = Upstream::start(|exchange| match exchange.number {
        0 => json(exchange, 200, BEGUN),
        1 => json(exchange, 400, r#"{"error":"authorization_pending"}"#),
        _ => issue(exchange),
    });
    let upstream = super::refusing(&[1]);
    let yaml = yaml("device", &device(&server), &upstream);

    let proxy = TestProxy::start(&yaml);
    let answer = proxy.get("/");
    assert_eq!((answer.status(), &*answer.code()), (502, "token_rejected"));
    assert!(String::from_utf8_lossy(&answer.body).contains("run `bearerd login device`"));
    assert_eq!(server.count(), 0);

    let (output, told) = login("device", &yaml, |_| None);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("https://v.example/d and enter the code WDJB-MJHT"),
        "{told}"
    );
    assert!(
        output.stdout.is_empty() && told.contains("device.login.json"),
        "{told}"
    );
    assert_eq!(fs::metadata(kept("device")).unwrap().mode() & 0o777, 0o600);
    let requests = server.requests();
    assert_eq!(requests[0].second(), "/device");
    assert_eq!(form(&requests[0])["scope"], "read");
    let asked = form(&requests[2]);
    assert_eq!(
        asked["grant_type"],
        "urn:ietf:params:oauth:grant-type:device_code"
    );
    assert_eq!(asked["device_code"], "d3v");

    until("the proxy has seen the login", || {
        proxy.get("/").status() == 200
    });
    assert_eq!(bearers(&upstream).first(), Some(&token(3)));
    // The second request is refused: the newest refresh token is spent, and its successor on disk at once.
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(form(&server.requests()[3])["refresh_token"], token(103));
    assert_eq!(bearers(&upstream).last(), Some(&token(4)));
    let text = fs::read_to_string(kept("device")).unwrap();
    assert!(text.contains(&token(104)) && !text.contains(&token(103)));

    // Another proxy, as after a restart, goes on with what is kept, without a call.
    let calls = server.count();
    drop(proxy);
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(bearers(&upstream).last(), Some(&token(4)));
    assert_eq!(server.count(), calls);
}

#[test]
fn a_login_whose_token_is_dead_on_arrival_is_kept_for_its_refresh_token() {
    let _ = fs::remove_file(kept("late"));
    let server = Upstream::start(|exchange| match exchange.number {
        0 => json(exchange, 200, BEGUN),
        n @ (1 | 2) => {
            let (access, refresh) = (token(n), token(100 + n));
            let body = format!(
                r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":0}}"#
            );
            json(exchange, 200, &body);
        }
        _ => issue(exchange),
    });
    let upstream = Upstream::ok();
    let yaml = yaml("late", &device(&server), &upstream);
    let (output, told) = login("late", &yaml, |_| None);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").code(), "token_malformed");
    until("another token is had", || proxy.get("/").status() == 200);
    let spent: Vec<_> = server.requests()[2..]
        .iter()
        .map(|it| form(it)["refresh_token"].clone())
        .collect();
    assert_eq!(spent, [token(101), token(102)]);
    assert_eq!(bearers(&upstream), [token(4)]);
}

#[test]
fn a_login_that_others_can_read_is_not_used() {
    let server = Upstream::start(|exchange| match exchange.number {
        0 => json(exchange, 200, BEGUN),
        _ => issue(exchange),
    });
    let upstream = Upstream::ok();
    let yaml = yaml("open", &device(&server), &upstream);
    assert_eq!(login("open", &yaml, |_| None).0.status.code(), Some(0));
    fs::set_permissions(kept("open"), fs::Permissions::from_mode(0o644)).unwrap();
    let proxy = TestProxy::start(&yaml);
    let answer = proxy.get("/");
    assert_eq!(answer.code(), "token_unavailable");
    let why = answer.header("proxy-status").unwrap();
    assert!(why.ends_with("details=\"store\""), "{why}");
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!told.contains("open.login.json"), "{told}");
    assert_eq!(upstream.count(), 0);
    // The mend is for whoever runs the proxy.
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    doctor.args(["doctor", "open", "--config"]);
    doctor.arg(folder().join("open.login.yaml"));
    let told = doctor.env("SECRET", SECRET).output().unwrap().stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("chmod 600"), "{told}");
}

/// Its refresh token must not go to whoever the configuration names by now.
#[test]
fn a_login_at_another_endpoint_or_of_another_client_is_not_used() {
    let _ = fs::remove_file(kept("moved"));
    let begin = |exchange: &mut Exchange<'_>| match exchange.number {
        0 => json(exchange, 200, BEGUN),
        _ => issue(exchange),
    };
    let (server, elsewhere) = (Upstream::start(begin), Upstream::start(issue));
    let upstream = Upstream::ok();
    let kind = device(&server);
    let (output, told) = login("moved", &yaml("moved", &kind, &upstream), |_| None);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let calls = server.count();
    for other in [device(&elsewhere), kind.replace("tester", "another")] {
        let proxy = TestProxy::start(&yaml("moved", &other, &upstream));
        assert_eq!(proxy.get("/").code(), "token_rejected", "{other}");
    }
    assert_eq!((server.count(), elsewhere.count()), (calls, 0));
    assert_eq!(upstream.count(), 0);
    let proxy = TestProxy::start(&yaml("moved", &kind, &upstream));
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn a_declined_login_is_1_and_leaves_nothing() {
    let _ = fs::remove_file(kept("declined"));
    let server = Upstream::start(|exchange| match exchange.number {
        0 => json(exchange, 200, BEGUN),
        _ => json(exchange, 400, r#"{"error":"access_denied"}"#),
    });
    let upstream = Upstream::ok();
    let (output, told) = login(
        "declined",
        &yaml("declined", &device(&server), &upstream),
        |_| None,
    );
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("access_denied") && told.contains("declined"),
        "{told}"
    );
    assert!(!kept("declined").exists());
}

#[test]
fn a_code_that_nobody_enters_ends_the_login() {
    let _ = fs::remove_file(kept("idle"));
    let server = Upstream::start(|exchange| match exchange.number {
        0 => json(exchange, 200, &BEGUN.replace(":60", ":2")),
        1..6 => json(exchange, 400, r#"{"error":"authorization_pending"}"#),
        _ => json(exchange, 400, r#"{"error":"access_denied"}"#),
    });
    let upstream = Upstream::ok();
    let yaml = yaml("idle", &device(&server), &upstream);
    let (output, told) = login("idle", &yaml, |_| None);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("expired before it was entered"), "{told}");
    assert!(server.count() <= 3 && !kept("idle").exists());
}

#[test]
fn a_code_that_a_terminal_would_obey_is_not_shown() {
    let upstream = Upstream::ok();
    for shown in ["WDJB-MJHT", "https://v.example/d"] {
        let begun = BEGUN.replace(shown, &format!("{shown}\\u001b[2J"));
        let server = Upstream::start(move |exchange| json(exchange, 200, &begun));
        let yaml = yaml("odd", &device(&server), &upstream);
        let (output, told) = login("odd", &yaml, |_| None);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("can't be shown"), "{told}");
        assert!(!told.contains('\u{1b}'), "{told:?}");
        assert_eq!(server.count(), 1);
    }
}

#[test]
fn what_needs_no_person_or_does_not_exist_is_2() {
    let server = Upstream::ok();
    let kind = format!("{{ client_credentials: {{ {} }} }}", client(&server));
    let yaml = yaml("machine", &kind, &server);
    let (output, told) = login("machine", &yaml, |_| None);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("needs no person"), "{told}");
    let (output, told) = login("other", &yaml, |_| None);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(server.count(), 0);
}

fn code(server: &Upstream) -> String {
    format!(
        "{{ authorization_code: {{ {}, scope: read, authorize_url: 'http://{}/authorize', redirect_uri: 'https://app.example/back' }} }}",
        client(server),
        server.address()
    )
}

#[test]
fn a_pasted_address_is_exchanged_with_its_verifier() {
    let server = Upstream::start(issue);
    let upstream = Upstream::ok();
    let yaml = yaml("pasted", &code(&server), &upstream);
    let (output, told) = login("pasted", &yaml, |line| {
        let url = line.strip_prefix("Open ")?;
        let query = url.split_once('?')?.1;
        let state = form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "state")?
            .1;
        Some(format!("https://app.example/back?code=c0de&state={state}"))
    });
    assert_eq!(output.status.code(), Some(0), "{told}");
    let asked = form(&server.request());
    assert_eq!(asked["grant_type"], "authorization_code");
    assert_eq!(asked["code"], "c0de");
    assert_eq!(asked["redirect_uri"], "https://app.example/back");
    assert!(asked["code_verifier"].len() >= 43 && !asked.contains_key("scope"));
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(bearers(&upstream), [token(1)]);
}

#[test]
fn an_answer_to_somebody_elses_question_is_refused() {
    let server = Upstream::start(issue);
    let yaml = yaml("forged", &code(&server), &server);
    let (output, told) = login("forged", &yaml, |line| {
        line.starts_with("Open ")
            .then(|| "https://app.example/back?code=c0de&state=forged".into())
    });
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("not the state"), "{told}");
    assert_eq!(server.count(), 0);
}
