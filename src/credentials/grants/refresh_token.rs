//! `refresh_token`: renews by a refresh token that somebody else obtained (RFC 6749 6).

use std::sync::Arc;

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{Asker, OauthKeys},
    refresh::Refresher,
};
use crate::{
    config::{Diagnostic, SecretSource, table::Variant},
    credentials::{
        BoxFuture, Credential, FailureKind, Fetch, FetchError, Fingerprint, FingerprintBuilder,
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
    /// A refresh token that was obtained elsewhere (RFC 6749 6). Where the server rotates it, the newest is kept, in memory.
    pub struct Config = "`refresh_token`", flatten = [oauth: OauthKeys] {
        /// The refresh token to begin with.
        required refresh_token: SecretSource,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let call = self.oauth.build(Asker::Client, cx);
        let first = cx.secret(&self.refresh_token)?;
        let warning = Diagnostic::warning(
            self.refresh_token.span,
            "where the server rotates refresh tokens, the newest one is lost at a restart",
        );
        cx.report(warning.hint(
            "this version has no store: use `device_code` or `authorization_code` with `bearerd login`, which keep it \
             in a file, or a client whose refresh tokens are not rotated",
        ));
        Some(Arc::new(RefreshToken::new(call?, first)))
    }
}

/// Renews by the newest refresh token, beginning with the one of the file.
#[derive(Debug)]
pub struct RefreshToken {
    call: TokenCall,
    first: Secret,
    refresher: Refresher,
}

impl RefreshToken {
    /// Begins with `first`.
    pub fn new(call: TokenCall, first: Secret) -> Self {
        Self {
            refresher: Refresher::new(Some(first.clone())),
            call,
            first,
        }
    }
}

impl Source for RefreshToken {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        self.call
            .fingerprint(FingerprintBuilder::new(KEY))
            .secret(&self.first)
            .finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.call.shown()]
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async {
            let renewed = self.refresher.renew(&self.call, true).await?;
            renewed.ok_or_else(|| {
                FetchError::permanent(
                    FailureKind::Rejected,
                    "the refresh token is no longer valid: put a new one into the file",
                )
                .at(self.call.shown())
            })
        })
    }
}

const KEY: &str = "refresh_token";
