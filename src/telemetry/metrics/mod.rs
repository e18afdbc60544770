//! Counters, gauges and histograms: [`table`] names them all, [`Metrics`] holds them, a scrape gathers them.

pub mod histogram;
mod route;
mod samples;
pub mod table;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

pub use self::{histogram::Snapshot, route::RouteMetrics, samples::Samples};
use crate::{clock, telemetry::logs};

/// The media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of one proxy. Cheap to clone; outlives every reload.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

/// What is counted for the process as a whole. One relaxed addition each.
#[derive(Debug, Default)]
pub struct ProcessMetrics {
    /// Connections accepted from clients.
    pub connections: Counter,
    /// Connections from clients that are open now.
    pub connections_open: Gauge,
    /// Connections that could not be accepted.
    pub accept_errors: Counter,
    /// Connections that ended in an error, heads that hyper could not parse among them.
    pub connection_errors: Counter,
    /// Connections on which no TLS could be agreed on.
    pub handshake_errors: Counter,
    /// Requests sent again with another credential.
    pub replays: Counter,
    /// Configurations that took the place of another.
    pub reloads_applied: Counter,
    /// Configurations that were refused; the old one stayed.
    pub reloads_refused: Counter,
}

impl Metrics {
    /// Starts at zero.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            started: clock::unix_time().as_secs_f64(),
            process: ProcessMetrics::default(),
            unrouted: RouteMetrics::new(""),
            routes: Mutex::default(),
            sources: Mutex::default(),
        }))
    }

    /// The series of the route `name`: the same ones before and after a reload.
    pub fn route(&self, name: &str) -> RouteMetrics {
        let mut routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = routes.get(name) {
            return metrics.clone();
        }
        if routes.len() >= ROUTES_KEPT {
            routes.retain(|_, metrics| !metrics.is_forgotten());
        }
        let metrics = RouteMetrics::new(name);
        routes.insert(name.into(), metrics.clone());
        metrics
    }

    /// The series of requests that matched no route.
    pub fn unrouted(&self) -> &RouteMetrics {
        &self.0.unrouted
    }

    /// What is counted for the process as a whole.
    pub fn process(&self) -> &ProcessMetrics {
        &self.0.process
    }

    /// Asks `source` at every scrape, for values that live elsewhere.
    pub fn collect_from(&self, source: impl Fn(&mut Samples) + Send + Sync + 'static) {
        let mut sources = self
            .0
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sources.push(Arc::new(source));
    }

    /// One scrape, as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut samples = Samples::default();
        samples.gauge(&table::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
        samples.gauge(&table::START_TIME, &[], self.0.started);
        self.0.process.collect(&mut samples);
        samples.counter(&table::LOG_DROPPED, &[], logs::dropped_lines());
        self.0.unrouted.collect(&mut samples);
        // Copies are cheap; nothing of ours stays locked while values are gathered.
        let routes: Vec<_> = {
            let routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
            routes.values().cloned().collect()
        };
        for route in &routes {
            route.collect(&mut samples);
        }
        let sources = self
            .0
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for source in &sources {
            source(&mut samples);
        }
        samples.encode()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessMetrics {
    fn collect(&self, samples: &mut Samples) {
        samples.counter(&table::CONNECTIONS, &[], self.connections.get());
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 are open")]
        samples.gauge(
            &table::CONNECTIONS_OPEN,
            &[],
            self.connections_open.get() as f64,
        );
        samples.counter(&table::ACCEPT_ERRORS, &[], self.accept_errors.get());
        samples.counter(&table::CONNECTION_ERRORS, &[], self.connection_errors.get());
        samples.counter(&table::HANDSHAKE_ERRORS, &[], self.handshake_errors.get());
        samples.counter(&table::REPLAYS, &[], self.replays.get());
        samples.counter(&table::RELOADS, &["applied"], self.reloads_applied.get());
        samples.counter(&table::RELOADS, &["refused"], self.reloads_refused.get());
        samples.counter(&table::PANICS, &[], logs::panics());
    }
}

type Source = Arc<dyn Fn(&mut Samples) + Send + Sync>;

struct Inner {
    started: f64,
    process: ProcessMetrics,
    unrouted: RouteMetrics,
    routes: Mutex<HashMap<Box<str>, RouteMetrics>>,
    sources: Mutex<Vec<Source>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// Beyond this many names, series of routes that are in no file any more are forgotten.
const ROUTES_KEPT: usize = 20_000;

#[cfg(test)]
mod tests;
