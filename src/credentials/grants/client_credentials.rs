//! `client_credentials`: the proxy's own account at an authorization server (RFC 6749 4.4).

use std::sync::Arc;

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{Asker, OauthKeys},
};
use crate::{
    config::table::Variant,
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
    pub struct Config = "`client_credentials`", flatten = [oauth: OauthKeys] {}
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let call = self.oauth.build(Asker::Client, cx)?;
        Some(Arc::new(ClientCredentials::new(call)))
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

    fn token_call(&self) -> Option<&TokenCall> {
        Some(&self.call)
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(self.call.run(&[("grant_type", "client_credentials")]))
    }
}

const KEY: &str = "client_credentials";
