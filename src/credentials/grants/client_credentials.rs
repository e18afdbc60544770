//! `client_credentials`: the proxy's own account at an authorization server (RFC 6749 4.4).

use crate::credentials::{
    BoxFuture, Credential, FetchError, Fingerprint, FingerprintBuilder, Source, Subject, TokenCall,
};

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

    fn endpoint(&self) -> Option<&str> {
        Some(self.call.shown())
    }

    fn fetch<'a>(&'a self, _: &'a Subject) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(self.call.run(&[("grant_type", "client_credentials")]))
    }
}

const KEY: &str = "client_credentials";
