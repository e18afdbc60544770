use std::sync::OnceLock;

use super::*;
use crate::config::{self, Diagnostics};

mod client_auth;

/// A loader that knows two secrets, two files, and these other credentials.
#[derive(Default)]
pub(in crate::credentials) struct Loader {
    found: Diagnostics,
    stands_in: bool,
    links: Vec<Linked>,
}

impl BuildContext for Loader {
    fn secret(&mut self, source: &Sp<SecretSource>) -> Option<Secret> {
        match &source.value {
            SecretSource::Env(name) if name == "KNOWN" => Some(Secret::new("s3cret")),
            SecretSource::Literal(secret) => Some(secret.clone()),
            _ if self.stands_in => Some(Secret::new("not-read")),
            _ => {
                self.found.error(source.span, "unknown secret");
                None
            }
        }
    }

    fn file(&mut self, path: &Sp<&Path>) -> Option<Vec<u8>> {
        match path.value.to_str() {
            Some("client.pem") => {
                static PEM: OnceLock<Vec<u8>> = OnceLock::new();
                let made = PEM.get_or_init(|| {
                    let names = vec!["client".to_owned()];
                    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
                    made.cert.pem().into_bytes()
                });
                Some(made.clone())
            }
            Some("empty.pem") => Some(Vec::new()),
            _ => {
                self.found.error(path.span, "unknown file");
                None
            }
        }
    }

    fn reads_secrets(&self) -> bool {
        !self.stands_in
    }

    fn credential(&mut self, name: &Sp<String>) -> Option<Linked> {
        let link = self.links.iter().find(|link| **link.name() == *name.value);
        link.cloned()
    }

    fn path(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    fn name(&self) -> &str {
        "main"
    }

    fn span(&self) -> Span {
        Span::default()
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }
}

/// The source and where it goes, or every complaint in one text.
fn build(key: &str, text: &str) -> Result<(Arc<dyn Source>, Placement), String> {
    build_on(&[], key, text)
}

/// The same, where it can build on other credentials.
pub(in crate::credentials) fn build_on(
    links: &[Linked],
    key: &str,
    text: &str,
) -> Result<(Arc<dyn Source>, Placement), String> {
    let mut decoder = Decoder::default();
    let node = config::yaml::parse(text, &mut decoder).expect("YAML");
    let config = (find(key).expect("a grant").decode)(&node, &mut decoder);
    let mut loader = Loader {
        found: decoder.diagnostics,
        links: links.to_vec(),
        ..Loader::default()
    };
    let built = config.and_then(|config| Some((config.build(&mut loader)?, config.placement())));
    built.ok_or_else(|| {
        let messages: Vec<_> = loader
            .found
            .iter()
            .map(|found| found.message.clone())
            .collect();
        messages.join("; ")
    })
}

const SMALLEST: &str =
    "{token_url: 'https://x.example/t', client_id: me, client_secret: {env: KNOWN}";

#[test]
fn every_grant_is_found_by_its_key() {
    assert_eq!(GRANTS.len(), KINDS.len());
    for (grant, kind) in GRANTS.iter().zip(KINDS) {
        assert_eq!(grant.variant.name, kind.name);
        assert!(find(kind.name).is_some_and(|found| found.variant.name == kind.name));
        assert!(!(kind.table)().fields.is_empty());
    }
    assert!(find("passwort").is_none());
}

#[test]
fn the_smallest_client_credentials_need_three_keys() {
    let (source, placement) = build("client_credentials", &format!("{SMALLEST}}}")).unwrap();
    assert_eq!(source.endpoints(), ["https://x.example/t"]);
    assert_eq!(placement, Placement::Bearer);
    assert!(!format!("{source:?}").contains("s3cret"));
}

#[test]
fn every_key_reaches_the_source() {
    let plain = build("client_credentials", &format!("{SMALLEST}}}"))
        .unwrap()
        .0
        .fingerprint();
    for more in [
        "client_auth: body",
        "client_auth: basic_raw",
        "scope: [a, b]",
        "audience: a",
        "resource: ['https://r/']",
        "params: {tenant: t}",
        "headers: {X-Tenant: t}",
        "query: {tenant: t}",
        "default_expires_in: 5m",
    ] {
        let (source, _) =
            build("client_credentials", &format!("{SMALLEST}, {more}}}")).expect(more);
        assert_ne!(source.fingerprint(), plain, "{more}");
    }
    let texts = |scope| {
        build(
            "client_credentials",
            &format!("{SMALLEST}, scope: {scope}}}"),
        )
        .unwrap()
    };
    assert_eq!(
        texts("[a, b]").0.fingerprint(),
        texts("a b").0.fingerprint()
    );
}

#[test]
fn deadlines_are_no_part_of_the_identity() {
    let of = |more| {
        build("client_credentials", &format!("{SMALLEST}{more}}}"))
            .unwrap()
            .0
            .fingerprint()
    };
    assert_eq!(of(""), of(", timeout: 3s, connect_timeout: 1s"));
}

#[test]
fn what_cannot_work_is_reported() {
    for (text, expected) in [
        (
            "{token_url: 'http://x.example/t', client_id: me, client_secret: a}",
            "plain http",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me}",
            "`client_secret` is missing",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me, client_secret: a, client_auth: none}",
            "sends no secret",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me, client_secret: {env: NO}, params: {a: {env: NO}}}",
            "unknown secret; unknown secret",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me, client_secret: a, params: {grant_type: x}}",
            "sent already",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me, client_secret: a, headers: {Authorization: x}}",
            "can't be set",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me, client_secret: a, headers: {'a b': x}}",
            "no name of a header",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me, client_secret: a, tls: {ca: /no}}",
            "unknown file",
        ),
        (
            "{token_url: 'https://x.example/t', client_id: me, client_secret: a, client_auth: post}",
            "expected one of",
        ),
    ] {
        let complaint = build("client_credentials", text).expect_err(text);
        assert!(complaint.contains(expected), "{text}: {complaint}");
    }
}

#[test]
fn plain_http_beyond_loopback_can_be_allowed() {
    let text = "{token_url: 'http://x.example/t', client_id: me, client_secret: a, danger_plaintext: true}";
    assert!(build("client_credentials", text).is_ok());
}

#[test]
fn static_is_a_token_a_header_or_a_user() {
    assert_eq!(
        build("static", "{token: {env: KNOWN}}").unwrap().1,
        Placement::Bearer
    );
    assert_eq!(
        build("static", "{header: X-Api-Key, value: {env: KNOWN}}")
            .unwrap()
            .1,
        Placement::Header {
            name: "x-api-key".parse().unwrap(),
            value: "{{ value }}",
        }
    );
    assert_eq!(
        build("static", "{username: me, password: {env: KNOWN}}")
            .unwrap()
            .1,
        Placement::Header {
            name: http::header::AUTHORIZATION,
            value: "Basic {{ basic }}",
        }
    );
    for bad in [
        "{header: X-Api-Key}",
        "{token: a, header: X-Api-Key, value: b}",
        "{username: me}",
        "{token: a, password: b}",
    ] {
        assert!(
            build("static", bad).unwrap_err().contains("one of three"),
            "{bad}"
        );
    }
}
