//! Each preset against a scripted vendor: what it asks, to the byte where the vendor says so, where its
//! tokens go, and what is renewed when one is refused.

mod aicrisk;
mod brightpattern;
mod catalogs;
mod forms;
mod iceberg;
mod jwt;
mod symbl;
mod symphony;
mod symphony_apis;
mod symphony_extension_app;
mod symphony_logins;
mod symphony_oauth;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{self, KeyPair, RsaKeyPair, UnparsedPublicKey},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

use crate::support::{Exchange, Message, TestProxy, Upstream};

/// A proxy with the credential `main` of this preset, and a route for all of `vendor` that carries it.
#[track_caller]
pub fn proxy(preset: &str, with: &str, vendor: &Upstream) -> TestProxy {
    TestProxy::start(&yaml(preset, with, vendor))
}

/// The same as text; `with` are the preset's parameters, `VENDOR` in it is where the vendor is.
pub fn yaml(preset: &str, with: &str, vendor: &Upstream) -> String {
    let at = format!("http://{}", vendor.address());
    let with = with.replace("VENDOR", &at);
    format!(
        "credentials:\n  main:\n    preset: {preset}\n    with: {{ {with} }}\n\
         routes:\n  - {{ name: all, match: /, upstream: '{at}/', credential: main }}\n"
    )
}

/// Method and target of every request that came.
pub fn asked(vendor: &Upstream) -> Vec<String> {
    let requests = vendor.requests();
    let lines = requests
        .iter()
        .map(|it| it.start.trim_end_matches(" HTTP/1.1"));
    lines.map(str::to_owned).collect()
}

/// How many requests came for this path.
pub fn count(vendor: &Upstream, path: &str) -> usize {
    let is = |line: &String| line.split([' ', '?']).nth(1) == Some(path);
    asked(vendor).iter().filter(|line| is(line)).count()
}

/// The only request for this path.
#[track_caller]
pub fn only(vendor: &Upstream, path: &str) -> Message {
    let requests = vendor.requests().into_iter();
    let mut found: Vec<Message> = requests.filter(|it| it.path() == path).collect();
    assert_eq!(found.len(), 1, "{path}: {:?}", asked(vendor));
    found.remove(0)
}

/// All fields but those that every request has, in lower case and in order.
pub fn fields(request: &Message) -> Vec<String> {
    let everywhere = ["host", "user-agent", "via"];
    let mut fields: Vec<String> = request
        .fields
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| !everywhere.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    fields.sort_unstable();
    fields
}

/// Answers with JSON.
pub fn json(exchange: &mut Exchange<'_>, status: u16, body: &str) {
    exchange.answer(status, "Content-Type: application/json\r\n", body);
}

/// The members of a JWT's claims or header.
pub fn part(jwt: &str, at: usize) -> Value {
    let part = jwt.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A JWT in form, with these claims, which ends in a canary.
pub fn unsigned(claims: &Value, canary: &str) -> String {
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("e30.{claims}.{canary}")
}

/// What is left of a credential's life; none where it has no end.
#[track_caller]
pub fn life(proxy: &TestProxy, name: &str) -> Option<Duration> {
    let views = proxy.app.credentials().views();
    let view = views.into_iter().find(|view| &*view.name == name);
    view.expect("such a credential").expires_in
}

/// Seconds from now.
pub fn from_now(moment: &Value) -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    moment.as_i64().unwrap() - i64::try_from(now.as_secs()).unwrap()
}

/// A file that is gone when the test ends.
pub struct Temporary(PathBuf);

impl Temporary {
    /// With this in it.
    pub fn new(text: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("preset-{}-{number}.pem", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&file, text).unwrap();
        Self(file)
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// An RSA key, and the file that holds it.
pub struct Key {
    pair: RsaKeyPair,
    pub file: Temporary,
}

impl Key {
    /// A new one.
    pub fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Self {
            pair,
            file: Temporary::new(&pem),
        }
    }

    /// Whether it has signed this JWT, by RS256 or RS512.
    pub fn has_signed(&self, jwt: &str) -> bool {
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let algorithm = match part(jwt, 0)["alg"].as_str() {
            Some("RS256") => &signature::RSA_PKCS1_2048_8192_SHA256,
            Some("RS512") => &signature::RSA_PKCS1_2048_8192_SHA512,
            other => panic!("{other:?}"),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = UnparsedPublicKey::new(algorithm, self.pair.public_key().as_ref());
        key.verify(signed.as_bytes(), &signature).is_ok()
    }
}
