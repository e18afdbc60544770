//! The keys that OAuth grants share, turned into a token call.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};

use super::BuildContext;
use crate::{
    config::{
        Diagnostic, HttpUrl, SecretSource, Sp,
        scalars::{Named, OneOrList},
    },
    credentials::{
        Client, ClientAuth, Endpoint, EndpointError, EndpointSettings, Extras, TokenCall,
        TokenCallError,
    },
    secret::Secret,
};

crate::config_words! {
    /// How the client shows at the token endpoint who it is.
    pub enum AuthMethod {
        /// HTTP Basic over the form-encoded id and secret (RFC 6749 2.3.1).
        Basic = "basic",
        /// HTTP Basic over id and secret as they are.
        BasicRaw = "basic_raw",
        /// `client_id` and `client_secret` in the form.
        Body = "body",
        /// Only `client_id`, in the form.
        None = "none",
    }
}

crate::config_struct! {
    /// Whom to trust at the token endpoint.
    pub struct Tls = "`tls` of a token endpoint", unavailable = ["cert", "key", "server_name"] {
        /// A file with the certificates of the only authorities to trust, as PEM.
        optional ca: PathBuf,
    }
}

crate::config_struct! {
    /// What every OAuth grant has: where it asks, who asks, what for.
    pub struct OauthKeys = "the keys of OAuth grants" {
        /// The token endpoint; its query is kept.
        required token_url: HttpUrl,
        /// The client's account at the authorization server.
        optional client_id: String,
        /// Its secret; every `client_auth` but `none` needs it.
        optional client_secret: SecretSource,
        /// How the endpoint is shown who asks.
        default("basic") client_auth: AuthMethod,
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
        /// Whom to trust at the token endpoint.
        optional tls: Tls,
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

/// Whether a grant asks in the name of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// It makes no sense without one.
    Client,
    /// What the grant itself carries may be enough.
    ClientOrNobody,
}

impl OauthKeys {
    /// The token call of these keys. Every fault is reported, not only the first.
    pub(super) fn build(&self, asker: Asker, cx: &mut dyn BuildContext) -> Option<TokenCall> {
        let endpoint = self.endpoint(cx);
        let auth = self.auth(asker, cx);
        let params = pairs(self.params.as_ref(), cx);
        let query = pairs(self.query.as_ref(), cx);
        let headers = headers(self.headers.as_ref(), cx);
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
        match TokenCall::new(endpoint?, auth?, extras) {
            Ok(call) => Some(call),
            Err(error) => {
                let span = match &error {
                    TokenCallError::Parameter(name) => place(self.params.as_ref(), name),
                    TokenCallError::Header(name) => place(self.headers.as_ref(), name.as_str()),
                };
                cx.report(Diagnostic::error(
                    span.unwrap_or(self.token_url.span),
                    error.to_string(),
                ));
                None
            }
        }
    }

    fn endpoint(&self, cx: &mut dyn BuildContext) -> Option<Endpoint> {
        let tls = self.tls.as_ref();
        if tls.is_some_and(|tls| !tls.failed.is_empty()) {
            return None;
        }
        let ca = match tls.and_then(|tls| tls.ca.as_ref()) {
            None => None,
            Some(path) => Some(cx.file(&Sp::new(path.value.as_path(), path.span))?),
        };
        let settings = EndpointSettings {
            ca,
            connect_timeout: self.connect_timeout.value,
            timeout: self.timeout.value,
            danger_plaintext: self.danger_plaintext.value,
            ..EndpointSettings::new(self.token_url.full())
        };
        match Endpoint::new(&settings) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                let span = match (&error, tls) {
                    (EndpointError::Ca, Some(tls)) => tls.span,
                    _ => self.token_url.span,
                };
                let diagnostic = Diagnostic::error(span, error.to_string());
                cx.report(match error {
                    EndpointError::Plaintext => {
                        diagnostic.hint("write `https://`, or add `danger_plaintext: true`")
                    }
                    _ => diagnostic,
                });
                None
            }
        }
    }

    fn auth(&self, asker: Asker, cx: &mut dyn BuildContext) -> Option<ClientAuth> {
        let Some(client_id) = &self.client_id else {
            return self.no_client(asker, cx);
        };
        let id = client_id.value.clone();
        let secret = match (self.client_auth.value, &self.client_secret) {
            (AuthMethod::None, None) => return Some(ClientAuth::None { id }),
            (AuthMethod::None, Some(secret)) => {
                cx.report(
                    Diagnostic::error(secret.span, "`client_auth: none` sends no secret")
                        .hint("remove `client_secret`, or choose another `client_auth`"),
                );
                return None;
            }
            (_, None) => {
                cx.report(
                    Diagnostic::error(client_id.span, "`client_secret` is missing")
                        .hint("give it as `{ env: NAME }`, or say `client_auth: none`"),
                );
                return None;
            }
            (_, Some(secret)) => cx.secret(secret)?,
        };
        let client = Client { id, secret };
        Some(match self.client_auth.value {
            AuthMethod::BasicRaw => ClientAuth::BasicRaw(client),
            AuthMethod::Body => ClientAuth::Body(client),
            AuthMethod::Basic | AuthMethod::None => ClientAuth::Basic(client),
        })
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
}

fn texts(list: &OneOrList<String>) -> Vec<String> {
    list.iter().map(|item| item.value.clone()).collect()
}

/// All of them, or none when one can't be read.
fn pairs(
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
