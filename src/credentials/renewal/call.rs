//! The call of a source, within every bound.

use std::{sync::Arc, time::Duration};

use tokio_util::task::AbortOnDropHandle;

use crate::{
    clock::{self, Instant},
    credentials::{
        Credential, FailureKind, Fetch, FetchError, Source, cache::Slot, calls::Calls,
        life::Purpose,
    },
};

/// Calls the source in a task of its own: a panic there ends as an error, not as a flight that never lands.
pub(super) async fn call(
    slot: &Slot,
    source: &Arc<dyn Source>,
    previous: Option<Credential>,
    purpose: Purpose,
    calls: &Calls,
) -> Result<Credential, FetchError> {
    let source = Arc::clone(source);
    let subject = slot.subject.clone();
    let ends = subject.expires();
    if ends.is_some_and(|ends| ends <= clock::now()) {
        let why = "the subject token has expired";
        return Err(FetchError::permanent(FailureKind::Rejected, why).before_sending());
    }
    // Who drops the call has no use for what it would bring.
    let task = AbortOnDropHandle::new(tokio::spawn(calls.of(async move {
        let ask = Fetch {
            subject: &subject,
            previous: previous.as_ref(),
            refused: purpose == Purpose::Refused,
        };
        source.fetch(ask).await
    })));
    match clock::within(LONGEST_CALL, task).await {
        Ok(Ok(result)) => result.map(|credential| within(ends, credential)),
        Ok(Err(_)) => Err(FetchError::transient(
            FailureKind::Internal,
            "the source panicked",
        )),
        Err(_) => Err(FetchError::transient(
            FailureKind::Timeout,
            "the source never ended",
        )),
    }
}

/// A credential that was made of a token does not outlive it.
fn within(ends: Option<Instant>, credential: Credential) -> Credential {
    let most = ends.map(|ends| ends.saturating_duration_since(credential.sent));
    let life = match (credential.life, most) {
        (Some(life), Some(most)) => Some(life.min(most)),
        (life, most) => life.or(most),
    };
    Credential { life, ..credential }
}

/// Beyond every deadline of a source: only a fault of ours gets here.
const LONGEST_CALL: Duration = Duration::from_secs(120);
