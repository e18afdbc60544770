//! `jwt_bearer`: a signed JWT for a token (RFC 7523 2.1), as Google's service accounts do it.

use std::sync::Arc;

use super::{
    BuildContext, Grant, GrantConfig, decode,
    jwt::{AssertionKeys, Template},
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
    /// A signed JWT for a token (RFC 7523 2.1); a new one for each token.
    pub struct Config = "`jwt_bearer`", flatten = [oauth: OauthKeys] {
        /// The JWT.
        required assertion: AssertionKeys,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let call = self.oauth.build(Asker::ClientOrNobody, cx);
        let assertion = self.assertion.build(&self.oauth, cx)?;
        Some(Arc::new(JwtBearer {
            call: call?,
            assertion,
        }))
    }
}

/// Signs a JWT for each token.
#[derive(Debug)]
pub struct JwtBearer {
    call: TokenCall,
    assertion: Template,
}

impl Source for JwtBearer {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        let builder = self.call.fingerprint(FingerprintBuilder::new(KEY));
        self.assertion.fingerprint(builder).finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.call.shown()]
    }

    fn token_call(&self) -> Option<&TokenCall> {
        Some(&self.call)
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async {
            let assertion = self.assertion.sign().await?;
            let form = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", assertion.expose()),
            ];
            let credential = self.call.run(&form).await?;
            // The next one is asked for with a new JWT: a refresh token is not used (RFC 7521 4.1).
            Ok(Credential {
                refresh: None,
                ..credential
            })
        })
    }
}

const KEY: &str = "jwt_bearer";
