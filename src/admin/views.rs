//! Routes and credentials as JSON: view types, which have no field that could hold a secret.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    credentials::{CredentialView, FailureKind},
    routes::{Allow, Route},
    upstream::{Scheme, Targets},
};

/// One route.
#[derive(Debug, Serialize)]
pub struct RouteJson {
    name: String,
    line: usize,
    upstream: String,
    credential: Option<String>,
    /// Names of callers; null for all.
    allow: Option<Vec<String>>,
}

impl From<&Route> for RouteJson {
    fn from(route: &Route) -> Self {
        let scheme = match route.upstream.config().scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let authority = String::from_utf8_lossy(route.upstream.authority().as_bytes());
        Self {
            name: route.name.to_string(),
            line: route.line,
            upstream: format!("{scheme}://{authority}{}", route.base_path),
            credential: route
                .credential
                .as_ref()
                .map(|it| it.handle.name().to_string()),
            allow: match &route.allow {
                Allow::All => None,
                Allow::Only(names) => Some(names.iter().map(ToString::to_string).collect()),
            },
        }
    }
}

/// An upstream at several places.
#[derive(Debug, Serialize)]
pub(super) struct UpstreamJson {
    upstream: String,
    targets: Vec<TargetJson>,
}

/// One of its places. Times are in seconds.
#[derive(Debug, Serialize)]
struct TargetJson {
    target: String,
    /// `up`, `left_out` for its failures, or `unhealthy` as its checks have it.
    state: &'static str,
    failures: u32,
    left_out_for: Option<f64>,
    /// Under way.
    requests: usize,
    ejections: u64,
}

/// Those of `routes`, each once.
pub(super) fn upstreams(routes: &[Arc<Route>]) -> Vec<UpstreamJson> {
    let each = several(routes);
    each.map(|(upstream, targets)| UpstreamJson {
        upstream,
        targets: targets
            .views()
            .map(|(target, view)| TargetJson {
                target,
                state: view.state.as_str(),
                failures: view.failures,
                left_out_for: view.left_out_for.map(|it| it.as_secs_f64()),
                requests: view.requests,
                ejections: view.ejections,
            })
            .collect(),
    })
    .collect()
}

/// The upstreams of `routes` that are at several places, each once, with its origin.
pub(super) fn several(routes: &[Arc<Route>]) -> impl Iterator<Item = (String, &Targets)> {
    let mut seen = HashSet::new();
    routes.iter().filter_map(move |route| {
        let targets = route.targets.as_deref()?;
        let new = seen.insert(std::ptr::from_ref(targets));
        new.then(|| (route.upstream.origin(), targets))
    })
}

/// One credential. Times are in seconds.
#[derive(Debug, Serialize)]
pub struct CredentialJson {
    name: String,
    grant: &'static str,
    endpoint: Option<String>,
    state: &'static str,
    /// Null while all its endpoints are called.
    endpoint_paused: Option<PausedJson>,
    generation: u64,
    expires_in: Option<f64>,
    next_refresh_in: Option<f64>,
    last_fetch: Option<FetchJson>,
    scope: Option<String>,
    uses: u64,
    waits: u64,
    rejections: u64,
    fetches: u64,
    failures: u64,
    adopted: u64,
    store_errors: u64,
    /// What ails the store; null while it answers.
    store_error: Option<String>,
    /// A changed secret that is not in use yet; null where the one of the file is.
    successor: Option<SuccessorJson>,
    /// How many users' tokens are kept; null where all share one.
    subjects: Option<usize>,
    subjects_evicted: Option<u64>,
}

/// An endpoint that has failed too often in a row, for whichever credential.
#[derive(Debug, Serialize)]
struct PausedJson {
    endpoint: String,
    r#for: f64,
}

#[derive(Debug, Serialize)]
struct FetchJson {
    ago: f64,
    took: f64,
    outcome: &'static str,
}

#[derive(Debug, Serialize)]
struct SuccessorJson {
    /// `verifying`, or `refused`: then what was there before stays in use.
    state: &'static str,
    failures: u32,
    outcome: Option<&'static str>,
    next_try_in: Option<f64>,
}

impl From<CredentialView> for CredentialJson {
    fn from(view: CredentialView) -> Self {
        let seconds = |duration: Option<Duration>| duration.map(|it| it.as_secs_f64());
        Self {
            name: view.name.to_string(),
            grant: view.grant,
            endpoint: view.endpoint.as_deref().map(Into::into),
            state: view.state.as_str(),
            endpoint_paused: view.endpoint_paused.and_then(|it| {
                Some(PausedJson {
                    r#for: it.paused_for?.as_secs_f64(),
                    endpoint: it.endpoint.to_string(),
                })
            }),
            generation: view.generation,
            expires_in: seconds(view.expires_in),
            next_refresh_in: seconds(view.next_refresh_in),
            last_fetch: view.last_fetch.map(|fetch| FetchJson {
                ago: fetch.ago.as_secs_f64(),
                took: fetch.took.as_secs_f64(),
                outcome: fetch.outcome(),
            }),
            scope: view.scope.as_deref().map(Into::into),
            uses: view.counters.uses,
            waits: view.counters.waits,
            rejections: view.counters.rejections,
            fetches: view.counters.fetches,
            failures: view.counters.failures,
            adopted: view.counters.adopted,
            store_errors: view.counters.store_failures,
            store_error: view.store_error.as_deref().map(Into::into),
            successor: view.successor.map(|it| SuccessorJson {
                state: it.state(),
                failures: it.failures,
                outcome: it.failure.map(FailureKind::as_str),
                next_try_in: seconds(it.next_try_in),
            }),
            subjects: view.subjects.map(|it| it.kept),
            subjects_evicted: view.subjects.map(|it| it.evicted),
        }
    }
}
