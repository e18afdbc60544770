//! The program as its users meet it: commands, streams, exit codes, signals.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::support::Process;

const GOOD: &str = r#"
listen: 127.0.0.1:0
credentials:
  billing: { static: { token: { env: BILLING_TOKEN } } }
routes:
  - { name: billing, match: /billing/, upstream: "http://UPSTREAM/v2/", credential: billing }
"#;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bearerd-it-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command
        .current_dir(&folder.0)
        .env_remove("BEARERD_CONFIG")
        .env_remove("BEARERD_LOG");
    command
        .env("BILLING_TOKEN", "canary/token+1")
        .stdin(Stdio::null());
    command
}

fn bearerd(folder: &Folder, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A `bearerd run` in this folder that logs what `filter` says.
fn run(folder: &Folder, filter: &str) -> Process {
    let mut command = command(folder);
    command.env("BEARERD_LOG", filter);
    Process::run(command)
}

/// Everything that comes for a GET on a connection of its own.
fn get(process: &Process, path: &str) -> String {
    let mut answer = String::new();
    send(process, path).read_to_string(&mut answer).unwrap();
    answer
}

fn send(process: &Process, path: &str) -> TcpStream {
    let host = process.address();
    let mut stream = TcpStream::connect(host).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// An upstream that reads heads, tells the test of each, and answers 200 once the test says so.
struct Upstream {
    address: SocketAddr,
    heads: mpsc::Receiver<String>,
    go: mpsc::Sender<()>,
}

impl Upstream {
    fn start() -> Self {
        Self::answering("hello")
    }

    fn answering(body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heads) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = BufReader::new(stream);
                let head: Vec<String> = (&mut stream)
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let _ = sender.send(head.join("\n"));
                if gone.recv().is_err() {
                    return;
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { address, heads, go }
    }
}

fn configured(name: &str, upstream: SocketAddr) -> Folder {
    let folder = Folder::new(name);
    folder.write(
        "routes.yaml",
        &GOOD.replace("UPSTREAM", &upstream.to_string()),
    );
    folder
}

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

#[test]
fn check_of_a_good_file_is_0_with_a_line_on_stdout() {
    let folder = configured("check-good", nowhere());
    let output = bearerd(&folder, &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "routes.yaml is good: 1 route, no warnings\n"
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn check_of_a_bad_file_is_2_with_every_error_on_stderr() {
    let folder = Folder::new("check-bad");
    let bad = "listen: 127.0.0.1:0\nrouts: 1\nroutes:\n  - match: /x/\n    upstream: ftp://x/\n";
    folder.write("other.yaml", bad);
    let output = bearerd(&folder, &["check", "other.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(
        said.contains("other.yaml:2:1") && said.contains("did you mean `routes`?"),
        "{said}"
    );
    assert!(said.contains("other.yaml:5:15"), "{said}");
    assert!(said.ends_with("error: other.yaml has 2 errors\n"), "{said}");
}

#[test]
fn the_variable_names_the_file_and_an_argument_wins() {
    let folder = configured("config-variable", nowhere());
    fs::rename(folder.0.join("routes.yaml"), folder.0.join("mine.yaml")).unwrap();
    let output = command(&folder)
        .arg("check")
        .env("BEARERD_CONFIG", "mine.yaml")
        .output()
        .unwrap();
    assert!(text(&output.stdout).starts_with("mine.yaml is good"));
    let output = command(&folder)
        .args(["check", "absent.yaml"])
        .env("BEARERD_CONFIG", "mine.yaml")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("absent.yaml can't be read"));
}

#[test]
fn a_wrong_command_line_or_filter_is_2() {
    let folder = configured("usage", nowhere());
    assert_eq!(bearerd(&folder, &["serve"]).status.code(), Some(2));
    assert_eq!(
        bearerd(&folder, &["run", "--workers", "0"]).status.code(),
        Some(2)
    );
    let output = command(&folder)
        .arg("run")
        .env("BEARERD_LOG", "bearerd=verbose")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bearerd=verbose"));
}

#[test]
fn a_port_in_use_is_1_and_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = configured("port", nowhere());
    let file = fs::read_to_string(folder.0.join("routes.yaml")).unwrap();
    folder.write("routes.yaml", &file.replace("127.0.0.1:0", &address));
    let output = bearerd(&folder, &["run"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("can't listen on {address}")),
        "{said}"
    );
}

#[test]
fn the_schema_is_json_on_stdout() {
    let output = bearerd(&Folder::new("schema"), &["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["routes"].is_object() || schema["$ref"].is_string());
}

#[test]
fn token_describes_and_shows_only_when_asked() {
    let folder = configured("token", nowhere());
    let output = bearerd(&folder, &["token", "billing"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("static") && said.contains("14 characters"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
    let output = bearerd(&folder, &["token", "billing", "--show"]);
    assert_eq!(text(&output.stdout), "canary/token+1\n");
}

#[test]
fn an_unknown_credential_is_2_with_a_suggestion() {
    let output = bearerd(
        &configured("token-unknown", nowhere()),
        &["token", "biling"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `billing`?"));
}

#[test]
fn token_obtains_also_what_no_route_uses() {
    let folder = Folder::new("token-unused");
    let spare = "  spare: { static: { token: { env: BILLING_TOKEN } } }\nroutes:";
    folder.write(
        "routes.yaml",
        &GOOD
            .replace("UPSTREAM", "127.0.0.1:9")
            .replace("routes:", spare),
    );
    let output = bearerd(&folder, &["token", "spare", "--show"]);
    assert_eq!(
        text(&output.stdout),
        "canary/token+1\n",
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn an_unreachable_token_endpoint_is_1() {
    let folder = Folder::new("token-unreachable");
    let file = r#"
listen: 127.0.0.1:0
credentials:
  api:
    client_credentials:
      token_url: http://127.0.0.1:9/token?canary-query
      client_id: me
      client_secret: { env: BILLING_TOKEN }
routes: [{ match: /, upstream: "http://127.0.0.1:9/", credential: api }]
"#;
    folder.write("routes.yaml", file);
    let output = bearerd(&folder, &["token", "api"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("http://127.0.0.1:9/token") && said.contains("hint: "),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn a_login_that_nobody_made_is_no_fault_of_the_client_s_id() {
    let folder = Folder::new("token-login");
    let file = r#"
listen: 127.0.0.1:0
credentials:
  me:
    device_code:
      token_url: http://127.0.0.1:9/token
      device_authorization_url: http://127.0.0.1:9/device
      client_id: me
      client_auth: none
routes: [{ match: /, upstream: "http://127.0.0.1:9/", credential: me }]
"#;
    folder.write("routes.yaml", file);
    let output = bearerd(&folder, &["token", "me"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("run `bearerd login me`") && !said.contains("client_id"),
        "{said}"
    );
}

#[test]
fn the_tour_arrives_authenticated() {
    let output = bearerd(&Folder::new("demo"), &["demo", "--once"]);
    let said = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}{}",
        text(&output.stderr)
    );
    assert!(said.contains("x 20 at once"), "{said}");
    assert!(
        said.contains("Every request arrived with exactly the credentials"),
        "{said}"
    );
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let upstream = Upstream::start();
    let folder = configured("drain", upstream.address);
    let mut running = run(&folder, "info");
    let mut client = send(&running, "/billing/slow");
    upstream
        .heads
        .recv_timeout(Duration::from_secs(20))
        .unwrap();
    running.signal(rustix::process::Signal::TERM);
    running.wait_for("draining");
    upstream.go.send(()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"),
        "{answer}"
    );
    assert_eq!(running.ended().0.code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let upstream = Upstream::start();
    let folder = configured("second-signal", upstream.address);
    let mut running = run(&folder, "info");
    let _client = send(&running, "/billing/stuck");
    upstream
        .heads
        .recv_timeout(Duration::from_secs(20))
        .unwrap();
    running.signal(rustix::process::Signal::INT);
    running.wait_for("draining");
    running.signal(rustix::process::Signal::INT);
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("ended at once"), "{log}");
}

#[test]
fn a_changed_file_is_taken_and_a_bad_one_is_not() {
    let folder = configured("reload", nowhere());
    let mut running = run(&folder, "info");
    assert!(get(&running, "/other/x").starts_with("HTTP/1.1 404 "));
    let file = fs::read_to_string(folder.0.join("routes.yaml")).unwrap();
    folder.write("routes.yaml", &file.replace("match:", "mach:"));
    let refused = running.wait_for("configuration refused");
    assert!(refused.contains("did you mean `match`?"), "{refused}");
    assert!(
        get(&running, "/billing/x").starts_with("HTTP/1.1 502 "),
        "the old one stays"
    );
    folder.write("routes.yaml", &file.replace("/billing/", "/other/"));
    running.wait_for("configuration reloaded");
    assert!(get(&running, "/other/x").starts_with("HTTP/1.1 502 "));
    running.signal(rustix::process::Signal::HUP);
    running.wait_for("asked to");
}

#[test]
fn nothing_in_the_log_tells_a_secret_not_even_at_trace() {
    let upstream = Upstream::start();
    let issuer = Upstream::answering(r#"{"access_token":"canary/token+2","expires_in":60}"#);
    let folder = Folder::new("canary");
    let file = r#"
listen: 127.0.0.1:0
credentials:
  api:
    client_credentials:
      token_url: http://ISSUER/token
      client_id: me
      client_secret: { env: BILLING_TOKEN }
routes: [{ match: /, upstream: "http://UPSTREAM/", credential: api }]
"#;
    let file = file.replace("UPSTREAM", &upstream.address.to_string());
    folder.write(
        "routes.yaml",
        &file.replace("ISSUER", &issuer.address.to_string()),
    );
    let mut running = run(&folder, "trace");
    upstream.go.send(()).unwrap();
    issuer.go.send(()).unwrap();
    let answer = get(&running, "/invoices?api_key=canary-query");
    assert!(answer.ends_with("hello"), "{answer}");
    let head = upstream
        .heads
        .recv_timeout(Duration::from_secs(20))
        .unwrap();
    assert!(
        head.to_lowercase()
            .contains("authorization: bearer canary/token+2"),
        "{head}"
    );
    running.wait_for("bearerd::access");
    running.signal(rustix::process::Signal::TERM);
    let (_, log) = running.ended();
    assert!(
        log.contains("hyper_util") && log.contains("TRACE"),
        "the libraries' own lines are in the log:\n{log}"
    );
    let secrets = [
        "canary",
        // In base64: both tokens, and id and secret.
        "Y2FuYXJ5L3Rva2VuKz",
        "bWU6Y2FuYXJ5",
        // In hex.
        "63616e6172792f746f6b656e",
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn no_core_can_hold_a_secret() {
    let folder = configured("core", nowhere());
    let running = run(&folder, "info");
    let limits = Path::new("/proc")
        .join(running.pid().as_raw_nonzero().to_string())
        .join("limits");
    // A process that is not dumpable hides its files from others than root; then there is nothing to read.
    if let Ok(limits) = fs::read_to_string(limits) {
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
}

#[test]
fn a_program_that_is_run_for_a_token_tells_nothing_of_the_other_credentials() {
    let folder = Folder::new("inherited");
    let program = "{ exec: [sh, -c, 'echo \"$SAYS $BILLING_TOKEN\" >&2; exit 1'] }";
    let config = GOOD.replace("{ static: { token: { env: BILLING_TOKEN } } }", program);
    let upstream = nowhere().to_string();
    folder.write("routes.yaml", &config.replace("UPSTREAM", &upstream));
    let told = |says: &str, other: &str| {
        let mut command = command(&folder);
        command.env("SAYS", says).env("BILLING_TOKEN", other);
        let output = command.args(["doctor", "billing"]).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    let all = told("no such account:", "canary/token+1");
    assert!(!all.contains("canary"), "{all}");
    assert!(all.contains("may hold a secret"), "{all}");
    let all = told("no such", "row");
    assert!(all.contains("no such row"), "{all}");
}
