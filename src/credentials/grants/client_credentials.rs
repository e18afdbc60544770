//! `client_credentials`: the proxy's own account at an authorization server (RFC 6749 4.4).

use std::{sync::Arc, time::Duration};

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{AuthMethod, Keys, Tls},
};
use crate::{
    config::{
        HttpUrl, SecretSource,
        scalars::{Named, OneOrList},
        table::Variant,
    },
    credentials::{
        BoxFuture, Credential, Fetch, FetchError, Fingerprint, FingerprintBuilder, Source,
        TokenCall,
    },
};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_struct! {
    /// The proxy's own account at an authorization server (RFC 6749 4.4).
    pub struct Config = "`client_credentials`" {
        /// The token endpoint; its query is kept.
        required token_url: HttpUrl,
        /// The account.
        required client_id: String,
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

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let keys = Keys {
            token_url: &self.token_url,
            client_id: &self.client_id,
            client_secret: self.client_secret.as_ref(),
            client_auth: &self.client_auth,
            scope: self.scope.as_ref(),
            audience: self.audience.as_ref(),
            resource: self.resource.as_ref(),
            params: self.params.as_ref(),
            headers: self.headers.as_ref(),
            query: self.query.as_ref(),
            tls: self.tls.as_ref(),
            connect_timeout: self.connect_timeout.value,
            timeout: self.timeout.value,
            default_expires_in: self.default_expires_in.value,
            danger_plaintext: self.danger_plaintext.value,
        };
        Some(Arc::new(ClientCredentials::new(keys.build(cx)?)))
    }
}

/// Asks for a token in the client's own name.
#[derive(Debug)]
pub struct ClientCredentials {
    call: TokenCall,
}

impl ClientCredentials {
    /// By this call.
    pub fn new(call: TokenCall) -> Self {
        Self { call }
    }
}

impl Source for ClientCredentials {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        self.call.fingerprint(FingerprintBuilder::new(KEY)).finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.call.shown()]
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(self.call.run(&[("grant_type", "client_credentials")]))
    }
}

const KEY: &str = "client_credentials";
