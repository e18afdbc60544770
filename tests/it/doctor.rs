//! `bearerd doctor` against token endpoints that answer by a script.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    presets::Key,
    support::{SECRET, TokenAnswer, TokenEndpoint, Upstream, closed_port, token},
};

#[test]
fn a_good_credential_is_told_with_its_facts_and_without_the_token() {
    let jwt =
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3VlciIsImVtYWlsIjoiY2FuYXJ5QHgifQ.c2ln";
    let body = format!(
        r#"{{"access_token":"{jwt}","token_type":"Bearer","expires_in":3600,"scope":"read"}}"#
    );
    let date = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: application/json\r\n";
    let tokens = TokenEndpoint::always(TokenAnswer::Status(200, date.into(), body));
    let file = File::new("good", &client_credentials("main", tokens.address()));

    let output = file.doctor(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    let found = &report["credentials"][0];
    assert_eq!(found["name"], "main");
    assert_eq!(found["kind"], "client_credentials");
    assert_eq!(found["outcome"], "obtained");
    assert_eq!(found["client_auth"], "basic");
    assert_eq!(found["scope_asked"], "read write");
    assert_eq!(found["scope_granted"], "read");
    assert!(found["expires_in"].as_u64() > Some(3500), "{found}");
    assert_eq!(found["parts"][0]["name"], "access_token");
    let shown = &found["parts"][0]["jwt"];
    assert_eq!(shown["alg"], "RS256");
    assert_eq!(shown["claims"]["iss"], "https://issuer");
    assert_eq!(shown["other_claims"][0], "email");
    let call = &found["calls"][0];
    assert_eq!(call["status"], 200);
    assert!(call["clock_ahead"].as_f64() < Some(-1e9), "{call}");
    let hints = found["hints"].to_string();
    assert!(
        hints.contains("did not grant `write`") && hints.contains("clock"),
        "{hints}"
    );
    assert_eq!(tokens.calls(), 1, "each is obtained once");

    for output in [output, file.doctor(&[]), file.doctor(&["main"])] {
        assert_keeps_secrets(&output);
        for secret in [jwt, "canary@x"] {
            assert!(!shown_by(&output).contains(secret), "{output:?}");
        }
    }
}

#[test]
fn the_key_that_a_token_is_bound_to_is_told_by_its_thumbprint() {
    let key = std::env::temp_dir().join(format!("bearerd-doctor-{}.pem", std::process::id()));
    fs::write(&key, KEY).unwrap();
    let body = format!(r#"{{"access_token":"{}","token_type":"DPoP"}}"#, token(1));
    let tokens = TokenEndpoint::always(TokenAnswer::Status(200, String::new(), body));
    let bound = |name: &str, dpop: &str| {
        let credential = client_credentials(name, tokens.address());
        format!("{credential}      dpop: {dpop}\n")
    };
    let of_file = format!("{{ key: {{ file: '{}' }} }}", key.display());
    let file = File::new(
        "bound",
        &[bound("kept", &of_file), bound("made", "true")].concat(),
    );

    let output = file.doctor(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [kept, made] = [0, 1].map(|at| &report["credentials"][at]["dpop"]);
    assert_eq!(
        (&kept["alg"], &kept["generated"]),
        (&"ES256".into(), &false.into())
    );
    assert_eq!(kept["thumbprint"], THUMBPRINT);
    assert_eq!(made["generated"], true);
    let told = shown_by(&file.doctor(&[]));
    assert!(
        told.contains(&format!("bound to ES256 key {THUMBPRINT}\n")),
        "{told}"
    );
    assert!(told.contains("made for this run alone"), "{told}");
    assert_keeps_secrets(&output);
    fs::remove_file(key).unwrap();
}

#[test]
fn an_endpoint_that_does_not_bind_is_told_what_is_missing() {
    let tokens = TokenEndpoint::good();
    let credential = client_credentials("main", tokens.address());
    let file = File::new("unbound", &format!("{credential}      dpop: true\n"));
    let output = file.doctor(&[]);
    assert_eq!(output.status.code(), Some(1));
    let told = shown_by(&output);
    for expected in [
        "is of type Bearer",
        "lasts until something is changed",
        "RFC 9449",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert_keeps_secrets(&output);
}

#[test]
fn what_failed_is_1_and_tells_what_to_change() {
    let refusal = r#"{"error":"invalid_client","error_description":"who?"}"#;
    let json = "Content-Type: application/json\r\n";
    let refuses = TokenEndpoint::always(TokenAnswer::Status(401, json.into(), refusal.into()));
    let good = TokenEndpoint::good();
    let credentials = [
        client_credentials("bad", refuses.address()),
        client_credentials("good", good.address()),
        client_credentials("lost", closed_port()),
    ];
    let file = File::new("failed", &credentials.concat());
    let output = file.doctor(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let [bad, good, lost] = [0, 1, 2].map(|at| &report["credentials"][at]);
    assert_eq!(bad["failure"]["kind"], "rejected");
    assert_eq!(bad["failure"]["permanent"], true);
    assert_eq!(bad["failure"]["status"], 401);
    assert_eq!(bad["failure"]["code"], "invalid_client");
    assert!(bad["hints"].to_string().contains("basic_raw"), "{bad}");
    assert_eq!(good["outcome"], "obtained");
    assert_eq!(lost["failure"]["kind"], "unreachable");
    assert_eq!(lost["failure"]["permanent"], false);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.contains("not obtained: 2 of 3"), "{said}");
    assert_keeps_secrets(&output);
    assert_eq!(refuses.calls(), 1, "a wrong secret is shown once");
    let output = file.doctor(&["good"]);
    assert_eq!(output.status.code(), Some(0), "the others are let alone");
    assert_keeps_secrets(&output);
}

#[test]
fn an_error_in_a_redirect_is_told_in_the_vendor_s_words() {
    let vendor = Upstream::start(|exchange| {
        let secret: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        let words = format!("error=access_denied&error_description=No+such+client:+{secret}");
        let location = format!("Location: https://localhost/callback?{words}\r\n");
        exchange.answer(302, &location, "");
    });
    let credential = format!(
        "  main:\n    preset: aicrisk\n    with: {{ url: 'http://{}', client_id: tester, client_secret: {{ env: BEARERD_TEST_SECRET }}, \
         redirect_uri: 'https://localhost/callback', userid: somebody }}\n",
        vendor.address()
    );
    let output = File::new("redirect", &credential).doctor(&["main.generic", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failure = report["credentials"][0]["failure"].to_string();
    let said = "the redirect says error access_denied; it says: access_denied: No such client";
    assert!(failure.contains(said), "{failure}");
    assert_keeps_secrets(&output);
}

#[test]
fn a_pod_without_scoped_tokens_is_explained() {
    let key = Key::new();
    let vendor = Upstream::start(|exchange| match exchange.request.second() {
        "/login/pubkey/authenticate" => {
            let body = format!(
                r#"{{"name":"sessionToken","token":"{}"}}"#,
                crate::support::token(1)
            );
            exchange.answer(200, "", &body);
        }
        _ => exchange.answer(404, "", r#"{"code":404,"message":"Not found"}"#),
    });
    let credential = format!(
        "  files:\n    preset: symphony_oauth\n    with: {{ pod_url: 'http://{}', username: robot, key: {{ file: {} }}, scope: sym-files }}\n",
        vendor.address(),
        key.file.path()
    );
    let output = File::new("old-pod", &credential).doctor(&["files", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = report["credentials"].as_array().unwrap();
    let found = all.iter().find(|it| it["name"] == "files").unwrap();
    assert_eq!(found["failure"]["status"], 404, "{found}");
    let called = found["calls"][0]["endpoint"].as_str().unwrap();
    assert!(called.ends_with("/login/idm/tokens"), "{found}");
    let hints = found["hints"].to_string();
    assert!(hints.contains("older than 20.13"), "{found}");
    assert_keeps_secrets(&output);
}

#[test]
fn a_wrong_file_and_a_wrong_name_are_2() {
    let file = File::new("wrong", "  main: { oauth: {} }\n");
    assert_eq!(file.doctor(&[]).status.code(), Some(2));
    let tokens = TokenEndpoint::good();
    let file = File::new("name", &client_credentials("main", tokens.address()));
    let output = file.doctor(&["mian"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(shown_by(&output).contains("did you mean `main`?"));
    assert_eq!(tokens.calls(), 0);
}

/// A configuration with these credentials, gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, credentials: &str) -> Self {
        let name = format!("bearerd-doctor-{name}-{}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let text = format!(
            "listen: 127.0.0.1:0\ncredentials:\n{credentials}routes: [{{ match: /, upstream: 'http://127.0.0.1:9/', credential: {} }}]\n",
            credentials.trim_start().split(':').next().unwrap()
        );
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn doctor(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bearerd"))
            .arg("doctor")
            .args(arguments)
            .arg("--config")
            .arg(&self.0)
            .env_remove("BEARERD_LOG")
            .env("BEARERD_TEST_SECRET", SECRET)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn client_credentials(name: &str, at: SocketAddr) -> String {
    format!(
        "  {name}:\n    client_credentials:\n      token_url: http://{at}/token?key=canary-in-the-query\n      \
         client_id: tester\n      client_secret: {{ env: BEARERD_TEST_SECRET }}\n      scope: read write\n"
    )
}

fn shown_by(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

#[track_caller]
fn assert_keeps_secrets(output: &Output) {
    let shown = shown_by(output);
    for secret in [SECRET, "canary-in-the-query", &crate::support::token(1)] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// The pair of RFC 7515, A.3.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n\
    MDECAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\nAwEH\n\
    -----END EC PRIVATE KEY-----\n";
const THUMBPRINT: &str = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";
