//! What may be seen of a slot.

use std::sync::Arc;

use super::{Kin, Slot};
use crate::{
    clock::{self, Instant},
    credentials::{Account, Counters, CredentialView, FetchView},
};

impl Slot {
    pub(in crate::credentials) fn view(&self) -> CredentialView {
        let now = clock::now();
        let source = self.source();
        let (successor, verifications) = match self.kin {
            Kin::Alone | Kin::Root(_) => self.common.sources.view(),
            // It is told once, of all.
            Kin::Of(_) => Default::default(),
        };
        let state = self.state();
        let until = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(now));
        let mut counters = Counters::default();
        self.count(|all| counters = *all);
        counters.uses += state.uses();
        let mut view = CredentialView {
            name: Arc::clone(&self.common.name),
            grant: source.grant(),
            endpoint: source.endpoints().first().map(|&url| url.into()),
            state: state.life.state(now),
            generation: state.life.generation(),
            expires_in: until(state.life.expires()),
            next_refresh_in: until(state.life.next_refresh()),
            last_fetch: state.last_fetch.map(|(ended, view)| FetchView {
                ago: now - ended,
                ..view
            }),
            scope: state
                .held
                .as_ref()
                .and_then(|held| held.issue.credential.scope.as_deref().map(Into::into)),
            prewarm: self.common.settings().prewarm,
            endpoint_paused: None,
            store_error: state.store_error.as_ref().map(|error| error.why().into()),
            counters,
            successor,
            verifications,
            subjects: None,
        };
        drop(state);
        if let Kin::Root(subjects) = &self.kin {
            subjects.add_to(&mut view);
        }
        view
    }

    /// Whether requests ask in vain: it has nothing to lease, and the last attempt failed.
    pub(in crate::credentials) fn is_in_need(&self) -> bool {
        let state = self.state();
        state.last_error.is_some() && !state.life.leasable(clock::now())
    }

    /// Leases that were given of it.
    pub(in crate::credentials) fn uses(&self) -> u64 {
        self.state().uses()
    }

    pub(in crate::credentials) fn account(&self) -> Account {
        let source = self.source();
        let links = source.links();
        let state = self.state();
        Account {
            links: links.iter().map(|link| Arc::clone(link.name())).collect(),
            calls: state.last_calls.to_vec(),
            failure: state.last_error.as_deref().cloned(),
        }
    }
}
