//! Credentials that outlive the process, or are shared by several: the whole proxy with `store: { file: ... }`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    grants::{asked, bearers, client, json, refusing},
    support::{Gate, Process, SECRET, TestProxy, Upstream, token, until},
};

/// A folder of this test's own, with nothing in it.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("it-stores")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    let _ = fs::remove_file(&folder);
    folder
}

pub fn with_store(folder: &Path, yaml: &str) -> String {
    let path = folder.display();
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    format!("store: {{ file: {{ path: '{path}', key: '{key}' }} }}\n{yaml}")
}

fn yaml(kind: &str, keys: &str, server: &Upstream, upstream: &Upstream) -> String {
    let kind = format!("{{ {kind}: {{ {}{keys} }} }}", client(server));
    crate::grants::yaml(&kind, upstream)
}

/// A proxy whose credential is renewed with a refresh token, which is first `first`; its folder of this name is new.
fn renewing(name: &str, server: &Upstream, upstream: &Upstream) -> (PathBuf, String) {
    let folder = folder(name);
    let keys = ", refresh_token: first";
    let yaml = with_store(&folder, &yaml("refresh_token", keys, server, upstream));
    (folder, yaml)
}

/// The refresh tokens that the server was sent, in order.
fn spent(server: &Upstream) -> Vec<String> {
    let asked = asked(server, "refresh_token");
    asked.into_iter().map(|(_, token)| token).collect()
}

/// A new access token and a new refresh token each time.
fn rotating() -> Upstream {
    Upstream::start(|exchange| {
        let n = exchange.number + 1;
        let (access, refresh) = (token(n), token(100 + n));
        let body = format!(
            r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":3600}}"#
        );
        json(exchange, 200, &body);
    })
}

fn contents(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        all.extend_from_slice(entry.file_name().as_encoded_bytes());
        if entry.path().is_file() {
            all.extend(fs::read(entry.path()).unwrap());
        }
    }
    all
}

#[test]
fn a_restart_with_a_warm_store_asks_for_nothing_and_the_store_shows_nothing() {
    let (server, upstream) = (rotating(), Upstream::ok());
    let folder = folder("warm");
    let yaml = with_store(&folder, &yaml("client_credentials", "", &server, &upstream));
    for _ in 0..3 {
        let proxy = TestProxy::start(&yaml);
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(server.count(), 1);
    assert_eq!(bearers(&upstream), [token(1), token(1), token(1)]);
    let kept = contents(&folder);
    assert!(kept.len() > 200, "there is something to look at");
    for secret in [token(1), token(101)] {
        let shown = kept.windows(secret.len()).any(|it| it == secret.as_bytes());
        assert!(!shown, "a token stands in the store");
    }
}

#[test]
fn a_changed_secret_never_finds_the_token_of_the_old_one() {
    let (server, upstream) = (rotating(), Upstream::ok());
    let folder = folder("changed");
    let before = with_store(&folder, &yaml("client_credentials", "", &server, &upstream));
    assert_eq!(TestProxy::start(&before).get("/").status(), 200);
    let after = before.replace("{ env: SECRET }", "another");
    assert_eq!(TestProxy::start(&after).get("/").status(), 200);
    assert_eq!(bearers(&upstream), [token(1), token(2)]);
}

#[test]
fn what_a_file_holds_is_read_from_the_file_after_a_restart() {
    let upstream = Upstream::ok();
    let folder = folder("file");
    let file = folder.with_extension("token");
    let kind = format!("{{ file: '{}' }}", file.display());
    let yaml = with_store(&folder, &crate::grants::yaml(&kind, &upstream));
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    for n in [1, 2] {
        fs::write(&file, token(n)).unwrap();
        assert_eq!(TestProxy::start(&yaml).get("/").status(), 200);
    }
    assert_eq!(bearers(&upstream), [token(1), token(2)]);
}

#[test]
fn doctor_asks_the_endpoint_also_where_the_store_has_a_token() {
    let (server, upstream) = (rotating(), Upstream::ok());
    let folder = folder("doctor");
    let yaml = with_store(&folder, &yaml("client_credentials", "", &server, &upstream));
    assert_eq!(TestProxy::start(&yaml).get("/").status(), 200);
    let config = folder.with_extension("yaml");
    fs::write(&config, format!("listen: 127.0.0.1:0\n{yaml}")).unwrap();
    let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_bearerd"));
    doctor
        .args(["doctor", "--config"])
        .arg(&config)
        .env("SECRET", SECRET);
    let output = doctor.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(server.count(), 2);
    // What came of it is there for all.
    assert_eq!(TestProxy::start(&yaml).get("/").status(), 200);
    assert_eq!(server.count(), 2);
}

#[test]
fn two_proxies_share_one_renewal() {
    let (server, upstream) = (rotating(), refusing(&[2]));
    let (_, yaml) = renewing("shared", &server, &upstream);
    let (one, two) = (TestProxy::start(&yaml), TestProxy::start(&yaml));
    assert_eq!((one.get("/").status(), two.get("/").status()), (200, 200));
    // The upstream refuses the first one's token; the second learns of the successor without a call.
    assert_eq!(one.get("/").status(), 200);
    until("the other one has it too", || {
        assert_eq!(two.get("/").status(), 200);
        bearers(&upstream).last() == Some(&token(2))
    });
    assert_eq!(spent(&server), ["first".to_owned(), token(101)]);
}

#[test]
fn a_refresh_token_without_an_answer_is_in_doubt_over_a_restart_and_never_sent_again() {
    let server = Upstream::start(|exchange| match exchange.number {
        0 => {
            let (access, refresh) = (token(1), token(101));
            let body = format!(
                r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":3600}}"#
            );
            json(exchange, 200, &body);
        }
        _ => exchange.close(),
    });
    let upstream = refusing(&[1, 2, 3, 4]);
    let (_, yaml) = renewing("doubt", &server, &upstream);
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(
        proxy.get("/").code(),
        "token_unavailable",
        "the answer was cut"
    );
    drop(proxy);
    let proxy = TestProxy::start(&yaml);
    // What it has still serves: it is this upstream that refuses it.
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (503, "credential_in_doubt")
    );
    assert_eq!(answer.header("retry-after"), None);
    assert!(String::from_utf8_lossy(&answer.body).contains("log in again"));
    assert_eq!(server.count(), 2);
    assert_eq!(bearers(&upstream), [token(1), token(1), token(1)]);
}

#[test]
fn a_folder_that_is_deleted_while_it_is_in_use_is_made_anew() {
    let (server, upstream) = (rotating(), refusing(&[1]));
    let (folder, yaml) = renewing("deleted", &server, &upstream);
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").status(), 200);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(proxy.get("/").status(), 200, "renewed by what memory holds");
    drop(proxy);
    // Its successor is kept, and the folder is known as ours.
    assert_eq!(TestProxy::start(&yaml).get("/").status(), 200);
    assert_eq!(spent(&server), ["first".to_owned(), token(101)]);
}

#[test]
fn without_its_store_the_proxy_serves_what_is_harmless() {
    let (server, upstream) = (rotating(), Upstream::ok());
    let folder = folder("no-folder");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::write(&folder, "in the way").unwrap();
    let inside = folder.join("store");
    let harmless = yaml("client_credentials", "", &server, &upstream);
    let proxy = TestProxy::start(&with_store(&inside, &harmless));
    assert_eq!(proxy.get("/").status(), 200);
    let spending = yaml(
        "refresh_token",
        ", refresh_token: first",
        &server,
        &upstream,
    );
    let proxy = TestProxy::start(&with_store(&inside, &spending));
    let answer = proxy.get("/");
    assert_eq!(
        (answer.status(), &*answer.code()),
        (503, "token_unavailable")
    );
    assert_eq!(server.count(), 1, "nothing was spent");
    // It heals by itself.
    fs::remove_file(&folder).unwrap();
    until("the store is there", || proxy.get("/").status() == 200);
}

#[test]
fn the_end_of_the_process_waits_for_the_successor_of_a_refresh_token() {
    let gate = Gate::default();
    let (asked_for, answered) = (gate.clone(), token(101));
    let server = Upstream::start(move |exchange| {
        let n = exchange.number + 1;
        if n == 1 {
            asked_for.pass();
        }
        let (access, refresh) = (token(n), token(100 + n));
        // It ends at once, so the next process has to renew it.
        let body =
            format!(r#"{{"access_token":"{access}","refresh_token":"{refresh}","expires_in":1}}"#);
        json(exchange, 200, &body);
    });
    let upstream = Upstream::ok();
    let (folder, yaml) = renewing("end", &server, &upstream);
    let config = folder.with_extension("yaml");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::write(
        &config,
        format!("listen: 127.0.0.1:0\nlimits: {{ drain: 1s }}\n{yaml}"),
    )
    .unwrap();
    let mut process = Process::start(&config);
    let mut client = process.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("the refresh token is under way", || server.count() == 1);
    drop(client);
    process.signal(rustix::process::Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let waits = process.is_running();
    gate.open();
    assert!(process.ended().0.success());
    assert!(waits, "it ended while the answer was on its way");
    let proxy = TestProxy::start(&yaml);
    until("the successor is used", || proxy.get("/").status() == 200);
    assert_eq!(spent(&server)[..2], ["first".to_owned(), answered]);
}
