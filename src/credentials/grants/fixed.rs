//! `static`: what never changes, an API key or a user name with a password.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, header::AUTHORIZATION};

use super::{BuildContext, Grant, GrantConfig, Placement, decode};
use crate::{
    clock,
    config::{Diagnostic, SecretSource, table::Variant},
    credentials::{
        BoxFuture, Credential, Fetch, FetchError, Fingerprint, FingerprintBuilder, Source,
    },
    secret::Secret,
};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_struct! {
    /// What never changes: a token, an API key in a header, or a user name with a password (HTTP Basic).
    pub struct Config = "`static`", short = "token" {
        /// A bearer token: `Authorization: Bearer ...`.
        optional token: SecretSource,
        /// The header that takes `value`, such as `X-Api-Key`.
        optional header: HeaderName,
        /// The value of `header`.
        optional value: SecretSource,
        /// A user name: `Authorization: Basic ...`.
        optional username: String,
        /// The user's password.
        optional password: SecretSource,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let fixed = match (
            &self.token,
            &self.header,
            &self.value,
            &self.username,
            &self.password,
        ) {
            (Some(token), None, None, None, None) => Fixed::token(cx.secret(token)?),
            (None, Some(_), Some(value), None, None) => Fixed::value(cx.secret(value)?),
            (None, None, None, Some(username), Some(password)) => {
                Fixed::basic(&username.value, cx.secret(password)?)
            }
            (token, header, value, username, password) => {
                let span = [
                    token.as_ref().map(|sp| sp.span),
                    header.as_ref().map(|sp| sp.span),
                    value.as_ref().map(|sp| sp.span),
                    username.as_ref().map(|sp| sp.span),
                    password.as_ref().map(|sp| sp.span),
                ]
                .into_iter()
                .flatten()
                .next();
                cx.report(
                    Diagnostic::error(
                        span.unwrap_or(cx.span()),
                        "`static` is one of three: a token, a header, or a user",
                    )
                    .hint("give `token`, or `header` and `value`, or `username` and `password`"),
                );
                return None;
            }
        };
        Some(Arc::new(fixed))
    }

    fn placement(&self) -> Placement {
        match (&self.header, &self.username) {
            (Some(name), _) => Placement::Header {
                name: name.value.clone(),
                value: "{{ value }}",
            },
            (_, Some(_)) => Placement::Header {
                name: AUTHORIZATION,
                value: "Basic {{ basic }}",
            },
            _ => Placement::Bearer,
        }
    }
}

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

    /// The value of a header: the part `value`.
    pub fn value(value: Secret) -> Self {
        Self {
            parts: vec![("value", value)],
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

    fn parts(&self) -> Vec<&str> {
        self.parts.iter().map(|(name, _)| *name).collect()
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let credential = Credential {
            parts: self
                .parts
                .iter()
                .map(|(name, secret)| ((*name).into(), secret.clone()))
                .collect(),
            life: None,
            sent: clock::now(),
            refresh: None,
            scope: None,
            made_from: Vec::new(),
            until: None,
            issued_type: None,
        };
        Box::pin(std::future::ready(Ok(credential)))
    }
}

const KEY: &str = "static";
