//! A slot whose source is to be followed by another.

use std::{sync::Arc, time::Duration};

use super::{Kin, Slot};
use crate::{
    clock::{self, Instant},
    credentials::{FetchError, Source, sources::Proposal, store::SlotId},
};

impl Slot {
    /// The source that its credentials come from now.
    pub(in crate::credentials) fn source(&self) -> Arc<dyn Source> {
        self.common.sources.current()
    }

    /// Where the store keeps what `source` brings for this slot.
    ///
    /// A refresh token that only a person can replace goes with what it is for, not with the client's secret: another
    /// secret must neither lose it nor begin again with the first one, which is spent.
    pub(in crate::credentials) fn id_of(&self, source: &dyn Source) -> SlotId {
        let print = source.fingerprint();
        let print = match source.refreshing() {
            Some(how) if !how.restarts => print.purpose(),
            _ => print,
        };
        SlotId::new(&self.common.name, print, self.subject.fingerprint())
    }

    /// Has the same credential obtained as `source` does, once that has shown that it can.
    pub(in crate::credentials) fn propose(&self, source: Arc<dyn Source>) {
        match self.common.sources.propose(source) {
            Proposal::Known => return,
            Proposal::Withdrawn => {
                tracing::info!(credential = %self.common.name, "its secrets are again those in use");
                return;
            }
            Proposal::New => {}
        }
        if let Kin::Alone = self.kin {
            self.follow_unless_serving();
        }
        self.bell.notify_one();
    }

    /// Where nothing is sent that the successor could lose, it takes over untried.
    fn follow_unless_serving(&self) {
        let mut state = self.state();
        let now = clock::now();
        if state.life.leasable(now) || state.life.is_flying() || !self.common.sources.take_over() {
            return;
        }
        let wanted = state.last_error.take().is_some() || self.common.settings().prewarm;
        state.life.forgive();
        if wanted {
            let _ = state.life.want(now);
        }
    }

    /// When the successor is to be tried with this slot; none where that would keep a request waiting.
    pub(in crate::credentials) fn trial_due(&self) -> Option<Instant> {
        match &self.kin {
            Kin::Alone if self.state().life.leasable(clock::now()) => self.common.sources.due(),
            Kin::Root(_) => self.common.sources.due(),
            _ => None,
        }
    }

    /// Begins the trial that is due: with this slot, or the one of a subject that has a token.
    pub(in crate::credentials) fn begin_trial(&self) {
        let Kin::Root(subjects) = &self.kin else {
            self.force();
            return;
        };
        let now = clock::now();
        let serving = subjects.slots();
        let serving = serving.filter(|one| one.state().life.leasable(now));
        // Any of them: what is wrong with one user is not to decide for all, again and again.
        let serving = fastrand::choice(serving.collect::<Vec<_>>());
        if serving.is_none() && self.common.sources.take_over() {
            return;
        }
        self.common.sources.asked(now + PATIENCE);
        if let Some(one) = serving {
            one.force();
        }
    }

    /// Whether a reload wants another by now, and nothing is lost with what this one brought: no refresh token was spent on
    /// it that the source in use has.
    pub(in crate::credentials) fn is_outdated(&self, successor: &Arc<dyn Source>) -> bool {
        let apart = self.id_of(&**successor) != self.id_of(&*self.source());
        apart && !self.common.sources.is_followed_by(successor)
    }

    /// The outcome of a trial, told once to whoever runs the proxy.
    pub(in crate::credentials) fn tried(
        &self,
        successor: &Arc<dyn Source>,
        failure: Option<&FetchError>,
    ) {
        let Some(error) = failure else {
            if self.common.sources.verified(successor) {
                tracing::info!(credential = %self.common.name, "its new secrets are in use");
            }
            return;
        };
        let probe_after = self.common.settings().probe_after;
        let Some(failed) = self.common.sources.failed(successor, error, probe_after) else {
            return;
        };
        let (kind, retry_in) = (error.kind.as_str(), failed.retry_in);
        match (failed.refused, failed.first) {
            (true, true) => tracing::warn!(
                credential = %self.common.name, kind, ?retry_in,
                "its new secrets are refused, the old ones and their token stay in use: {error}"
            ),
            (false, true) => tracing::warn!(
                credential = %self.common.name, kind, ?retry_in,
                "its new secrets can't be tried yet, the old ones stay in use: {error}"
            ),
            (_, false) => tracing::debug!(
                credential = %self.common.name, kind, ?retry_in, "its new secrets still bring nothing: {error}"
            ),
        }
    }
}

/// How long the slot of one subject has to begin a trial, before another is asked.
const PATIENCE: Duration = Duration::from_secs(10);
