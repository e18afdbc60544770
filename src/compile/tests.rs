use std::time::Duration;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method};
use tokio::runtime::Runtime;

use super::*;
use crate::{
    callers::KeySets,
    config::Severity,
    downstream::TlsServers,
    routes::{
        Cookies, Route,
        table::{Found, RequestView},
    },
};

/// Everything that a configuration needs around it.
struct Bench {
    runtime: Runtime,
    upstreams: Upstreams,
    metrics: Metrics,
}

impl Bench {
    fn new() -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            upstreams: Upstreams::default(),
            metrics: Metrics::default(),
        }
    }

    fn load(&self, name: &str, text: &str) -> Result<Compiled, Box<Report>> {
        let env = |name: &str| match name {
            "SECRET" => Some("env-secret".to_owned()),
            "SYMPHONY_KEY" => Some(rsa_key()),
            "MANY_LINES" => Some("a\nb".to_owned()),
            _ => None,
        };
        let cx = Context {
            env: &env,
            credentials: &Credentials::new(self.runtime.handle().clone()),
            upstreams: &self.upstreams,
            tls: &TlsServers::default(),
            key_sets: &KeySets::new(self.runtime.handle().clone()),
            metrics: &self.metrics,
            generation: 1,
            prewarm: false,
            inherited: None,
        };
        load_text(name, text, &cx)
    }
}

fn rsa_key() -> String {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'static>>::as_der(&pair).unwrap();
    let base64 = BASE64_STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n")
}

fn compiled(text: &str) -> Compiled {
    match Bench::new().load("routes.yaml", text) {
        Ok(compiled) => compiled,
        Err(report) => panic!("{}", report.render(false)),
    }
}

fn refused(text: &str) -> String {
    match Bench::new().load("routes.yaml", text) {
        Ok(_) => panic!("it was accepted"),
        Err(report) => report.render(false),
    }
}

fn route<'s>(compiled: &'s Compiled, path: &str) -> &'s Route {
    let headers = HeaderMap::new();
    let view = RequestView {
        host: None,
        path,
        query: None,
        method: &Method::GET,
        headers: &headers,
    };
    match compiled.snapshot.table.find(&view) {
        Found::Match { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

const SMALLEST: &str = "
listen: 127.0.0.1:8080
credentials:
  billing:
    client_credentials:
      token_url: https://login.example.com/oauth2/token
      client_id: billing-batch
      client_secret: { env: SECRET }
routes:
  - match: /billing/
    upstream: https://api.example.com/v2/
    credential: billing
";

#[test]
fn the_smallest_file_is_enough() {
    let compiled = compiled(SMALLEST);
    assert!(compiled.report.diagnostics.is_empty());
    let route = route(&compiled, "/billing/invoices");
    assert_eq!(&*route.base_path, "/v2/");
    assert_eq!(&*route.name, "/billing/");
    assert_eq!(route.line, 10);
    assert_eq!(route.cookies, Cookies::Drop);
    let credential = route.credential.as_ref().unwrap();
    assert_eq!(&**credential.handle.name(), "billing");
    assert!(credential.injection.is_prebuilt() && credential.overwrite);
    assert_eq!(
        compiled.settings.listen[0].address.tcp(),
        Some("127.0.0.1:8080".parse().unwrap())
    );
}

#[test]
fn defaults_apply_where_a_route_says_nothing() {
    let compiled = compiled(
        "
listen: 127.0.0.1:1
defaults: &defaults
  timeouts: { connect: 1s, idle_body: 2s }
  upstream: http://127.0.0.1:9/base
  cookies: drop
upstreams:
  slow: { url: 'http://127.0.0.1:9', timeouts: { connect: 7s } }
routes:
  - match: /a/
    timeouts: { connect: 3s }
  - { match: /b/, upstream: slow, cookies: pass }
  - <<: *defaults
    match: /c/
  - { match: /exact, upstream: slow }
",
    );
    let a = route(&compiled, "/a/");
    assert_eq!(a.timeouts.connect, Duration::from_secs(3));
    assert_eq!(a.timeouts.idle_body, Duration::from_secs(2));
    assert_eq!(
        (&*a.base_path, a.strip_prefix, a.cookies),
        ("/base/", true, Cookies::Drop)
    );
    let b = route(&compiled, "/b/");
    assert_eq!(b.timeouts.connect, Duration::from_secs(7));
    assert_eq!((&*b.base_path, b.cookies), ("/", Cookies::Pass));
    assert_eq!(
        route(&compiled, "/c/").timeouts.connect,
        Duration::from_secs(1)
    );
    let exact = route(&compiled, "/exact");
    assert_eq!((&*exact.base_path, exact.strip_prefix), ("/", false));
}

#[test]
fn ten_thousand_routes_share_one_set_of_defaults() {
    let mut text = String::from(SMALLEST.split("routes:").next().unwrap());
    text.push_str("x-defaults: &defaults\n  upstream: https://api.example.com/v2/\n  credential: billing\n  timeouts: { connect: 1s }\nroutes:\n");
    for n in 0..10_000 {
        text.push_str(&format!("  - <<: *defaults\n    match: /r{n}/\n"));
    }
    let compiled = compiled(&text);
    assert_eq!(compiled.snapshot.table.len(), 10_000);
    assert_eq!(
        route(&compiled, "/r9999/x").timeouts.connect,
        Duration::from_secs(1)
    );
}

#[test]
fn a_literal_secret_and_an_unused_credential_are_warned_about() {
    let text = SMALLEST.replace("{ env: SECRET }", "hunter2");
    let with_unused = text.replace(
        "\ncredentials:\n",
        "\ncredentials:\n  spare: { static: { token: { env: SECRET } } }\n",
    );
    let compiled = compiled(&with_unused);
    let found: Vec<_> = compiled
        .report
        .diagnostics
        .iter()
        .map(|d| (d.severity, d.message.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (Severity::Warning, "no route uses the credential `spare`"),
            (
                Severity::Warning,
                "this secret is written in the file itself"
            ),
        ]
    );
    assert!(!compiled.report.render(false).contains("hunter2"));
}

#[test]
fn files_of_secrets_are_to_be_watched() {
    let path = std::env::temp_dir().join(format!("bearerd-compile-{}", std::process::id()));
    std::fs::write(&path, "s3cret\n").unwrap();
    let text = SMALLEST.replace(
        "{ env: SECRET }",
        &format!("{{ file: {} }}", path.display()),
    );
    let files = compiled(&text).files;
    std::fs::remove_file(&path).unwrap();
    assert_eq!(files, [path]);
}

#[test]
fn a_stores_folder_that_others_may_use_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;

    let path = std::env::temp_dir().join(format!("bearerd-compile-store-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let key = BASE64_STANDARD.encode([7; 32]);
    let text = format!(
        "{SMALLEST}store: {{ file: {{ path: {}, key: {key} }} }}\n",
        path.display()
    );
    let told = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let report = compiled(&text).report.render(false);
        report.contains("others than its owner may")
    };
    let told = [0o700, 0o755, 0o777].map(told);
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(told, [false, true, true]);
}

#[test]
fn a_link_in_the_place_of_a_stores_folder_is_refused() {
    let name = format!("bearerd-compile-link-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::os::unix::fs::symlink(std::env::temp_dir(), &path).unwrap();
    let key = BASE64_STANDARD.encode([7; 32]);
    let text = |ending: &str| {
        let shown = path.display();
        format!("{SMALLEST}store: {{ file: {{ path: {shown}{ending}, key: {key} }} }}\n")
    };
    let refused = ["", "/"].map(|ending| refused(&text(ending)));
    std::fs::remove_file(&path).unwrap();
    for told in refused {
        assert!(told.contains("is a symbolic link"), "{told}");
        assert!(told.contains("give the folder that it leads to"), "{told}");
    }
}

#[test]
fn all_errors_are_reported_at_once_each_with_its_place() {
    let text = "
listen: 0.0.0.0:8080
credentials:
  billing:
    client_credentials:
      token_url: http://login.example.com/token
      client_id: ${NOT_SET}
      client_secrt: hunter2
routes:
  - match: /a/
    upstream: http://api.example.com/
    credential: biling
  - match: /a/
    upstream: api
    colour: red
";
    let report = refused(text);
    for expected in [
        "this listener can be reached from other machines",
        "routes.yaml:2:9",
        "`NOT_SET` is not set",
        "routes.yaml:7:18",
        "unknown key `client_secrt`",
        "did you mean `client_secret`?",
        "there is no credential `biling`",
        "did you mean `billing`?",
        "in clear to another machine",
        "there is no upstream `api`",
        "unknown key `colour`",
    ] {
        assert!(report.contains(expected), "{expected} not in\n{report}");
    }
    assert!(!report.contains("hunter2"), "{report}");
}

/// `tests/fixtures/invalid/NAME.yaml` has what is said of it beside it, in `NAME.txt`; `BLESS=1` writes it anew.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a switch for whoever runs the test"
)]
fn every_invalid_file_is_explained_as_recorded() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in fixtures("invalid") {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let said = match bench.load(name, &text) {
            Ok(_) => {
                wrong.push(format!("{name} was accepted"));
                continue;
            }
            Err(report) => report.render(false),
        };
        for canary in ["hunter", "kanarie"] {
            assert!(
                !said.to_lowercase().contains(canary),
                "{name} shows a secret:\n{said}"
            );
        }
        assert!(
            said.contains(&format!("{name}:")),
            "{name} has no place:\n{said}"
        );
        seen += 1;
        let beside = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&beside, &said).unwrap();
        } else if std::fs::read_to_string(&beside).ok().as_deref() != Some(&said) {
            wrong.push(format!(
                "{name} is explained otherwise than recorded:\n{said}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 40, "{seen} files only");
}

#[test]
fn every_valid_file_is_accepted() {
    let bench = Bench::new();
    for path in fixtures("valid") {
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(report) = bench.load(&path.display().to_string(), &text) {
            panic!("{}", report.render(false));
        }
    }
}

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(kind);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn the_projects_own_file_is_good_for_production_and_for_the_demo() {
    let text = include_str!("../../routes.yaml");
    let secrets = regex::Regex::new("env: [A-Z_]+_SECRET").unwrap();
    let text = secrets.replace_all(text, "env: SECRET");
    let compiled = compiled(&text);
    assert!(
        compiled.report.diagnostics.is_empty(),
        "{}",
        compiled.report.render(false)
    );
    assert_eq!(&*route(&compiled, "/brightpattern/users").base_path, "/");
    assert_eq!(&*route(&compiled, "/api/users").base_path, "/v1/");
}

#[test]
fn text_stays_as_it_is_spelled() {
    let compiled = compiled(include_str!("../../tests/fixtures/valid/spelling.yaml"));
    let route = route(&compiled, "/1/");
    assert_eq!(&*route.name, "007");
    assert_eq!(&**route.credential.as_ref().unwrap().handle.name(), "1.10");
}

/// Puts a secret in the place of every value and key of every good file, and breaks the line after it in different ways.
#[test]
fn no_report_ever_shows_a_secret() {
    const CANARY: &str = "kanarie7";
    let bench = Bench::new();
    let good = include_str!("../../tests/fixtures/valid/everything.yaml");
    for (at, line) in good.lines().enumerate() {
        let Some((key, _)) = line.split_once(": ") else {
            continue;
        };
        // What these keys hold is shown on purpose: it is no secret in its right place.
        let secret_key = [
            "key",
            "sha256",
            "token",
            "password",
            "value",
            "params",
            "query",
            "client_secret",
            "x-own",
        ]
        .contains(&key.trim_start_matches([' ', '-', '{']));
        let place = format!("{key}: {CANARY}");
        for broken in [
            format!("{place} # {CANARY}"),
            format!("{key}x: [{CANARY}, {{ a: {CANARY} }}]"),
            format!("{key}: {{ some: {{ {CANARY} }} }}"),
            format!("{key}: \"{CANARY}"),
            format!("{key}: [{CANARY}"),
            format!("{key} {CANARY}"),
            format!("{key}: |\n{:>60}", CANARY),
        ] {
            let in_place = broken.starts_with(&place)
                || broken.ends_with(&format!(" {CANARY}")) && broken.contains(": |");
            if in_place && !secret_key {
                continue;
            }
            let lines: Vec<&str> = good
                .lines()
                .enumerate()
                .map(|(n, l)| if n == at { broken.as_str() } else { l })
                .collect();
            let Err(report) = bench.load("routes.yaml", &lines.join("\n")) else {
                continue;
            };
            let said = report.render(false);
            assert!(!said.contains(CANARY), "line {}, {broken}:\n{said}", at + 1);
        }
    }
}
