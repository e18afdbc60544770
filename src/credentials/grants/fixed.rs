//! `static`: what never changes, an API key or a user name with a password.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    clock,
    credentials::{
        BoxFuture, Credential, FetchError, Fingerprint, FingerprintBuilder, Source, Subject,
    },
    secret::Secret,
};

/// Hands out what the file says; a refusal by an upstream can't be mended by asking again.
#[derive(Debug)]
pub struct Fixed {
    parts: Vec<(&'static str, Secret)>,
}

impl Fixed {
    /// A token: the part `access_token`.
    pub fn token(token: Secret) -> Self {
        Self {
            parts: vec![("access_token", token)],
        }
    }

    /// A user name and a password: the parts `username`, `password` and `basic`, which is both in Base64.
    pub fn basic(username: &str, password: Secret) -> Self {
        let pair = zeroize::Zeroizing::new(format!("{username}:{}", password.expose()));
        let basic = Secret::new(STANDARD.encode(pair.as_bytes()));
        let username = Secret::new(username);
        Self {
            parts: vec![
                ("username", username),
                ("password", password),
                ("basic", basic),
            ],
        }
    }
}

impl Source for Fixed {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new(KEY)
            .list(self.parts.iter(), |b, (name, value)| {
                b.text(name).secret(value)
            })
            .finish()
    }

    fn renewable(&self) -> bool {
        false
    }

    fn fetch<'a>(&'a self, _: &'a Subject) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let credential = Credential {
            parts: self.parts.clone(),
            life: None,
            sent: clock::now(),
            refresh: None,
            scope: None,
        };
        Box::pin(std::future::ready(Ok(credential)))
    }
}

const KEY: &str = "static";
