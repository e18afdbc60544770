//! What the listeners for operators know of the running proxy.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::views::several;
use crate::{
    clock::{self, Instant},
    credentials::{CredentialView, Credentials, SlotState, Verifications},
    routes::Route,
    telemetry::metrics::{Metrics, Samples, table},
    upstream::TargetState,
};

/// A view of the running proxy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Status(Arc<Inner>);

/// Whether traffic should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Not yet: credentials with `prewarm` are being obtained.
    Warming,
    /// Not any more: the process is about to end.
    Draining,
}

impl Status {
    /// A view of a proxy that starts now; credentials appear in `metrics` from here on.
    pub fn new(
        metrics: Metrics,
        credentials: Credentials,
        routes: impl Fn() -> Vec<Arc<Route>> + Send + Sync + 'static,
    ) -> Self {
        let shown = credentials.clone();
        metrics.collect_from(move |samples| collect(&shown, samples));
        let routes: Arc<Routes> = Arc::new(routes);
        let routed = Arc::clone(&routes);
        metrics.collect_from(move |samples| collect_targets(&routed(), samples));
        Self(Arc::new(Inner {
            metrics,
            credentials,
            routes,
            began: clock::now(),
            warm: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }))
    }

    /// Whether traffic should be sent here.
    ///
    /// Warming is a matter of the start: it ends with the first success of every `prewarm`, or after
    /// 30 s, and a reload does not bring it back.
    pub fn readiness(&self) -> Readiness {
        if self.0.draining.load(Relaxed) {
            return Readiness::Draining;
        }
        if self.0.warm.load(Relaxed) {
            return Readiness::Ready;
        }
        if clock::now() - self.0.began < PATIENCE && !self.0.credentials.is_warm() {
            return Readiness::Warming;
        }
        self.0.warm.store(true, Relaxed);
        Readiness::Ready
    }

    /// From now on not ready.
    pub fn drain(&self) {
        self.0.draining.store(true, Relaxed);
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    pub(super) fn routes(&self) -> Vec<Arc<Route>> {
        (self.0.routes)()
    }
}

/// The metrics of every credential and its endpoints. A reload can leave two slots of one name for a while: their counts are
/// added up, and the state is the first one's, since a series can only be there once.
fn collect(credentials: &Credentials, samples: &mut Samples) {
    for view in credentials.endpoints() {
        let endpoint = &*view.endpoint;
        let paused = if view.paused_for.is_some() { 1.0 } else { 0.0 };
        samples.gauge(&table::ENDPOINT_PAUSED, &[endpoint], paused);
        samples.counter(&table::ENDPOINT_HELD, &[endpoint], view.held);
    }
    for of_a_name in credentials.views().chunk_by(|a, b| a.name == b.name) {
        let view = &of_a_name[0];
        let name = &*view.name;
        for state in SlotState::ALL {
            let is = if view.state == state { 1.0 } else { 0.0 };
            samples.gauge(&table::CREDENTIAL_STATE, &[name, state.as_str()], is);
        }
        if let Some(expires_in) = view.expires_in {
            samples.gauge(&table::CREDENTIAL_EXPIRY, &[name], expires_in.as_secs_f64());
        }
        let mut counters = view.counters;
        for other in &of_a_name[1..] {
            counters.add(&other.counters);
        }
        samples.histogram(
            &table::CREDENTIAL_FETCH_SECONDS,
            &[name, "ok"],
            counters.fetching,
        );
        samples.histogram(
            &table::CREDENTIAL_FETCH_SECONDS,
            &[name, "failed"],
            counters.failing,
        );
        samples.histogram(&table::CREDENTIAL_WAIT_SECONDS, &[name], counters.waited);
        samples.counter(&table::CREDENTIAL_REJECTED, &[name], counters.rejections);
        samples.counter(&table::CREDENTIAL_ADOPTED, &[name], counters.adopted);
        samples.counter(
            &table::CREDENTIAL_STORE_ERRORS,
            &[name],
            counters.store_failures,
        );
        collect_verifications(of_a_name, samples);
        if let Some(subjects) = view.subjects {
            samples.gauge(&table::CREDENTIAL_SUBJECTS, &[name], subjects.kept as f64);
            samples.counter(&table::CREDENTIAL_EVICTED, &[name], subjects.evicted);
        }
    }
}

fn collect_verifications(of_a_name: &[CredentialView], samples: &mut Samples) {
    let name = &*of_a_name[0].name;
    let sum =
        |of: fn(&Verifications) -> u64| of_a_name.iter().map(|it| of(&it.verifications)).sum();
    for (outcome, count) in [
        ("ok", sum(|it| it.ok)),
        ("refused", sum(|it| it.refused)),
        ("failed", sum(|it| it.failed)),
    ] {
        samples.counter(&table::CREDENTIAL_VERIFICATIONS, &[name, outcome], count);
    }
    let refused = of_a_name
        .iter()
        .any(|it| it.successor.is_some_and(|successor| successor.refused));
    let is = if refused { 1.0 } else { 0.0 };
    samples.gauge(&table::CREDENTIAL_SECRET_REFUSED, &[name], is);
}

/// The targets of every upstream that has several. Two upstreams of one origin can share a target: it is there once.
fn collect_targets(routes: &[Arc<Route>], samples: &mut Samples) {
    let mut seen = HashSet::new();
    for (upstream, targets) in several(routes) {
        for (target, view) in targets.views() {
            if !seen.insert((upstream.clone(), target.clone())) {
                continue;
            }
            let labels = [&*upstream, &*target];
            let up = if view.state == TargetState::Up {
                1.0
            } else {
                0.0
            };
            samples.gauge(&table::TARGET_UP, &labels, up);
            samples.gauge(&table::TARGET_REQUESTS, &labels, view.requests as f64);
            samples.counter(&table::TARGET_EJECTIONS, &labels, view.ejections);
        }
    }
}

type Routes = dyn Fn() -> Vec<Arc<Route>> + Send + Sync;

struct Inner {
    metrics: Metrics,
    credentials: Credentials,
    routes: Arc<Routes>,
    began: Instant,
    warm: AtomicBool,
    draining: AtomicBool,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status")
            .field("draining", &self.draining)
            .finish_non_exhaustive()
    }
}

/// A token endpoint that is down must not keep the routes without it from being served.
const PATIENCE: Duration = Duration::from_secs(30);
