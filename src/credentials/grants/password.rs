//! `password`: a user's name and password, where nothing better is offered (RFC 6749 4.3).

use std::sync::Arc;

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{Asker, OauthKeys},
    refresh::refresh_or_restart,
};
use crate::{
    config::{SecretSource, table::Variant},
    credentials::{
        Ask, BoxFuture, Credential, Fetch, FetchError, Fingerprint, FingerprintBuilder, Refreshing,
        Source, TokenCall,
    },
    secret::Secret,
};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_struct! {
    /// A user's name and password (RFC 6749 4.3), for servers that offer nothing better: RFC 9700 forbids it to new ones.
    pub struct Config = "`password`", flatten = [oauth: OauthKeys] {
        /// The user's name.
        required username: String,
        /// The user's password.
        required password: SecretSource,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let call = self.oauth.build(Asker::ClientOrNobody, cx);
        let password = cx.secret(&self.password)?;
        Some(Arc::new(Password {
            call: call?,
            username: self.username.value.clone(),
            password,
        }))
    }
}

/// Logs in by password, and renews by refresh token where it gets one.
#[derive(Debug)]
pub struct Password {
    call: TokenCall,
    username: String,
    password: Secret,
}

impl Source for Password {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        self.call
            .fingerprint(FingerprintBuilder::new(KEY))
            .text(&self.username)
            .authentication(|b| b.secret(&self.password))
            .finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.call.shown()]
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        Some(Refreshing::OR_ANEW)
    }

    fn token_call(&self) -> Option<&TokenCall> {
        Some(&self.call)
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async move {
            if let Some(renewed) = refresh_or_restart(&self.call, ask, true).await? {
                return Ok(renewed);
            }
            let form = [
                ("grant_type", KEY),
                ("username", &self.username),
                ("password", self.password.expose()),
            ];
            Ok(self.call.ask(Ask::new(&form)).await?.into())
        })
    }
}

const KEY: &str = "password";
