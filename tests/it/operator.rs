//! `bearerd status` and `bearerd rotate` beside a proxy that runs.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::{
    Process, TokenAnswer, TokenEndpoint, Upstream, bearerd, closed_port, token, until,
    with_credential,
};

fn said(config: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = bearerd(config, words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn configured(name: &str, listen: SocketAddr, admin: &str, rest: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-operator");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.yaml"));
    fs::write(&file, format!("listen: {listen}\n{admin}{rest}")).unwrap();
    file
}

#[test]
fn an_operator_sees_what_runs_and_renews_what_is_in_doubt() {
    let upstream = Upstream::ok();
    let tokens = TokenEndpoint::start(|n| match n {
        3 => TokenAnswer::Status(401, String::new(), r#"{"error":"invalid_client"}"#.into()),
        _ => TokenAnswer::Token(3600),
    });
    let listen = closed_port();
    let admin = format!("admin: {}\n", closed_port());
    let config = configured(
        "seen",
        listen,
        &admin,
        &with_credential(&tokens, &upstream, ""),
    );
    let (code, _, stderr) = said(&config, &["status"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("no proxy answers at"), "{stderr}");

    let process = Process::start(&config);
    let get = || {
        assert_eq!(process.get("/").status(), 200);
        let last = upstream.requests().pop().unwrap();
        last.header("authorization").unwrap().to_owned()
    };
    assert_eq!(get(), format!("Bearer {}", token(1)));

    let (code, stdout, stderr) = said(&config, &["status"]);
    assert_eq!(code, Some(0), "{stderr}");
    let line = stdout
        .lines()
        .find(|line| line.starts_with("main "))
        .unwrap();
    for part in ["client_credentials", "fresh", "59m", "ok, "] {
        assert!(line.contains(part), "{part}: {stdout}");
    }
    let (_, json, _) = said(&config, &["status", "--json"]);
    assert!(json.contains(r#""name": "main""#), "{json}");
    assert!(
        !format!("{stdout}{json}").contains(&token(1)),
        "no token is shown"
    );

    let (code, stdout, stderr) = said(&config, &["rotate", "main"]);
    assert_eq!((code, &*stdout), (Some(0), ""), "{stderr}");
    assert_eq!(get(), format!("Bearer {}", token(2)));

    let (code, _, stderr) = said(&config, &["rotate", "main"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("invalid_client"), "{stderr}");
    assert_eq!(
        get(),
        format!("Bearer {}", token(2)),
        "what was there still serves"
    );

    let (code, _, stderr) = said(&config, &["rotate", "nobody"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("no credential `nobody`"), "{stderr}");
}

#[test]
fn a_file_without_an_admin_listener_says_what_to_add() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let rest = with_credential(&tokens, &upstream, "");
    let config = configured("without", closed_port(), "", &rest);
    for words in [&["status"][..], &["rotate", "main"]] {
        let (code, _, stderr) = said(&config, words);
        assert_eq!(code, Some(2));
        assert!(stderr.contains("admin: 127.0.0.1:9901"), "{stderr}");
    }
    assert_eq!(tokens.calls(), 0);
}

#[test]
fn a_secret_file_that_changes_to_a_wrong_one_is_told_and_the_old_one_serves() {
    let upstream = Upstream::ok();
    let tokens = Upstream::start(|exchange| {
        let json = "Content-Type: application/json\r\n";
        let body = String::from_utf8_lossy(&exchange.request.body).into_owned();
        if body.contains("wrong") {
            return exchange.answer(401, json, r#"{"error":"invalid_client"}"#);
        }
        let issued = token(exchange.number + 1);
        let body = format!(r#"{{"access_token":"{issued}","expires_in":3600}}"#);
        exchange.answer(200, json, &body);
    });
    let secret = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-operator-secret");
    fs::write(&secret, "kanarienvogel-right").unwrap();
    let rest = format!(
        "credentials:\n  main:\n    client_credentials:\n      token_url: http://{}/token\n      client_id: tester\n      \
         client_auth: body\n      client_secret: {{ file: '{}' }}\n\
         routes:\n  - {{ match: /, upstream: 'http://{}/', credential: main }}\n",
        tokens.address(),
        secret.display(),
        upstream.address()
    );
    let listen = closed_port();
    let admin = format!("admin: {}\n", closed_port());
    let config = configured("secret", listen, &admin, &rest);
    let process = Process::start(&config);
    let get = || process.get("/").status();
    assert_eq!(get(), 200);
    fs::write(&secret, "kanarienvogel-wrong").unwrap();
    until("the wrong one is tried", || tokens.count() == 2);
    let mut told = String::new();
    until("it is told", || {
        told = said(&config, &["status"]).1;
        told.contains("main: the changed secret is refused (rejected), the old one stays in use")
    });
    assert!(!told.contains("kanarienvogel"), "{told}");
    let (_, json, _) = said(&config, &["status", "--json"]);
    assert!(json.contains(r#""state": "refused""#), "{json}");
    assert_eq!(get(), 200);
    fs::write(&secret, "kanarienvogel-mended").unwrap();
    until("the mended one is in use", || {
        !said(&config, &["status"]).1.contains("changed secret")
    });
    assert_eq!(get(), 200);
    let last = upstream.requests().pop().unwrap();
    assert_eq!(
        last.header("authorization"),
        Some(&*format!("Bearer {}", token(3)))
    );
}

#[test]
fn a_proxy_that_has_just_started_replaces_what_its_store_has() {
    let (tokens, upstream) = (TokenEndpoint::good(), Upstream::ok());
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-operator-store");
    let _ = fs::remove_dir_all(&store);
    let rest = format!(
        "{}store: {{ file: {{ path: '{}', key: '{}=' }} }}\n",
        with_credential(&tokens, &upstream, ""),
        store.display(),
        "A".repeat(43)
    );
    let admin = format!("admin: {}\n", closed_port());
    let config = configured("leaked", closed_port(), &admin, &rest);
    let sent = |process: &Process| {
        assert_eq!(process.get("/").status(), 200);
        let last = upstream.requests().pop().unwrap();
        last.header("authorization").unwrap().to_owned()
    };
    let process = Process::start(&config);
    assert_eq!(sent(&process), format!("Bearer {}", token(1)));
    drop(process);
    let process = Process::start(&config);
    let (code, _, stderr) = said(&config, &["rotate", "main"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(sent(&process), format!("Bearer {}", token(2)));
    drop(process);
    assert_eq!(
        sent(&Process::start(&config)),
        format!("Bearer {}", token(2))
    );
    assert_eq!(tokens.calls(), 2);
}

#[test]
fn an_operator_is_told_when_nothing_was_sent_and_when_nothing_new_came() {
    let upstream = Upstream::ok();
    let admin = format!("admin: {}\n", closed_port());
    let tokens = TokenEndpoint::start(|n| match n {
        1 | 2 => TokenAnswer::Same(token(1), 3600),
        _ => TokenAnswer::status(503),
    });
    let rest = with_credential(&tokens, &upstream, "");
    let config = configured("told", closed_port(), &admin, &rest);
    let process = Process::start(&config);
    assert_eq!(process.get("/").status(), 200);
    let rotate = || {
        let (code, _, stderr) = said(&config, &["rotate", "main"]);
        assert_eq!(code, Some(1), "{stderr}");
        stderr
    };
    let told = rotate();
    let same = "answered with the token that there was";
    assert!(told.contains(same), "{told}");
    let mut told = String::new();
    for _ in 0..6 {
        told = rotate();
    }
    assert!(told.contains("failed 5 times in a row"), "{told}");
    assert!(told.contains("nothing was sent, ask again in "), "{told}");
    assert_eq!(tokens.calls(), 7);
    assert_eq!(process.get("/").status(), 200, "what was there serves on");
}
