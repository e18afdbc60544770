//! `refresh_token`: renews by a refresh token that somebody else obtained (RFC 6749 6).

use std::{sync::Arc, time::Duration};

use super::{
    BuildContext, Grant, GrantConfig, decode,
    oauth::{Asker, OauthKeys},
    refresh::refresh_only,
};
use crate::{
    config::{Diagnostic, SecretSource, table::Variant},
    credentials::{
        BoxFuture, Credential, FailureKind, Fetch, FetchError, Fingerprint, FingerprintBuilder,
        Refreshing, Source, TokenCall,
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
    /// A refresh token that was obtained elsewhere (RFC 6749 6). Where the server rotates it, the newest is kept in `store`.
    pub struct Config = "`refresh_token`", flatten = [oauth: OauthKeys] {
        /// The refresh token to begin with.
        required refresh_token: SecretSource,
        /// How long after it was spent the server takes a refresh token once more, where it does. Without it one that was
        /// sent and never answered is not sent again.
        default("0s") reuse_window: Duration,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        self.oauth.keeps_key(cx)?;
        let call = self.oauth.build(Asker::Client, cx);
        let first = cx.secret(&self.refresh_token)?;
        if !cx.has_store() {
            let warning = Diagnostic::warning(
                self.refresh_token.span,
                "where the server rotates refresh tokens, the newest one is lost at a restart",
            );
            cx.report(warning.hint("give the file a `store`, which keeps it"));
        }
        Some(Arc::new(RefreshToken {
            call: call?,
            first,
            reuse_window: self.reuse_window.value,
        }))
    }
}

/// Renews by the newest refresh token, beginning with the one of the file.
#[derive(Debug)]
struct RefreshToken {
    call: TokenCall,
    first: Secret,
    reuse_window: Duration,
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

    fn token_call(&self) -> Option<&TokenCall> {
        Some(&self.call)
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        Some(Refreshing {
            first: Some(&self.first),
            restarts: false,
            reuse_window: self.reuse_window,
        })
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(refresh_only(&self.call, ask, true, || {
            let why = "the refresh token is no longer valid: put a new one into the file";
            FetchError::permanent(FailureKind::Rejected, why).at(self.call.shown())
        }))
    }
}

const KEY: &str = "refresh_token";
