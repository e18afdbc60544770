//! The way of a request that found nothing to lease.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    super::{Lease, flight::Landing, sync::timeout_at},
    Slot,
};
use crate::{
    clock::{self, Instant},
    credentials::{CredentialError, CredentialErrorKind, FailureKind, FetchError, life::Want},
};

impl Slot {
    fn try_lease(&self) -> Option<Lease> {
        self.try_lease_at(clock::now())
    }

    /// The way of a request that found nothing: joins the flight, shares its outcome.
    pub(in crate::credentials) async fn lease(
        self: Arc<Self>,
        wait: Duration,
    ) -> Result<Lease, CredentialError> {
        if let Some(lease) = self.try_lease() {
            return Ok(lease);
        }
        let began = clock::now();
        let deadline = began + wait;
        let mut waiting = None;
        loop {
            let flight = match self.want()? {
                None => match self.try_lease() {
                    Some(lease) => return Ok(lease),
                    // It ended in this very moment: ask again.
                    None => continue,
                },
                Some(flight) => flight,
            };
            if waiting.is_none() {
                waiting = Some(Waiting::enter(&self, began)?);
            }
            match timeout_at(deadline, self.landings.wait(flight)).await {
                Err(_) => return Err(self.out_of_time(wait)),
                Ok(Landing::Failed(error)) => return Err(self.error(&error)),
                Ok(Landing::Arrived | Landing::Again) => {}
            }
            if let Some(lease) = self.try_lease() {
                return Ok(lease);
            }
        }
    }

    /// The flight to wait for; none when there is a credential after all.
    fn want(&self) -> Result<Option<u64>, CredentialError> {
        let mut state = self.state();
        match state.life.want(clock::now()) {
            Want::Ready => Ok(None),
            Want::Wait(flight) => {
                state.hurry();
                drop(state);
                self.bell.notify_one();
                Ok(Some(flight))
            }
            Want::Failed { .. } => {
                let error = state.last_error.clone().unwrap_or_else(|| {
                    FetchError::transient(FailureKind::Internal, "no attempt was made").into()
                });
                drop(state);
                self.bell.notify_one();
                Err(self.error(&error))
            }
        }
    }

    pub(in crate::credentials) fn error(&self, error: &FetchError) -> CredentialError {
        let retry_in = self.state().life.retry_in(clock::now());
        CredentialError {
            credential: Arc::clone(&self.common.name),
            kind: error.kind.into(),
            // In doubt, no time helps: only a person.
            retry_after: retry_in.filter(|_| error.kind != FailureKind::InDoubt),
            detail: error.own_words().into(),
        }
    }

    fn out_of_time(&self, wait: Duration) -> CredentialError {
        CredentialError {
            credential: Arc::clone(&self.common.name),
            kind: CredentialErrorKind::Timeout,
            retry_after: Some(Duration::from_secs(1)),
            detail: format!("no token within {wait:?}").into(),
        }
    }
}

/// A request among the waiters, counted while it is there.
struct Waiting<'a> {
    slot: &'a Slot,
    began: Instant,
}

impl<'a> Waiting<'a> {
    fn enter(slot: &'a Slot, began: Instant) -> Result<Self, CredentialError> {
        let most = slot.common.settings().max_waiters;
        let waiting = Self { slot, began };
        if slot.waiters.fetch_add(1, Ordering::Relaxed) < most {
            return Ok(waiting);
        }
        Err(CredentialError {
            credential: Arc::clone(&slot.common.name),
            kind: CredentialErrorKind::Overloaded,
            retry_after: Some(Duration::from_secs(1)),
            detail: format!("{most} requests wait for it already").into(),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.slot.waiters.fetch_sub(1, Ordering::Relaxed);
        self.slot.count(|counters| {
            counters.waits += 1;
            counters.waited.observe(clock::now() - self.began);
        });
    }
}
