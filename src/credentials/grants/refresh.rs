//! Renewal by a refresh token (RFC 6749 6). Which one is the newest, and whether it may be sent, others see to.

use super::super::{Ask, Credential, Fetch, FetchError, TokenCall};

/// A successor by the refresh token of the predecessor; none where that has none.
///
/// # Errors
/// [`FetchError`] of the call.
async fn refresh(
    call: &TokenCall,
    ask: Fetch<'_>,
    scope: bool,
) -> Result<Option<Credential>, FetchError> {
    let Some(spent) = ask.previous.and_then(|previous| previous.refresh.as_ref()) else {
        return Ok(None);
    };
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", spent.expose()),
    ];
    let ask = Ask {
        scope,
        ..Ask::new(&form)
    };
    let credential: Credential = call.ask(ask).await?.into();
    Ok(Some(Credential {
        // A server that sends no new refresh token leaves the old one good.
        refresh: credential.refresh.or_else(|| Some(spent.clone())),
        ..credential
    }))
}

/// As [`refresh`], where nothing else brings a credential: `gone` says what a person has to do.
///
/// # Errors
/// `gone` where there is no refresh token, or the server takes it no more; else [`FetchError`] of the call.
pub(super) async fn refresh_only(
    call: &TokenCall,
    ask: Fetch<'_>,
    scope: bool,
    gone: impl FnOnce() -> FetchError,
) -> Result<Credential, FetchError> {
    match refresh(call, ask, scope).await {
        Ok(Some(credential)) => Ok(credential),
        Ok(None) => Err(gone()),
        Err(error) if error.ends_grant() => Err(FetchError {
            refusal: error.refusal,
            ..gone()
        }),
        Err(error) => Err(error),
    }
}

/// As [`refresh`]; none, too, where the server takes the refresh token no more.
///
/// # Errors
/// [`FetchError`] of a call that may succeed later.
pub(super) async fn refresh_or_restart(
    call: &TokenCall,
    ask: Fetch<'_>,
    scope: bool,
) -> Result<Option<Credential>, FetchError> {
    match refresh(call, ask, scope).await {
        Err(error) if error.ends_grant() => Ok(None),
        done => done,
    }
}
