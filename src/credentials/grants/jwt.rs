//! A JWT that the file describes: its claims, and the key that signs it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{BuildContext, oauth::OauthKeys};
use crate::{
    clock,
    config::{
        Decode, Decoder, Diagnostic, Node, SecretSource, Sp,
        node::Kind,
        scalars::{Named, OneOrList},
        table::Type,
    },
    credentials::{Algorithm, FetchError, FingerprintBuilder, SigningKey, random_id},
};

crate::config_struct! {
    /// The JWT that is exchanged for a token.
    pub struct AssertionKeys = "the JWT of `jwt_bearer`" {
        /// The private key as PEM; for `HS256` and its kin the secret.
        required key: SecretSource,
        /// How it is signed; by default as the key suggests.
        optional alg: Algorithm,
        /// The key's id, for the JWT's header.
        optional kid: String,
        /// `iss`: who signs.
        required issuer: String,
        /// `sub`: whose token is wanted; the issuer where nothing is said.
        optional subject: String,
        /// `aud`: whom the JWT is for; the token endpoint (or the `issuer` that names it) where nothing is said.
        optional audience: OneOrList<String>,
        /// More claims; text, numbers, booleans, lists and mappings are taken as they stand.
        optional claims: Named<Json>,
        /// How long the JWT may be used: an hour at most.
        default("5m") expires: Duration,
    }
}

/// A JWT that can be made, again and again.
#[derive(Clone, Debug)]
pub(super) struct Template {
    key: SigningKey,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    expires: Duration,
}

impl AssertionKeys {
    /// Every fault is reported.
    pub(super) fn build(&self, oauth: &OauthKeys, cx: &mut dyn BuildContext) -> Option<Template> {
        if !self.failed.is_empty() {
            return None;
        }
        let key = signing_key(self.alg.as_ref(), &self.key, cx);
        let issuer = &self.issuer.value;
        let subject = self
            .subject
            .as_ref()
            .map_or(issuer, |subject| &subject.value);
        let audience = match &self.audience {
            Some(list) => audience(list),
            None => {
                let asked = oauth.token_url.as_ref().map(|url| url.without_query());
                let issuer = oauth.issuer.as_ref().map(|issuer| issuer.as_issuer());
                json!(asked.or(issuer))
            }
        };
        let mut claims = Map::new();
        claims.insert("iss".into(), json!(issuer));
        claims.insert("sub".into(), json!(subject));
        claims.insert("aud".into(), audience);
        let expires = expires(&self.expires, cx);
        let more = more_claims(self.claims.as_ref(), cx)?;
        claims.extend(more);
        Some(Template {
            key: key?,
            header: kid(self.kid.as_ref()),
            claims,
            expires: expires?,
        })
    }
}

impl Template {
    /// A new JWT, with an id of its own.
    pub(super) async fn sign(&self) -> Result<crate::secret::Secret, FetchError> {
        let claims = stamped(self.claims.clone(), self.expires);
        Ok(self.key.sign_aside(self.header.clone(), claims).await?)
    }

    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder
            .authentication(|b| {
                self.key
                    .fingerprint(b)
                    .text(&Value::Object(self.header.clone()).to_string())
            })
            .text(&Value::Object(self.claims.clone()).to_string())
            .number(self.expires.as_secs())
    }
}

/// Reads a key to sign with.
pub(super) fn signing_key(
    alg: Option<&Sp<Algorithm>>,
    key: &Sp<SecretSource>,
    cx: &mut dyn BuildContext,
) -> Option<SigningKey> {
    cx.signing_key(alg.map(|alg| alg.value), key)
}

/// `aud`: one as text, several as a list.
pub(super) fn audience(list: &OneOrList<String>) -> Value {
    let mut all: Vec<Value> = list.iter().map(|one| json!(one.value)).collect();
    match all.len() {
        1 => all.remove(0),
        _ => Value::Array(all),
    }
}

pub(super) fn kid(kid: Option<&Sp<String>>) -> Map<String, Value> {
    kid.map(|kid| ("kid".to_owned(), json!(kid.value)))
        .into_iter()
        .collect()
}

/// `iat`, `exp` and `jti` of this moment.
pub(super) fn stamped(mut claims: Map<String, Value>, expires: Duration) -> Map<String, Value> {
    let now = clock::unix_time().as_secs();
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now + expires.as_secs()));
    claims.insert("jti".into(), json!(random_id()));
    claims
}

/// An hour is more than any server takes.
pub(super) fn expires(expires: &Sp<Duration>, cx: &mut dyn BuildContext) -> Option<Duration> {
    if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&expires.value) {
        return Some(expires.value);
    }
    let error = Diagnostic::error(expires.span, "a JWT may be used from 1s to 1h");
    cx.report(error.hint("it is exchanged at once: minutes are enough"));
    None
}

/// The claims of the user's own; those that have keys, or that are made here, have their place.
pub(super) fn more_claims(
    claims: Option<&Sp<Named<Json>>>,
    cx: &mut dyn BuildContext,
) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    for (name, value) in claims.iter().flat_map(|claims| claims.iter()) {
        if TAKEN.contains(&name.value.as_str()) {
            let error = Diagnostic::error(name.span, "this claim is made by bearerd");
            cx.report(error.hint("use `issuer`, `subject`, `audience` and `expires`"));
            return None;
        }
        map.insert(name.value.clone(), value.value.0.clone());
    }
    Some(map)
}

const TAKEN: [&str; 6] = ["iss", "sub", "aud", "exp", "iat", "jti"];

/// A value of any shape, as JSON has it.
#[derive(Clone)]
pub struct Json(pub Value);

/// A claim may be personal.
impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Json(****)")
    }
}

impl Decode for Json {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        Some(Self(match &node.kind {
            Kind::Faulty => return None,
            Kind::Null => return decoder.mismatch(node, "a value"),
            Kind::Scalar(scalar) if scalar.typed => match scalar.text.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text => text
                    .parse::<i64>()
                    .map_or_else(|_| json!(text), |number| json!(number)),
            },
            Kind::Scalar(scalar) => json!(scalar.text),
            Kind::List(items) => {
                let items = items.iter().map(|item| Self::decode(item, decoder));
                Value::Array(items.map(|item| Some(item?.0)).collect::<Option<_>>()?)
            }
            Kind::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|entry| Some((entry.key.clone(), Self::decode(&entry.value, decoder)?.0)));
                Value::Object(entries.collect::<Option<_>>()?)
            }
        }))
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Scalar("text, number or boolean", None),
            Type::List(Box::new(Type::Scalar("any value", None))),
            Type::Map(Box::new(Type::Scalar("any value", None))),
        ])
    }
}
