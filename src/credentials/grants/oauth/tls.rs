//! `tls:` of a token endpoint: whom to trust there, and as whom to come.

use std::path::PathBuf;

use super::{AuthMethod, BuildContext, ClientAuthKey, OauthKeys};
use crate::{
    config::{Diagnostic, HttpUrl, SecretSource, Sp},
    credentials::{ClientIdentity, Discovery, Endpoint, EndpointError, EndpointSettings, Target},
};

crate::config_struct! {
    /// Whom to trust at the token endpoint, and as whom to come.
    pub struct Tls = "`tls` of a token endpoint" {
        /// A file with the certificates of the only authorities to trust, as PEM.
        optional ca: PathBuf,
        /// A file with our own certificate, and those between it and its authority, as PEM.
        optional cert: PathBuf,
        /// The private key of our certificate, as PEM.
        optional key: SecretSource,
        /// The name that the endpoint's certificate must hold, where it is not the URL's host.
        optional server_name: String,
    }
}

impl OauthKeys {
    /// Where the call goes: exactly one of `token_url` and `issuer` says so.
    pub(super) fn target(&self, cx: &mut dyn BuildContext) -> Option<Target> {
        match (&self.token_url, &self.issuer) {
            (Some(url), None) => Some(self.endpoint(url, cx)?.into()),
            (None, Some(issuer)) => self.discovery(issuer, cx).map(Target::from),
            (None, None) => {
                let error = Diagnostic::error(cx.span(), "`token_url` is missing");
                cx.report(error.hint("give the token endpoint, or `issuer` to have it found"));
                None
            }
            (Some(_), Some(issuer)) => {
                let error = "both `token_url` and `issuer` say where the token endpoint is";
                cx.report(Diagnostic::error(issuer.span, error).hint("keep one of the two"));
                None
            }
        }
    }

    fn discovery(&self, issuer: &Sp<HttpUrl>, cx: &mut dyn BuildContext) -> Option<Discovery> {
        let origin = self.endpoint(issuer, cx)?;
        if let Some(name) = self.tls.as_ref().and_then(|tls| tls.server_name.as_ref()) {
            let error = "`server_name` belongs to one endpoint, and `issuer` may name any";
            cx.report(Diagnostic::error(name.span, error).hint("give `token_url` instead"));
            return None;
        }
        let mtls = matches!(self.client_auth.value, ClientAuthKey::Word(AuthMethod::Tls));
        match Discovery::new(issuer.as_issuer(), origin, mtls) {
            Ok(discovery) => Some(discovery),
            Err(error) => {
                cx.report(Diagnostic::error(issuer.span, error.to_string()));
                None
            }
        }
    }

    /// Any endpoint of this authorization server, called as the keys say.
    pub(in crate::credentials::grants) fn endpoint(
        &self,
        url: &Sp<HttpUrl>,
        cx: &mut dyn BuildContext,
    ) -> Option<Endpoint> {
        let settings = EndpointSettings {
            connect_timeout: self.connect_timeout.value,
            timeout: self.timeout.value,
            danger_plaintext: self.danger_plaintext.value,
            ..EndpointSettings::new(url.full())
        };
        let settings = match &self.tls {
            Some(tls) => tls.add(settings, cx)?,
            None => settings,
        };
        match Endpoint::new(&settings) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                let span = match &self.tls {
                    Some(tls) => tls.place(&error),
                    None => None,
                };
                let span = span.unwrap_or(url.span);
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
}

impl Tls {
    pub(in crate::credentials) fn add(
        &self,
        settings: EndpointSettings,
        cx: &mut dyn BuildContext,
    ) -> Option<EndpointSettings> {
        if !self.failed.is_empty() {
            return None;
        }
        let ca = match &self.ca {
            None => None,
            Some(path) => Some(read(path, cx)?),
        };
        Some(EndpointSettings {
            ca,
            identity: self.identity(cx)?,
            server_name: self.server_name.as_ref().map(|name| name.value.clone()),
            ..settings
        })
    }

    fn identity(&self, cx: &mut dyn BuildContext) -> Option<Option<ClientIdentity>> {
        let (path, key) = match (&self.cert, &self.key) {
            (None, None) => return Some(None),
            (Some(path), Some(key)) => (path, key),
            (Some(path), None) => {
                let error = Diagnostic::error(path.span, "this certificate has no `key`");
                cx.report(error.hint("add `key: { file: client.key }`"));
                return None;
            }
            (None, Some(key)) => {
                let error = Diagnostic::error(key.span, "this key has no `cert`");
                cx.report(error.hint("add `cert: client.pem`"));
                return None;
            }
        };
        let certificates = read(path, cx);
        let key = cx.secret(key)?;
        let identity = ClientIdentity {
            certificates: certificates?,
            key,
        };
        // Where secrets are not read, there is nothing to come with.
        Some(cx.reads_secrets().then_some(identity))
    }

    /// Where the setting stands that is at fault.
    pub(in crate::credentials) fn place(
        &self,
        error: &EndpointError,
    ) -> Option<crate::config::Span> {
        let (ca, cert) = (&self.ca, &self.cert);
        match error {
            EndpointError::Ca => ca.as_ref().map(|it| it.span),
            EndpointError::Certificate | EndpointError::Pair => cert.as_ref().map(|it| it.span),
            EndpointError::Key(_) => self.key.as_ref().map(|it| it.span),
            EndpointError::ServerName => self.server_name.as_ref().map(|it| it.span),
            _ => None,
        }
    }
}

fn read(path: &Sp<PathBuf>, cx: &mut dyn BuildContext) -> Option<Vec<u8>> {
    cx.file(&Sp::new(path.value.as_path(), path.span))
}
