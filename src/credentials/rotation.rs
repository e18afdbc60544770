//! An operator has a credential renewed now.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout_at};

use super::{
    CredentialError, CredentialErrorKind, CredentialHandle, Credentials,
    cache::{Kin, Slot},
};
use crate::clock;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Tokens that have a successor.
    pub renewed: usize,
    /// Those for which none was to be had: they serve on.
    pub failed: usize,
    /// Those whose turn did not come in time.
    pub left: usize,
    /// Why the first one failed.
    pub failure: Option<CredentialError>,
    /// Whether each user has a token of its own.
    pub per_subject: bool,
}

impl Rotation {
    /// Whether there is nothing to complain of.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.left == 0
    }

    fn count(&mut self, outcome: Result<(), CredentialError>) {
        match outcome {
            Ok(()) => self.renewed += 1,
            Err(error) => {
                self.failed += 1;
                self.failure.get_or_insert(error);
            }
        }
    }
}

impl Credentials {
    /// Renews the credential of this name now, whatever the back-off says and a store has; none where there is no such
    /// credential.
    ///
    /// What a store has is replaced, and other replicas take the new one within some seconds. A changed secret that is not in
    /// use yet is tried. Where each user has a token, all that are held here are renewed, a few at a time and for 20 s at
    /// most: calls that are under way then go on, others are not begun.
    pub async fn rotate(&self, name: &str) -> Option<Rotation> {
        let slots = self.named(name);
        if slots.is_empty() {
            return None;
        }
        let mut rotation = Rotation::default();
        for slot in slots {
            slot.common.sources.hurry();
            match &slot.kin {
                Kin::Root(subjects) => {
                    rotation.per_subject = true;
                    let all = subjects.slots();
                    let held = all.filter(|one| one.state().held.is_some()).collect();
                    renew_all(held, &mut rotation).await;
                }
                Kin::Alone | Kin::Of(_) => {
                    rotation.count(renew(slot).await);
                }
            }
        }
        Some(rotation)
    }
}

async fn renew_all(slots: Vec<Arc<Slot>>, rotation: &mut Rotation) {
    let deadline = clock::now() + LONGEST;
    let mut slots = slots.into_iter();
    let mut calls = JoinSet::new();
    for slot in slots.by_ref().take(AT_ONCE) {
        calls.spawn(renew(slot));
    }
    while let Ok(Some(done)) = timeout_at(deadline, calls.join_next()).await {
        if let Ok(outcome) = done {
            rotation.count(outcome);
        }
        if let Some(slot) = slots.next() {
            calls.spawn(renew(slot));
        }
    }
    // Who only waits is dropped; the calls belong to the slots.
    rotation.left += slots.len() + calls.len();
}

/// # Errors
/// Of the call, and where it brought what there was already.
async fn renew(slot: Arc<Slot>) -> Result<(), CredentialError> {
    let before = slot.state().life.generation();
    let handle = CredentialHandle(slot);
    handle.renew_now().await?;
    if handle.0.state().life.generation() > before {
        return Ok(());
    }
    Err(CredentialError {
        credential: Arc::clone(handle.name()),
        kind: CredentialErrorKind::Malformed,
        retry_after: None,
        detail: "the token endpoint has answered with the token that there was".into(),
    })
}

/// As many as may call one endpoint: the others would only wait there, and against its deadline.
const AT_ONCE: usize = 8;
/// Below what the listener for operators takes.
const LONGEST: Duration = Duration::from_secs(20);
