//! What a token call brought.

use std::time::Duration;

use crate::{clock::Instant, credentials::Credential, secret::Secret};

/// A token, and what came with it.
#[derive(Debug)]
pub struct Token {
    /// The token.
    pub access_token: Secret,
    /// How long it lives, counted from `sent`; zero for one that is dead on arrival.
    pub life: Duration,
    /// What renews it.
    pub refresh_token: Option<Secret>,
    /// The scope that was granted, where the answer says so.
    pub scope: Option<String>,
    /// What kind of token was issued (RFC 8693).
    pub issued_token_type: Option<String>,
    /// When the request was sent.
    pub sent: Instant,
}

/// Also of one that is dead on arrival: its refresh token may be all that there is to renew by.
impl From<Token> for Credential {
    fn from(token: Token) -> Self {
        Self {
            refresh: token.refresh_token,
            scope: token.scope,
            issued_type: token.issued_token_type,
            ..Self::bearer(token.access_token, Some(token.life), token.sent)
        }
    }
}
