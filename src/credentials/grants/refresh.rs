//! The refresh token that a grant holds: always the newest, each spent once where the server rotates them.

use tokio::sync::Mutex;

use super::super::{Ask, Credential, FetchError, Token, TokenCall};
use crate::secret::Secret;

/// Renews by the newest refresh token. Outlives the credentials, so that none of theirs is spent twice.
#[derive(Debug, Default)]
pub(super) struct Refresher {
    newest: Mutex<Option<Secret>>,
}

impl Refresher {
    /// Holds `first`, if there is one already.
    pub(super) fn new(first: Option<Secret>) -> Self {
        Self {
            newest: Mutex::new(first),
        }
    }

    /// A credential by the newest refresh token; none where there is no such token, or the server takes it no more.
    ///
    /// # Errors
    /// [`FetchError`] of a call that may succeed later.
    pub(super) async fn renew(
        &self,
        call: &TokenCall,
        scope: bool,
    ) -> Result<Option<Credential>, FetchError> {
        // Held over the call: the same token is never sent twice at the same time.
        let mut newest = self.newest.lock().await;
        let Some(spent) = newest.clone() else {
            return Ok(None);
        };
        match refresh(call, &spent, scope).await {
            Ok(token) => kept(&mut newest, token, call).map(Some),
            Err(error) if is_spent(&error) => {
                *newest = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a token that came in another way, with the refresh token that replaces all before.
    ///
    /// # Errors
    /// [`FetchError`] for a token that is dead on arrival.
    pub(super) async fn begin(
        &self,
        call: &TokenCall,
        token: Token,
    ) -> Result<Credential, FetchError> {
        let mut newest = self.newest.lock().await;
        *newest = None;
        kept(&mut newest, token, call)
    }
}

/// One call of RFC 6749 6.
pub(super) async fn refresh(
    call: &TokenCall,
    refresh_token: &Secret,
    scope: bool,
) -> Result<Token, FetchError> {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.expose()),
    ];
    let ask = Ask {
        scope,
        ..Ask::new(&form)
    };
    call.ask(ask).await
}

/// Whether the server says that this refresh token will never do again.
pub(super) fn is_spent(error: &FetchError) -> bool {
    error.code() == Some("invalid_grant")
}

/// A server that sends no new refresh token leaves the old one good (RFC 6749 6).
fn kept(
    newest: &mut Option<Secret>,
    token: Token,
    call: &TokenCall,
) -> Result<Credential, FetchError> {
    // Before the token is looked at: dead or not, the old refresh token may be spent.
    if let Some(next) = &token.refresh_token {
        *newest = Some(next.clone());
    }
    Ok(Credential {
        refresh: newest.clone(),
        ..call.credential(token)?
    })
}
