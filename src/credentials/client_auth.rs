//! How we prove to a token endpoint who we are: one method per request (RFC 6749 2.3).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use zeroize::Zeroizing;

use super::{FingerprintBuilder, form::Form};
use crate::secret::Secret;

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

impl ClientAuth {
    /// The method's word in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Basic(_) => "basic",
            Self::BasicRaw(_) => "basic_raw",
            Self::Body(_) => "body",
            Self::None { .. } | Self::Nobody => "none",
        }
    }

    /// The value of `Authorization`, where the method uses it; else what it needs is put into `form`.
    ///
    /// None of the methods builds a value that a header can't carry: Base64 has no such byte.
    pub(super) fn apply(&self, form: &mut Form) -> Option<HeaderValue> {
        match self {
            Self::Basic(client) => Some(basic(
                &encoded(&client.id),
                &encoded(client.secret.expose()),
            )),
            Self::BasicRaw(client) => Some(basic(&client.id, client.secret.expose())),
            Self::Body(client) => {
                form.add("client_id", &client.id);
                form.add("client_secret", client.secret.expose());
                None
            }
            Self::None { id } => {
                form.add("client_id", id);
                None
            }
            Self::Nobody => None,
        }
    }

    /// Whether the method fills the `Authorization` header.
    pub(super) fn uses_header(&self) -> bool {
        matches!(self, Self::Basic(_) | Self::BasicRaw(_))
    }

    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        let (method, id, secret) = match self {
            Self::Basic(client) => (1, client.id.as_str(), Some(&client.secret)),
            Self::BasicRaw(client) => (2, client.id.as_str(), Some(&client.secret)),
            Self::Body(client) => (3, client.id.as_str(), Some(&client.secret)),
            Self::None { id } => (4, id.as_str(), None),
            Self::Nobody => (5, "", None),
        };
        builder
            .number(method)
            .text(id)
            .option(secret, FingerprintBuilder::secret)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            id: "a b:c".into(),
            secret: Secret::new("p%ss+wörd"),
        }
    }

    fn decoded(auth: &ClientAuth) -> String {
        let mut form = Form::default();
        let value = auth.apply(&mut form).expect("a header");
        assert!(value.is_sensitive());
        assert_eq!(form.as_str(), "", "one method per request");
        let text = value
            .to_str()
            .expect("ascii")
            .strip_prefix("Basic ")
            .expect("scheme");
        String::from_utf8(STANDARD.decode(text).expect("base64")).expect("utf-8")
    }

    #[test]
    fn basic_encodes_id_and_secret_as_a_form_does() {
        assert_eq!(
            decoded(&ClientAuth::Basic(client())),
            "a+b%3Ac:p%25ss%2Bw%C3%B6rd"
        );
    }

    #[test]
    fn basic_raw_sends_them_as_they_are() {
        assert_eq!(decoded(&ClientAuth::BasicRaw(client())), "a b:c:p%ss+wörd");
    }

    #[test]
    fn body_puts_them_into_the_form_and_nowhere_else() {
        let mut form = Form::default();
        assert!(ClientAuth::Body(client()).apply(&mut form).is_none());
        assert_eq!(
            form.as_str(),
            "client_id=a+b%3Ac&client_secret=p%25ss%2Bw%C3%B6rd"
        );
    }

    #[test]
    fn a_public_client_sends_its_id_alone() {
        let mut form = Form::default();
        assert!(
            ClientAuth::None { id: "me".into() }
                .apply(&mut form)
                .is_none()
        );
        assert_eq!(form.as_str(), "client_id=me");
    }
}
