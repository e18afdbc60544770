//! `client_auth:` the ways to show a token endpoint who asks: a word, or a mapping where there is more to say.

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Map, Value};

use super::{BuildContext, OauthKeys};
use crate::{
    config::{Decode, Decoder, Diagnostic, Node, SecretSource, Sp, node::Kind, table::Type},
    credentials::{Algorithm, Assertion, Audience, Client, ClientAuth},
    secret::Secret,
};

/// How the client shows at the token endpoint who it is.
#[derive(Clone, Debug)]
pub enum ClientAuthKey {
    /// A method without keys of its own.
    Word(AuthMethod),
    /// A JWT that a private key signs.
    PrivateKeyJwt(Box<Sp<PrivateKeyJwt>>),
    /// A JWT that the client's secret signs.
    ClientSecretJwt(Box<Sp<ClientSecretJwt>>),
}

crate::config_words! {
    /// How the client shows at the token endpoint who it is.
    pub enum AuthMethod {
        /// HTTP Basic over the form-encoded id and secret (RFC 6749 2.3.1).
        Basic = "basic",
        /// HTTP Basic over id and secret as they are.
        BasicRaw = "basic_raw",
        /// `client_id` and `client_secret` in the form.
        Body = "body",
        /// A JWT signed with the secret by HS256 (RFC 7523).
        ClientSecretJwt = "client_secret_jwt",
        /// The certificate of `tls`, and `client_id` in the form (RFC 8705).
        Tls = "tls",
        /// Only `client_id`, in the form.
        None = "none",
    }
}

crate::config_struct! {
    /// A client that signs who it is: exactly one of these keys.
    pub struct SignedAuth = "`client_auth`" {
        /// By its private key (RFC 7523).
        optional private_key_jwt: PrivateKeyJwt,
        /// By its secret (RFC 7523).
        optional client_secret_jwt: ClientSecretJwt,
    }
}

crate::config_struct! {
    /// A client that signs who it is by its private key (RFC 7523).
    pub struct PrivateKeyJwt = "`private_key_jwt`" {
        /// The private key as PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
        required key: SecretSource,
        /// How it signs; by default RS256, ES256, ES384 or EdDSA, whichever fits the key.
        optional alg: Algorithm,
        /// The key's id at the authorization server.
        optional kid: String,
        /// The key's certificate (PEM), for servers that know keys by `x5t` and `x5t#S256`.
        optional cert: PathBuf,
        /// Whom the JWT is for: `issuer`, `token_url` or a text; by default the issuer where the file names one.
        optional audience: AudienceKey,
    }
}

crate::config_struct! {
    /// A client that signs who it is by its secret (RFC 7523).
    pub struct ClientSecretJwt = "`client_secret_jwt`" {
        /// How it signs.
        default("HS256") alg: Algorithm,
        /// The secret's id at the authorization server.
        optional kid: String,
        /// Whom the JWT is for: `issuer`, `token_url` or a text; by default the issuer where the file names one.
        optional audience: AudienceKey,
    }
}

/// Whom a client's JWT is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudienceKey {
    /// The authorization server's issuer.
    Issuer,
    /// The token endpoint.
    TokenUrl,
    /// This.
    Text(String),
}

impl Decode for AudienceKey {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder
            .scalar(node, "`issuer`, `token_url` or a text")?
            .text;
        Some(match text.as_str() {
            "issuer" => Self::Issuer,
            "token_url" => Self::TokenUrl,
            _ => Self::Text(text.clone()),
        })
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Words(&["issuer", "token_url"]),
            Type::Scalar("text", None),
        ])
    }
}

impl Decode for ClientAuthKey {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.text == "private_key_jwt" => {
                decoder.marks.show(node.span);
                let error = Diagnostic::error(node.span, "`private_key_jwt` has no key");
                decoder.push(error.hint(
                    "write `client_auth: { private_key_jwt: { key: { file: client.pem } } }`",
                ));
                None
            }
            Kind::Map(_) => {
                let signed = SignedAuth::decode(node, decoder)?;
                match (signed.private_key_jwt, signed.client_secret_jwt) {
                    (Some(key), None) => Some(Self::PrivateKeyJwt(Box::new(key))),
                    (None, Some(secret)) => Some(Self::ClientSecretJwt(Box::new(secret))),
                    // What is there and wrong has its diagnostic.
                    _ if !signed.failed.is_empty() => None,
                    _ => decoder.fail(
                        node.span,
                        "`client_auth` has exactly one of `private_key_jwt` and `client_secret_jwt`",
                    ),
                }
            }
            _ => AuthMethod::decode(node, decoder).map(Self::Word),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![AuthMethod::ty(), Type::Table(SignedAuth::TABLE)])
    }
}

/// Whether a grant asks in the name of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::credentials::grants) enum Asker {
    /// It makes no sense without one.
    Client,
    /// What the grant itself carries may be enough.
    ClientOrNobody,
}

impl OauthKeys {
    pub(super) fn auth(&self, asker: Asker, cx: &mut dyn BuildContext) -> Option<ClientAuth> {
        let Some(client_id) = &self.client_id else {
            return self.no_client(asker, cx);
        };
        let id = client_id.value.clone();
        match &self.client_auth.value {
            ClientAuthKey::Word(AuthMethod::None) => {
                self.no_secret("`client_auth: none` sends no secret", cx)?;
                Some(ClientAuth::None { id })
            }
            ClientAuthKey::Word(AuthMethod::Tls) => {
                self.no_secret("`client_auth: tls` sends no secret", cx)?;
                if self.tls.as_ref().is_none_or(|tls| tls.cert.is_none()) {
                    let error = "`client_auth: tls` has no certificate";
                    let hint = "give it as `tls: { cert: client.pem, key: { file: client.key } }`";
                    cx.report(Diagnostic::error(self.client_auth.span, error).hint(hint));
                    return None;
                }
                Some(ClientAuth::Tls { id })
            }
            ClientAuthKey::PrivateKeyJwt(keys) => self.private_key_jwt(id, keys, cx),
            ClientAuthKey::ClientSecretJwt(keys) => {
                let kid = keys.kid.as_ref();
                self.client_secret_jwt(id, &keys.alg, kid, keys.audience.as_ref(), cx)
            }
            ClientAuthKey::Word(AuthMethod::ClientSecretJwt) => {
                let algorithm = Sp::new(Algorithm::Hs256, self.client_auth.span);
                self.client_secret_jwt(id, &algorithm, None, None, cx)
            }
            ClientAuthKey::Word(AuthMethod::Basic) => {
                let secret = self.secret(cx)?;
                Some(ClientAuth::Basic(Client { id, secret }))
            }
            ClientAuthKey::Word(AuthMethod::BasicRaw) => {
                let secret = self.secret(cx)?;
                Some(ClientAuth::BasicRaw(Client { id, secret }))
            }
            ClientAuthKey::Word(AuthMethod::Body) => {
                let secret = self.secret(cx)?;
                Some(ClientAuth::Body(Client { id, secret }))
            }
        }
    }

    fn no_client(&self, asker: Asker, cx: &mut dyn BuildContext) -> Option<ClientAuth> {
        if asker == Asker::ClientOrNobody && self.client_secret.is_none() {
            return Some(ClientAuth::Nobody);
        }
        let span = self.client_secret.as_ref().map_or(cx.span(), |it| it.span);
        cx.report(
            Diagnostic::error(span, "`client_id` is missing")
                .hint("give the client's id at the authorization server"),
        );
        None
    }

    fn secret(&self, cx: &mut dyn BuildContext) -> Option<Secret> {
        let source = self.secret_source(cx)?;
        cx.secret(source)
    }

    fn secret_source(&self, cx: &mut dyn BuildContext) -> Option<&Sp<SecretSource>> {
        if self.client_secret.is_none() {
            let span = self.client_id.as_ref().map_or(cx.span(), |it| it.span);
            cx.report(
                Diagnostic::error(span, "`client_secret` is missing")
                    .hint("give it as `{ env: NAME }`, or say `client_auth: none`"),
            );
        }
        self.client_secret.as_ref()
    }

    fn no_secret(&self, message: &'static str, cx: &mut dyn BuildContext) -> Option<()> {
        let Some(secret) = &self.client_secret else {
            return Some(());
        };
        cx.report(
            Diagnostic::error(secret.span, message)
                .hint("remove `client_secret`, or choose another `client_auth`"),
        );
        None
    }

    fn private_key_jwt(
        &self,
        id: String,
        keys: &PrivateKeyJwt,
        cx: &mut dyn BuildContext,
    ) -> Option<ClientAuth> {
        if !keys.failed.is_empty() {
            return None;
        }
        self.no_secret("`private_key_jwt` sends no secret", cx)?;
        if let Some(alg) = keys.alg.as_ref().filter(|alg| alg.is_symmetric()) {
            let error = format!("`private_key_jwt` can't sign by {}", alg.name());
            let hint = "choose RS256, PS256, ES256, EdDSA..., or `client_secret_jwt`";
            cx.report(Diagnostic::error(alg.span, error).hint(hint));
            return None;
        }
        let audience = self.audience_of(keys.audience.as_ref(), cx);
        let mut header = header(keys.kid.as_ref());
        if let Some(path) = &keys.cert {
            thumbprints(path, &mut header, cx)?;
        }
        let algorithm = keys.alg.as_ref().map(|alg| alg.value);
        let key = cx.signing_key(algorithm, &keys.key);
        Some(ClientAuth::Assertion(Assertion {
            id,
            key: key?,
            header,
            audience: audience?,
        }))
    }

    fn client_secret_jwt(
        &self,
        id: String,
        algorithm: &Sp<Algorithm>,
        kid: Option<&Sp<String>>,
        audience: Option<&Sp<AudienceKey>>,
        cx: &mut dyn BuildContext,
    ) -> Option<ClientAuth> {
        if !algorithm.is_symmetric() {
            let error = format!("`client_secret_jwt` can't sign by {}", algorithm.name());
            let hint = "choose HS256, HS384 or HS512, or `private_key_jwt`";
            cx.report(Diagnostic::error(algorithm.span, error).hint(hint));
            return None;
        }
        let source = self.secret_source(cx)?;
        Some(ClientAuth::Assertion(Assertion {
            id,
            key: cx.signing_key(Some(algorithm.value), source)?,
            header: header(kid),
            audience: self.audience_of(audience, cx)?,
        }))
    }

    fn audience_of(
        &self,
        audience: Option<&Sp<AudienceKey>>,
        cx: &mut dyn BuildContext,
    ) -> Option<Audience> {
        let issuer = self.issuer.as_ref().map(|url| url.as_issuer());
        match (audience.map(|it| (&it.value, it.span)), issuer) {
            // Only the issuer is safe against servers that pass assertions on (RFC 7523bis).
            (None | Some((AudienceKey::Issuer, _)), Some(issuer)) => Some(Audience::Text(issuer)),
            (None | Some((AudienceKey::TokenUrl, _)), _) => Some(Audience::TokenUrl),
            (Some((AudienceKey::Text(text), _)), _) => Some(Audience::Text(text.clone())),
            (Some((AudienceKey::Issuer, span)), None) => {
                let error = Diagnostic::error(span, "the issuer is not known");
                cx.report(error.hint(
                    "write the issuer itself, as a text, or `issuer:` instead of `token_url:`",
                ));
                None
            }
        }
    }
}

fn header(kid: Option<&Sp<String>>) -> Map<String, Value> {
    kid.map(|kid| ("kid".to_owned(), kid.value.as_str().into()))
        .into_iter()
        .collect()
}

/// By which some servers (Microsoft's) find the key (RFC 7515 4.1.7, 4.1.8).
fn thumbprints(
    path: &Sp<PathBuf>,
    header: &mut Map<String, Value>,
    cx: &mut dyn BuildContext,
) -> Option<()> {
    let pem = cx.file(&Sp::new(path.value.as_path(), path.span))?;
    let Ok(certificate) = CertificateDer::from_pem_slice(&pem) else {
        let error = "there is no certificate in this file";
        cx.report(Diagnostic::error(path.span, error));
        return None;
    };
    for (name, algorithm) in [("x5t", &SHA1_FOR_LEGACY_USE_ONLY), ("x5t#S256", &SHA256)] {
        let print = URL_SAFE_NO_PAD.encode(digest(algorithm, &certificate));
        header.insert(name.to_owned(), print.into());
    }
    Some(())
}
