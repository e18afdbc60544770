//! Sends the request over this worker's pools and hands the response's head back; bodies stream.

use http::Response;
use tower::{Service, util::service_fn};

use super::{Error, Facts, Failure, Outbound, Outcome, Reply, ReplyBody};
use crate::{
    clock::Instant,
    upstream::{Answer, Chosen, Pools, SendError},
};

/// The innermost service: from [`Outbound`] to the upstream's answer.
///
/// A function, not a struct: its future is that of an `async` block, which a struct could not name.
pub fn forward(
    pools: Pools,
) -> impl Service<Outbound, Response = Box<Reply>, Error = Box<Failure>, Future: Send> + Clone {
    service_fn(move |outbound: Outbound| {
        // A clock read less: what is between the two is of microseconds.
        let (since, tried) = (outbound.since(), outbound.tried());
        let (request, route, terms) = outbound.into_parts();
        let chosen = route.targets.as_ref().map(|all| all.choose(tried));
        let upstream = chosen.as_ref().map_or(&route.upstream, Chosen::upstream);
        let pool = pools.of(upstream);
        // Boxed: by value it would be moved once a layer, which costs more than one allocation.
        // Sent from within the block: a future that is handed in has its place there twice.
        Box::pin(async move { answer(pool.send(request, terms).await, since, chosen) })
    })
}

fn answer(
    received: Result<Response<Answer>, SendError>,
    since: Instant,
    chosen: Option<Chosen>,
) -> Outcome {
    let mut response = match (received, &chosen) {
        (Ok(response), _) => response,
        (Err(error), None) => return Err(Error::Upstream(error).into()),
        (Err(error), Some(chosen)) => {
            chosen.failed(&error);
            let mut failure = Box::<Failure>::from(Error::Upstream(error));
            failure.facts.target = Some(chosen.number());
            return Err(failure);
        }
    };
    if let Some(chosen) = chosen {
        chosen.succeeded();
        response.body_mut().comes_from(chosen);
    }
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
