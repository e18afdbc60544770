//! Upstreams that ask for a certificate (RFC 8705): who is shown which, and what of a pool is shared.

use std::{fs, path::PathBuf};

use crate::support::{Authority, TestProxy, Upstream, text_of, token};

/// A certificate of ours with its key, in files.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(name: &str, authority: &Authority) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("it");
        fs::create_dir_all(&folder).unwrap();
        let files = Self {
            cert: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        files.write(authority);
        files
    }

    fn write(&self, authority: &Authority) {
        let (cert, key) = authority.client();
        fs::write(&self.cert, cert).unwrap();
        fs::write(&self.key, key).unwrap();
    }

    fn yaml(&self) -> String {
        format!(
            "cert: '{}', key: {{ file: '{}' }}",
            self.cert.display(),
            self.key.display()
        )
    }
}

/// An upstream that only those reach who show a certificate of `authority`.
fn upstream(authority: &Authority) -> Upstream {
    let config = authority.server_of_known_clients("localhost");
    Upstream::with_tls(config, |exchange| exchange.answer(200, "", "ok"))
}

fn route(path: &str, upstream: &Upstream, authority: &Authority, identity: &str) -> String {
    format!(
        "- {{ match: {path}, upstream: {{ url: 'https://localhost:{}/', tls: {{ ca: '{}', {identity} }} }} }}\n",
        upstream.address().port(),
        authority.file().display(),
    )
}

#[test]
fn an_upstream_is_shown_the_certificate_of_its_route_and_no_other() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (known, unknown) = (Files::new("known", &ours), Files::new("unknown", &others));
    let upstream = upstream(&ours);
    let routes = [
        route("/known/", &upstream, &ours, &known.yaml()),
        route("/unknown/", &upstream, &ours, &unknown.yaml()),
        route("/nobody/", &upstream, &ours, ""),
    ];
    let proxy = TestProxy::start(&format!("routes:\n{}", routes.concat()));
    // The connection that the first one leaves behind is of no use to the others.
    for _ in 0..2 {
        assert_eq!(proxy.get("/known/").status(), 200);
        for path in ["/unknown/", "/nobody/"] {
            let answer = proxy.get(path);
            assert_eq!(
                (answer.status(), &*answer.code()),
                (502, "upstream_tls"),
                "{path}"
            );
        }
    }
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_certificate_that_changes_on_disk_is_shown_after_the_reload() {
    let (ours, others) = (Authority::new("renewed"), Authority::new("expelled"));
    let files = Files::new("renewed", &others);
    let upstream = upstream(&ours);
    let yaml = format!("routes:\n{}", route("/", &upstream, &ours, &files.yaml()));
    let proxy = TestProxy::start(&yaml);
    assert_eq!(proxy.get("/").code(), "upstream_tls");
    let watched = proxy.app.files();
    assert!(watched.contains(&files.cert) && watched.contains(&files.key));
    files.write(&ours);
    proxy.app.reload().unwrap();
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn a_token_bound_to_a_certificate_goes_with_that_certificate() {
    let ours = Authority::new("bound");
    let files = Files::new("bound", &ours);
    let tokens = Upstream::with_tls(ours.server_of_known_clients("localhost"), |exchange| {
        let body = format!(r#"{{"access_token":"{}","expires_in":60}}"#, token(1));
        exchange.answer(200, "", &body);
    });
    let upstream = upstream(&ours);
    let (tls, ca) = (files.yaml(), ours.file().display());
    let proxy = TestProxy::start(&format!(
        "credentials:\n  main:\n    client_credentials:\n      token_url: https://localhost:{}/token\n      \
         client_id: tester\n      client_auth: tls\n      tls: {{ ca: '{ca}', {tls} }}\n\
         routes:\n- match: /\n  credential: main\n  upstream: {{ url: 'https://localhost:{}/', tls: {{ ca: '{ca}', {tls} }} }}\n",
        tokens.address().port(),
        upstream.address().port(),
    ));
    assert_eq!(proxy.get("/").status(), 200);
    let sent = format!("Bearer {}", token(1));
    assert_eq!(upstream.request().header("authorization"), Some(&*sent));
}

#[test]
fn a_key_that_is_none_or_anothers_is_an_error_of_the_file() {
    let ours = Authority::new("pairs");
    let (one, two) = (Files::new("pair-one", &ours), Files::new("pair-two", &ours));
    let upstream = upstream(&ours);
    let yaml = format!("routes:\n{}", route("/", &upstream, &ours, &one.yaml()));
    let proxy = TestProxy::start(&yaml);
    for (key, why) in [
        (
            fs::read_to_string(&two.key).unwrap(),
            "not the one of this key",
        ),
        ("kanarienvogel".to_owned(), "no private key in PEM"),
    ] {
        fs::write(&one.key, key).unwrap();
        let error = text_of(&proxy.app.reload().unwrap_err());
        assert!(error.contains(why), "{error}");
        assert!(!error.contains("kanarienvogel"), "{error}");
        assert_eq!(proxy.get("/").status(), 200, "the old one stays");
    }
}
