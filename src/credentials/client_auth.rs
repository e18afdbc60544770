//! How we prove to a token endpoint who we are: one method per request (RFC 6749 2.3).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use zeroize::Zeroizing;

use serde_json::{Map, Value};

use super::{FetchError, FingerprintBuilder, SigningKey, form::Form, random_id};
use crate::{clock, secret::Secret};

/// A client's identity and the method by which it is shown.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// HTTP Basic over the form-encoded id and secret (RFC 6749 2.3.1).
    Basic(Client),
    /// HTTP Basic over id and secret as they are: what many servers expect, against the letter of the RFC.
    BasicRaw(Client),
    /// `client_id` and `client_secret` in the form.
    Body(Client),
    /// A public client: only its id, in the form.
    None {
        /// The client's id.
        id: String,
    },
    /// A JWT signed with the client's key or secret (RFC 7523 2.2).
    Assertion(Assertion),
    /// The certificate of the connection (RFC 8705), and the client's id in the form.
    Tls {
        /// The client's id.
        id: String,
    },
    /// No client at all: what the grant itself carries is enough.
    Nobody,
}

/// A confidential client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: Secret,
}

/// A client that signs who it is: `private_key_jwt` and `client_secret_jwt`.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// The client's id.
    pub id: String,
    /// What signs.
    pub key: SigningKey,
    /// Members of the JWT's header, such as `kid`.
    pub header: Map<String, Value>,
    /// Whom it is for.
    pub audience: Audience,
}

/// Whom a client's assertion is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The token endpoint: what most servers took before they asked for the issuer.
    TokenUrl,
    /// This: the issuer, or whatever else the server wants.
    Text(String),
}

impl ClientAuth {
    /// The method's word in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Basic(_) => "basic",
            Self::BasicRaw(_) => "basic_raw",
            Self::Body(_) => "body",
            Self::None { .. } | Self::Nobody => "none",
            Self::Tls { .. } => "tls",
            Self::Assertion(it) if it.key.algorithm().is_symmetric() => "client_secret_jwt",
            Self::Assertion(_) => "private_key_jwt",
        }
    }

    /// The value of `Authorization`, where the method uses it; else what it needs is put into `form`.
    ///
    /// None of the methods builds a value that a header can't carry: Base64 has no such byte.
    ///
    /// # Errors
    /// Where a key does not sign.
    pub(super) async fn apply(
        &self,
        form: &mut Form,
        token_url: &str,
    ) -> Result<Option<HeaderValue>, FetchError> {
        match self {
            Self::Basic(client) => {
                let (id, secret) = (encoded(&client.id), encoded(client.secret.expose()));
                return Ok(Some(basic(&id, &secret)));
            }
            Self::BasicRaw(client) => {
                return Ok(Some(basic(&client.id, client.secret.expose())));
            }
            Self::Body(client) => {
                form.add("client_id", &client.id);
                form.add("client_secret", client.secret.expose());
            }
            Self::None { id } | Self::Tls { id } => form.add("client_id", id),
            Self::Assertion(assertion) => {
                let jwt = assertion.sign(token_url).await?;
                form.add("client_id", &assertion.id);
                form.add("client_assertion_type", ASSERTION_TYPE);
                form.add("client_assertion", jwt.expose());
            }
            Self::Nobody => {}
        }
        Ok(None)
    }

    /// The secret that is sent, in whatever spelling.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Basic(client) | Self::BasicRaw(client) | Self::Body(client) => {
                Some(&client.secret)
            }
            _ => None,
        }
    }

    /// Whether the method fills the `Authorization` header.
    pub(super) fn uses_header(&self) -> bool {
        matches!(self, Self::Basic(_) | Self::BasicRaw(_))
    }

    /// The client is part of what a token is for, how it is shown is not. The certificate is the endpoint's, and in its
    /// fingerprint.
    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        let (method, id, secret) = match self {
            Self::Basic(client) => (1, Some(&client.id), Some(&client.secret)),
            Self::BasicRaw(client) => (2, Some(&client.id), Some(&client.secret)),
            Self::Body(client) => (3, Some(&client.id), Some(&client.secret)),
            Self::None { id } => (4, Some(id), None),
            Self::Nobody => (5, None, None),
            Self::Tls { id } => (6, Some(id), None),
            Self::Assertion(assertion) => (7, Some(&assertion.id), None),
        };
        builder
            .option(id, |b, id| b.text(id))
            .authentication(|b| match self {
                Self::Assertion(assertion) => assertion.fingerprint(b.number(method)),
                _ => b.number(method).option(secret, FingerprintBuilder::secret),
            })
    }
}

impl Assertion {
    /// A new one for each call: a server refuses a `jti` that it has seen (RFC 7523 3).
    async fn sign(&self, token_url: &str) -> Result<Secret, FetchError> {
        let now = clock::unix_time().as_secs();
        let audience = match &self.audience {
            Audience::TokenUrl => token_url,
            Audience::Text(text) => text,
        };
        let claims = [
            ("iss", self.id.as_str().into()),
            ("sub", self.id.as_str().into()),
            ("aud", audience.into()),
            ("jti", random_id().into()),
            ("iat", now.into()),
            ("exp", (now + LIFE).into()),
        ];
        let claims = claims.map(|(name, value): (&str, Value)| (name.to_owned(), value));
        Ok(self
            .key
            .sign_aside(self.header.clone(), claims.into_iter().collect())
            .await?)
    }

    fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        let audience = match &self.audience {
            Audience::TokenUrl => None,
            Audience::Text(text) => Some(text.as_str()),
        };
        self.key
            .fingerprint(builder)
            .list(self.header.iter(), |b, (name, value)| {
                b.text(name).text(&value.to_string())
            })
            .option(audience, FingerprintBuilder::text)
    }
}

fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect())
}

fn basic(id: &str, secret: &str) -> HeaderValue {
    let pair = Zeroizing::new(format!("{id}:{secret}"));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).expect("Base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Of an assertion, in seconds: for one call, with some room for clocks that differ.
const LIFE: u64 = 60;

#[cfg(test)]
mod tests;
