//! Where the tokens of an exchange come from: the request, a file, another credential, or a JWT made for the caller.

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderName;
use serde_json::{Map, Value, json};

use super::super::{
    BuildContext, file,
    jwt::{self, Json},
};
use crate::{
    clock::{self, Instant},
    config::{
        Decode, Decoder, Diagnostic, Node, SecretSource,
        scalars::{Named, OneOrList},
        table::Type,
    },
    credentials::{
        Algorithm, FailureKind, FetchError, FingerprintBuilder, Lease, Linked, SigningKey, Subject,
        SubjectToken, TokensFrom, Watched, token_response::jwt_life,
    },
    secret::Secret,
};

crate::config_struct! {
    /// A token to be exchanged: from exactly one of `header`, `file`, `credential` and `mint`.
    pub struct TokenFrom = "a token to exchange" {
        /// The header of the request that holds it, with or without `Bearer`; verified as `callers` say.
        optional header: HeaderName,
        /// The file that holds it, read for each exchange; a changed one is exchanged at once.
        optional file: PathBuf,
        /// The credential whose token it is.
        optional credential: String,
        /// A JWT about the route's `subject`, made for each exchange.
        optional mint: Mint,
        /// What kind of token it is: `access_token`, `id_token`, `jwt`, `refresh_token`, `saml1`, `saml2` or a URN. A `jwt`
        /// from a file or `mint`, else an `access_token`, where nothing is said.
        optional r#type as "type": TokenType,
    }
}

crate::config_struct! {
    /// A JWT whose `sub` is the route's `subject`. Without a key it is unsecured (`alg: none`), which a server must want.
    pub struct Mint = "`mint`" {
        /// `iss`: who makes it.
        required issuer: String,
        /// `aud`: whom it is for.
        optional audience: OneOrList<String>,
        /// The private key as PEM; for `HS256` and its kin the secret.
        optional key: SecretSource,
        /// How it is signed; by default as the key suggests.
        optional alg: Algorithm,
        /// The key's id, for the JWT's header.
        optional kid: String,
        /// More claims; text, numbers, booleans, lists and mappings are taken as they stand.
        optional claims: Named<Json>,
        /// How long it may be used: an hour at most.
        default("5m") expires: Duration,
    }
}

/// A token type's URN (RFC 8693 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenType(pub String);

impl Decode for TokenType {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "a token type")?.text;
        if WORDS.contains(&text.as_str()) {
            return Some(Self(urn(text)));
        }
        if text.contains(':') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(Self(text.clone()));
        }
        let error = Diagnostic::error(node.span, "this is no token type");
        decoder.push(error.hint(format!("write one of `{}`, or a URN", WORDS.join("`, `"))));
        None
    }

    fn ty() -> Type {
        Type::Scalar("token type", None)
    }
}

/// A token's origin and kind.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) place: Place,
    pub(super) kind: String,
}

#[derive(Debug)]
pub(super) enum Place {
    Header(HeaderName),
    File(Arc<Watched>),
    Credential(Linked),
    Mint(Minter),
}

/// Whom a token is about, by what tells it.
pub(super) enum Need<'a> {
    Nobody,
    /// A user's name.
    Name,
    /// The token in this header.
    Header(&'a HeaderName),
    /// The tokens that another credential exchanges.
    Tokens(&'a TokensFrom),
}

/// Makes JWTs about subjects.
#[derive(Debug)]
pub(super) struct Minter {
    key: Option<SigningKey>,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    expires: Duration,
}

/// A token to be exchanged now.
pub(super) struct Found {
    pub(super) token: Secret,
    /// When it ends, where that is known.
    pub(super) until: Option<Instant>,
    /// The lease that it is.
    pub(super) lease: Option<Lease>,
}

impl TokenFrom {
    /// Every fault is reported.
    pub(super) fn build(
        &self,
        place: crate::config::Span,
        cx: &mut dyn BuildContext,
    ) -> Option<Origin> {
        if !self.failed.is_empty() {
            return None;
        }
        let origin = match (&self.header, &self.file, &self.credential, &self.mint) {
            (Some(header), None, None, None) => Place::Header(header.value.clone()),
            (None, Some(path), None, None) => {
                Place::File(Arc::new(Watched::new(cx.path(&path.value))))
            }
            (None, None, Some(name), None) => Place::Credential(cx.credential(name)?),
            (None, None, None, Some(mint)) => Place::Mint(mint.build(cx)?),
            _ => {
                let error = Diagnostic::error(place, "a token to exchange has exactly one origin");
                cx.report(error.hint("give it one of `header`, `file`, `credential` and `mint`"));
                return None;
            }
        };
        let usual = match origin {
            Place::File(_) | Place::Mint(_) => "jwt",
            Place::Header(_) | Place::Credential(_) => "access_token",
        };
        let kind = self.r#type.as_ref();
        Some(Origin {
            kind: kind.map_or_else(|| urn(usual), |kind| kind.value.0.clone()),
            place: origin,
        })
    }
}

impl Mint {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Minter> {
        if !self.failed.is_empty() {
            return None;
        }
        let key = match &self.key {
            Some(key) => Some(jwt::signing_key(self.alg.as_ref(), key, cx)?),
            None => {
                if let Some(alg) = &self.alg {
                    let error = Diagnostic::error(alg.span, "there is no key to sign with");
                    cx.report(error.hint("give `key`, or remove `alg` for an unsecured JWT"));
                    return None;
                }
                None
            }
        };
        let mut claims = Map::new();
        claims.insert("iss".into(), json!(self.issuer.value));
        if let Some(list) = &self.audience {
            claims.insert("aud".into(), jwt::audience(list));
        }
        claims.extend(jwt::more_claims(self.claims.as_ref(), cx)?);
        Some(Minter {
            key,
            header: jwt::kid(self.kid.as_ref()),
            claims,
            expires: jwt::expires(&self.expires, cx)?,
        })
    }
}

impl Origin {
    /// The token; `given` is what the request brought in this one's header.
    pub(super) async fn find(
        &self,
        subject: &Subject,
        given: Option<&SubjectToken>,
    ) -> Result<Found, FetchError> {
        match &self.place {
            Place::Header(name) => {
                let Some(given) = given else {
                    return Err(FetchError::permanent(
                        FailureKind::Rejected,
                        format!("the request has no token in `{name}`"),
                    ));
                };
                let life = jwt_life(given.token.expose(), clock::unix_time())?;
                let ends = life.map(|life| clock::now() + life);
                Ok(Found {
                    token: given.token.clone(),
                    until: given.expires.into_iter().chain(ends).min(),
                    lease: None,
                })
            }
            Place::File(watched) => {
                let read = file::read(watched).await?;
                let until = read.life.map(|life| read.sent + life);
                found(&read.parts[0].1, until, None)
            }
            Place::Credential(linked) => {
                let lease = linked.lease(subject).await?;
                let token = lease.part("access_token").or_else(|| only(&lease));
                let Some(token) = token.cloned() else {
                    return Err(FetchError::permanent(
                        FailureKind::Internal,
                        format!("credential {} has no access_token", linked.name()),
                    ));
                };
                found(&token, lease.expires(), Some(lease))
            }
            Place::Mint(minter) => found(&minter.mint(subject).await?, None, None),
        }
    }

    pub(super) fn file(&self) -> Option<&Watched> {
        match &self.place {
            Place::File(watched) => Some(watched),
            _ => None,
        }
    }

    pub(super) fn link(&self) -> Option<&Linked> {
        match &self.place {
            Place::Credential(linked) => Some(linked),
            _ => None,
        }
    }

    pub(super) fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            Place::Header(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the subject matters to it.
    pub(super) fn is_per_subject(&self) -> bool {
        !matches!(self.need(), Need::Nobody)
    }

    /// What it needs to know of the one whom a request is for.
    pub(super) fn need(&self) -> Need<'_> {
        match &self.place {
            Place::Header(header) => Need::Header(header),
            Place::Mint(_) => Need::Name,
            Place::Credential(link) if link.is_per_subject() => {
                link.tokens_from().map_or(Need::Name, Need::Tokens)
            }
            Place::File(_) | Place::Credential(_) => Need::Nobody,
        }
    }

    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        let builder = builder.text(&self.kind);
        match &self.place {
            Place::Header(name) => builder.number(1).text(name.as_str()),
            Place::File(file) => builder
                .number(2)
                .bytes(file.path().as_os_str().as_encoded_bytes()),
            Place::Credential(linked) => linked.fingerprint(builder.number(3)),
            Place::Mint(minter) => builder
                .number(4)
                .authentication(|b| {
                    b.option(minter.key.as_ref(), |b, key| key.fingerprint(b))
                        .text(&Value::Object(minter.header.clone()).to_string())
                })
                .text(&Value::Object(minter.claims.clone()).to_string())
                .number(minter.expires.as_secs()),
        }
    }
}

impl Minter {
    async fn mint(&self, subject: &Subject) -> Result<Secret, FetchError> {
        let Subject::User(name) = subject else {
            return Err(FetchError::permanent(
                FailureKind::Rejected,
                "nobody to make a JWT about: the route says no `subject`",
            ));
        };
        let mut claims = self.claims.clone();
        claims.insert("sub".into(), json!(name.as_ref()));
        let claims = jwt::stamped(claims, self.expires);
        let Some(key) = &self.key else {
            return Ok(unsecured(&self.header, &claims));
        };
        Ok(key.sign_aside(self.header.clone(), claims).await?)
    }
}

/// RFC 7519 6: the signature is empty, the dot before it stays.
fn unsecured(header: &Map<String, Value>, claims: &Map<String, Value>) -> Secret {
    let mut header = header.clone();
    header.insert("alg".into(), json!("none"));
    let part =
        |part: &Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(part.clone()).to_string());
    Secret::new(format!("{}.{}.", part(&header), part(claims)))
}

fn found(
    token: &Secret,
    until: Option<Instant>,
    lease: Option<Lease>,
) -> Result<Found, FetchError> {
    Ok(Found {
        token: token.clone(),
        until,
        lease,
    })
}

/// A recipe's token may have any name.
fn only(lease: &Lease) -> Option<&Secret> {
    let mut parts = lease.parts();
    let first = parts.next().map(|(_, secret)| secret);
    first.filter(|_| parts.next().is_none())
}

pub(super) fn urn(word: &str) -> String {
    format!("urn:ietf:params:oauth:token-type:{word}")
}

const WORDS: [&str; 6] = [
    "access_token",
    "id_token",
    "jwt",
    "refresh_token",
    "saml1",
    "saml2",
];
