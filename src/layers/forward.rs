//! Sends the request over this worker's pools and hands the response's head back; bodies stream.

use http::Response;
use tower::{Service, util::service_fn};

use super::{Error, Facts, Failure, Outbound, Outcome, Reply, ReplyBody};
use crate::{
    clock::Instant,
    upstream::{Answer, Pools, SendError},
};

/// The innermost service: from [`Outbound`] to the upstream's answer.
///
/// A function, not a struct: its future is that of an `async` block, which a struct could not name.
pub fn forward(
    pools: Pools,
) -> impl Service<Outbound, Response = Box<Reply>, Error = Box<Failure>, Future: Send> + Clone {
    service_fn(move |outbound: Outbound| {
        // A clock read less: what is between the two is of microseconds.
        let since = outbound.since();
        let (request, route, terms) = outbound.into_parts();
        let pool = pools.of(&route.upstream);
        // Boxed: by value it would be moved once a layer, which costs more than one allocation.
        // Sent from within the block: a future that is handed in has its place there twice.
        Box::pin(async move { answer(pool.send(request, terms).await, since) })
    })
}

fn answer(received: Result<Response<Answer>, SendError>, since: Instant) -> Outcome {
    let response = received.map_err(Error::Upstream)?;
    let facts = Facts {
        upstream_status: Some(response.status()),
        upstream_duration: Some(since.elapsed()),
        ..Facts::default()
    };
    Ok(Box::new(Reply {
        response: response.map(ReplyBody::upstream),
        facts,
    }))
}
