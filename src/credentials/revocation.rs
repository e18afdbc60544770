//! A slot's tokens are revoked when nobody needs them any more: the process ends, or a reload has removed the credential.

use std::{sync::Arc, time::Duration};

use super::{FetchError, Source, TokenCall, cache::Slot};
use crate::{clock, secret::Secret};

/// Whether the tokens of this source may be revoked at all.
///
/// Not where a refresh token would go with them that only a person can replace: the next start needs it.
pub(super) fn is_wanted(source: &dyn Source) -> bool {
    let restarts = source.refreshing().is_none_or(|how| how.restarts);
    restarts && source.token_call().is_some_and(TokenCall::revokes)
}

/// Has the tokens of `slot` revoked, once, by a task of the control runtime.
///
/// What a store keeps is left alone: the next start, or another replica, goes on with it.
pub(super) fn begin(slot: &Slot) {
    let source = slot.source();
    if slot.common.store.is_some() || !is_wanted(&*source) {
        return;
    }
    let tokens = tokens(slot);
    if tokens.is_empty() {
        return;
    }
    let name = Arc::clone(&slot.common.name);
    let revoking = async move {
        let revoked = tokio::time::timeout(LONGEST, revoke(&*source, &tokens)).await;
        match revoked {
            Ok(Ok(())) => tracing::debug!(credential = %name, "its tokens are revoked"),
            Ok(Err(error)) => {
                let kind = error.kind.as_str();
                tracing::warn!(credential = %name, kind, "its tokens are not revoked: {error}");
            }
            Err(_) => tracing::warn!(
                credential = %name, kind = "timeout", "its tokens are not revoked: no answer in time"
            ),
        }
    };
    let process = &slot.common.process;
    process
        .control
        .spawn(process.revoking.track_future(revoking));
}

/// What there is to revoke, each with its kind: the refresh token first, with which a server revokes all that came of it.
fn tokens(slot: &Slot) -> Vec<(&'static str, Secret)> {
    let mut state = slot.state();
    // The end of the process comes before that of the slot.
    if std::mem::replace(&mut state.revoked, true) {
        return Vec::new();
    }
    let held = state.held.as_ref();
    let refresh = match &state.kept.record {
        // What renews it outlives it.
        Some(record) => record.refresh.clone(),
        None => held.and_then(|held| held.issue.credential.refresh.clone()),
    };
    let held = held.filter(|held| held.is_alive(clock::now()));
    let access = held.and_then(|held| held.issue.credential.part("access_token").cloned());
    let tokens = [("refresh_token", refresh), ("access_token", access)];
    let tokens = tokens.into_iter();
    tokens
        .filter_map(|(kind, token)| Some((kind, token?)))
        .collect()
}

/// # Errors
/// The first one; the others are tried all the same.
async fn revoke(source: &dyn Source, tokens: &[(&'static str, Secret)]) -> Result<(), FetchError> {
    let Some(call) = source.token_call() else {
        return Ok(());
    };
    let mut outcome = Ok(());
    for (kind, token) in tokens {
        outcome = outcome.and(call.revoke(token, kind).await);
    }
    outcome
}

/// How long the end of the process waits for all revocations, and how long those of one slot may take.
pub(super) const LONGEST: Duration = Duration::from_secs(3);
