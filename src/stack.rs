//! The path of every request, top to bottom; a line and a reason each.

use std::{convert::Infallible, sync::Arc};

use arc_swap::ArcSwap;
use http::Response;
use tower::{Service, ServiceBuilder};

use crate::{
    layers::{
        AccessLog, Admit, AttachCredential, Authenticate, Inbound, Inject, MatchRoute,
        RecordMetrics, ReplyBody, Respond, RetryRejected, forward,
    },
    routes::Snapshot,
    telemetry::metrics::Metrics,
    upstream::Pools,
};

/// The stack of one worker. Always ready: what waits, waits in a future.
pub fn stack(
    snapshot: Arc<ArcSwap<Snapshot>>,
    metrics: Metrics,
    pools: Pools,
) -> impl Service<Inbound, Response = Response<ReplyBody>, Error = Infallible, Future: Send> + Clone + Send
{
    ServiceBuilder::new()
        // Outermost, so that it sees our own errors too.
        .layer_fn(AccessLog::new)
        // Inside the log: what it counts is what was answered, body included.
        .layer_fn(move |inner| RecordMetrics::new(inner, metrics.clone()))
        // Everything below fails by error; above it there are only responses.
        .layer_fn(Respond::new)
        // Before anything is decided by the head: parsed once, refused if it can be read in two ways.
        .layer_fn(move |inner| Admit::new(inner, Arc::clone(&snapshot)))
        // Before the routes: a route says which callers it takes.
        .layer_fn(Authenticate::new)
        .layer_fn(MatchRoute::new)
        // Above the next two, which it runs again: a replay needs another lease, or another proof, injected anew.
        .layer_fn(RetryRejected::new)
        .layer_fn(AttachCredential::new)
        // Last before the wire: strips what the client sent, then puts in ours.
        .layer_fn(Inject::new)
        .service(forward(pools))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Watchdog, routes::table::TableBuilder};

    /// The future of a request is moved once a layer: a kilobyte more is felt in every request.
    #[test]
    fn the_future_of_a_request_stays_small() {
        fn future_of<S: Service<Inbound>>(_: &S) -> usize {
            size_of::<S::Future>()
        }
        let snapshot = Snapshot {
            generation: 1,
            callers: Default::default(),
            hosts: Default::default(),
            placeholders: false,
            table: TableBuilder::new()
                .build()
                .expect("no routes are not ambiguous"),
        };
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let stack = stack(snapshot, Metrics::new(), Pools::new(Watchdog::new()));
        let bytes = future_of(&stack);
        assert!(bytes <= 2560, "{bytes} bytes");
    }
}
