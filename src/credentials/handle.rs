//! What routes and other credentials hold of one: leases of it, and the way to tell of refusals.

use std::{sync::Arc, time::Duration};

use super::{
    Account, Credential, CredentialError, CredentialView, FetchError, Lease, Retry, Source,
    Subject,
    cache::{Kin, Slot},
    flight::Landing,
    renewal,
};
use crate::clock;

/// A route's hold on one credential. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CredentialHandle(pub(super) Arc<Slot>);

/// What a refusal by the upstream led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Another try with [`CredentialHandle::lease`] will bring another token.
    Renewing,
    /// No other token is to be had now (cooling down after a fresh one was refused, or a static one).
    NoOther,
}

impl CredentialHandle {
    /// The credential's name in the file.
    pub fn name(&self) -> &Arc<str> {
        &self.0.common.name
    }

    /// The hit path: the current credential if it may be sent now. No lock, no wait, no allocation.
    pub fn try_lease(&self) -> Option<Lease> {
        self.0.try_lease_at(clock::now())
    }

    /// As [`Self::try_lease`] for a caller that has just read the clock: that is most of the cost.
    pub fn try_lease_at(&self, now: clock::Instant) -> Option<Lease> {
        self.0.try_lease_at(now)
    }

    /// The current credential, joining or starting the one fetch of its slot if there is none.
    ///
    /// Cancel safe: the fetch is owned by a task of the control runtime.
    ///
    /// # Errors
    /// [`CredentialError`]: the flight's failure, at once while the slot backs off; `Timeout` after `wait`;
    /// `Overloaded` when too many wait.
    pub fn lease(
        &self,
        wait: Duration,
    ) -> impl Future<Output = Result<Lease, CredentialError>> + Send + use<> {
        Arc::clone(&self.0).lease(wait)
    }

    /// Whether each subject has a credential of its own, to be had by [`Self::of`].
    pub fn is_per_subject(&self) -> bool {
        matches!(self.0.kin, Kin::Root(_))
    }

    /// The hold on this subject's own credential; on the one of all where the source knows no subjects.
    ///
    /// # Errors
    /// [`CredentialError`] `Overloaded`, where as many subjects as may be kept are all in use.
    pub fn of(&self, subject: &Subject) -> Result<Self, CredentialError> {
        match &self.0.kin {
            Kin::Root(subjects) if *subject != Subject::Own => {
                subjects.slot(&self.0, subject).map(Self)
            }
            _ => Ok(self.clone()),
        }
    }

    /// The source that its credentials come from now: a reload can put another in its place that is for the same.
    pub fn source(&self) -> Arc<dyn Source> {
        self.0.source()
    }

    /// Keeps what a login brought, for every process that shares the store.
    ///
    /// # Errors
    /// [`FetchError`] where it can't be kept.
    pub async fn keep(&self, credential: &Credential) -> Result<(), FetchError> {
        renewal::replace(&self.0, credential).await
    }

    /// Reports that the upstream refused `lease`, which may be any subject's; a newer generation is left alone.
    pub fn reject(&self, lease: &Lease) -> Rejection {
        match lease.0.issue.slot.upgrade() {
            Some(slot) => slot.reject(lease),
            // Its slot had to make room: the next one fetches anew.
            None => Rejection::Renewing,
        }
    }

    /// Reports that the upstream accepted `lease` (one relaxed atomic store at most).
    pub fn accept(&self, lease: &Lease) {
        lease.0.issue.accept();
    }

    /// Makes a token call now, whatever the back-off says and other processes have; for an operator. The outcome of that
    /// call.
    ///
    /// # Errors
    /// [`CredentialError`] of the call.
    pub async fn renew_now(&self) -> Result<(), CredentialError> {
        loop {
            let (ours, flight) = {
                let life = &mut self.0.state().life;
                (life.renew(clock::now()).is_some(), life.flight())
            };
            self.0.bell.notify_one();
            match self.0.landings.wait(flight).await {
                Landing::Arrived if ours => return Ok(()),
                Landing::Failed(error) if ours => return Err(self.not_renewed(&error)),
                _ => {}
            }
        }
    }

    /// As requests are told, and what became of the call where there was none.
    fn not_renewed(&self, error: &FetchError) -> CredentialError {
        let told = self.0.error(error);
        let Retry::Held { after } = error.retry else {
            return told;
        };
        let seconds = after.as_secs() + 1;
        let detail = format!(
            "{}; nothing was sent, ask again in {seconds} s",
            told.detail
        );
        CredentialError {
            detail: detail.into(),
            ..told
        }
    }

    /// The newest fetch in full.
    pub fn account(&self) -> Account {
        self.0.account()
    }

    /// What may be seen of it.
    pub fn view(&self) -> CredentialView {
        self.0.view()
    }
}
