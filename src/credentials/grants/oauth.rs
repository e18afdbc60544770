//! The keys that OAuth grants share, turned into a token call.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::BuildContext;
use crate::{
    config::{
        Diagnostic, HttpUrl, SecretSource, Sp,
        scalars::{Named, OneOrList},
    },
    credentials::{Extras, TokenCall, TokenCallError},
    secret::Secret,
};

mod client_auth;
mod dpop;
mod revocation;
mod tls;

pub(super) use client_auth::Asker;
pub use client_auth::{
    AudienceKey, AuthMethod, ClientAuthKey, ClientSecretJwt, PrivateKeyJwt, SignedAuth,
};
pub use dpop::{DpopKey, DpopKeys};
pub use tls::Tls;

crate::config_struct! {
    /// What every OAuth grant has: where it asks, who asks, what for.
    pub struct OauthKeys = "the keys of OAuth grants" {
        /// The token endpoint; its query is kept. This or `issuer` must be there.
        optional token_url: HttpUrl,
        /// The authorization server, whose document names the token endpoint (OpenID Connect Discovery, RFC 8414).
        optional issuer: HttpUrl,
        /// The client's account at the authorization server.
        optional client_id: String,
        /// Its secret; `client_auth` `basic`, `basic_raw`, `body` and `client_secret_jwt` need it.
        optional client_secret: SecretSource,
        /// How the endpoint is shown who asks.
        default("basic") client_auth: ClientAuthKey,
        /// The rights to ask for: one text, or a list.
        optional scope: OneOrList<String>,
        /// Whom the token is for, as some authorization servers want it.
        optional audience: OneOrList<String>,
        /// Which services the token is for (RFC 8707).
        optional resource: OneOrList<String>,
        /// More parameters of the form.
        optional params: Named<SecretSource>,
        /// More header fields of the token request.
        optional headers: Named<SecretSource>,
        /// More parameters of the token endpoint's query.
        optional query: Named<SecretSource>,
        /// Asks for tokens that are bound to a key (RFC 9449): each request to the upstream then carries a proof of it.
        /// `true`, or the key.
        optional dpop: DpopKey,
        /// Whom to trust at the token endpoint, and as whom to come.
        optional tls: Tls,
        /// Revokes its tokens (RFC 7009) when the proxy ends, or when a reload removes the credential; not those that a
        /// `store` or a login keeps, nor what only a person could replace.
        default("false") revoke_on_exit: bool,
        /// Where tokens are revoked; as the document of `issuer` says where nothing is said.
        optional revocation_url: HttpUrl,
        /// How long the connection, with its TLS handshake, may take.
        default("5s") connect_timeout: Duration,
        /// How long the whole call may take.
        default("10s") timeout: Duration,
        /// The life of a token that comes without one.
        default("1h") default_expires_in: Duration,
        /// Allows a token endpoint in clear beyond loopback: the secret can be read on the way.
        default("false") danger_plaintext: bool,
    }
}

impl OauthKeys {
    /// The token call of these keys. Every fault is reported, not only the first.
    pub(super) fn build(&self, asker: Asker, cx: &mut dyn BuildContext) -> Option<TokenCall> {
        let target = self.target(cx);
        let auth = self.auth(asker, cx);
        let params = pairs(self.params.as_ref(), cx);
        let query = pairs(self.query.as_ref(), cx);
        let headers = headers(self.headers.as_ref(), cx);
        let key = self.proof_key(cx);
        let revocation = self.revocation(cx);
        let extras = Extras {
            scope: self
                .scope
                .as_ref()
                .map(|scope| texts(scope).join(" "))
                .filter(|scope| !scope.is_empty()),
            audiences: self
                .audience
                .as_ref()
                .map(|list| texts(list))
                .unwrap_or_default(),
            resources: self
                .resource
                .as_ref()
                .map(|list| texts(list))
                .unwrap_or_default(),
            params: params?,
            headers: headers?,
            query: query?,
            default_expires_in: self.default_expires_in.value,
        };
        let call = TokenCall::new(target?, auth?, extras);
        let revocation = revocation?;
        let call = call.map(|call| call.revoking(revocation));
        let bound = match key? {
            Some(key) => call.and_then(|call| call.bind(key)),
            None => call,
        };
        match bound {
            Ok(call) => Some(call),
            Err(error) => {
                let span = match &error {
                    TokenCallError::Parameter(name) => place(self.params.as_ref(), name),
                    TokenCallError::Header(name) => place(self.headers.as_ref(), name.as_str()),
                };
                let span = span.unwrap_or(cx.span());
                cx.report(Diagnostic::error(span, error.to_string()));
                None
            }
        }
    }
}

fn texts(list: &OneOrList<String>) -> Vec<String> {
    list.iter().map(|item| item.value.clone()).collect()
}

/// All of them, or none when one can't be read.
pub(super) fn pairs(
    named: Option<&Sp<Named<SecretSource>>>,
    cx: &mut dyn BuildContext,
) -> Option<Vec<(String, Secret)>> {
    let Some(named) = named else {
        return Some(Vec::new());
    };
    let read: Vec<_> = named
        .iter()
        .map(|(name, source)| Some((name.value.clone(), cx.secret(source)?)))
        .collect();
    read.into_iter().collect()
}

fn headers(
    named: Option<&Sp<Named<SecretSource>>>,
    cx: &mut dyn BuildContext,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let read: Vec<_> = pairs(named, cx)?
        .into_iter()
        .map(|(name, value)| {
            let span = place(named, &name).unwrap_or_default();
            let Ok(header) = name.parse::<HeaderName>() else {
                cx.report(Diagnostic::error(span, "this is no name of a header"));
                return None;
            };
            let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
                cx.report(Diagnostic::error(
                    span,
                    "this can't be the value of a header",
                ));
                return None;
            };
            value.set_sensitive(true);
            Some((header, value))
        })
        .collect();
    read.into_iter().collect()
}

fn place(named: Option<&Sp<Named<SecretSource>>>, name: &str) -> Option<crate::config::Span> {
    named?
        .iter()
        .find(|(known, _)| known.value.eq_ignore_ascii_case(name))
        .map(|(known, _)| known.span)
}
