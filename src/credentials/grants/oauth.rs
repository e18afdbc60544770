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

/// The shared keys of one grant.
pub(super) struct Keys<'a> {
    pub(super) token_url: &'a Sp<HttpUrl>,
    pub(super) client_id: &'a Sp<String>,
    pub(super) client_secret: Option<&'a Sp<SecretSource>>,
    pub(super) client_auth: &'a Sp<AuthMethod>,
    pub(super) scope: Option<&'a Sp<OneOrList<String>>>,
    pub(super) audience: Option<&'a Sp<OneOrList<String>>>,
    pub(super) resource: Option<&'a Sp<OneOrList<String>>>,
    pub(super) params: Option<&'a Sp<Named<SecretSource>>>,
    pub(super) headers: Option<&'a Sp<Named<SecretSource>>>,
    pub(super) query: Option<&'a Sp<Named<SecretSource>>>,
    pub(super) tls: Option<&'a Sp<Tls>>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) default_expires_in: Duration,
    pub(super) danger_plaintext: bool,
}

impl Keys<'_> {
    /// Every fault is reported, not only the first.
    pub(super) fn build(&self, cx: &mut dyn BuildContext) -> Option<TokenCall> {
        let endpoint = self.endpoint(cx);
        let auth = self.auth(cx);
        let params = pairs(self.params, cx);
        let query = pairs(self.query, cx);
        let headers = headers(self.headers, cx);
        let extras = Extras {
            scope: self
                .scope
                .map(|scope| texts(scope).join(" "))
                .filter(|scope| !scope.is_empty()),
            audiences: self.audience.map(|list| texts(list)).unwrap_or_default(),
            resources: self.resource.map(|list| texts(list)).unwrap_or_default(),
            params: params?,
            headers: headers?,
            query: query?,
            default_expires_in: self.default_expires_in,
        };
        match TokenCall::new(endpoint?, auth?, extras) {
            Ok(call) => Some(call),
            Err(error) => {
                let span = match &error {
                    TokenCallError::Parameter(name) => place(self.params, name),
                    TokenCallError::Header(name) => place(self.headers, name.as_str()),
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
        if self.tls.is_some_and(|tls| !tls.failed.is_empty()) {
            return None;
        }
        let ca = match self.tls.and_then(|tls| tls.ca.as_ref()) {
            None => None,
            Some(path) => Some(cx.file(&Sp::new(path.value.as_path(), path.span))?),
        };
        let settings = EndpointSettings {
            ca,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            danger_plaintext: self.danger_plaintext,
            ..EndpointSettings::new(self.token_url.full())
        };
        match Endpoint::new(&settings) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                let span = match (&error, self.tls) {
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

    fn auth(&self, cx: &mut dyn BuildContext) -> Option<ClientAuth> {
        let id = self.client_id.value.clone();
        let secret = match (self.client_auth.value, self.client_secret) {
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
                    Diagnostic::error(self.client_id.span, "`client_secret` is missing")
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
