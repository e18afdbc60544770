//! Asks a target now and then whether it is well: once for the process, and without any credential.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use http::{HeaderValue, Request, StatusCode, header};
use tokio::{runtime::Handle, time};

use super::{OutgoingBody, Pool, SendError, Terms, Timeouts, Upstream};
use crate::{body::RequestBody, clock::Watchdog};

/// How the targets of an upstream are checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthConfig {
    /// What is asked for: path and query.
    pub path: String,
    /// From one check to the next.
    pub every: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many good ones in a row bring a target back.
    pub healthy: u32,
    /// So many bad ones in a row take it out.
    pub unhealthy: u32,
}

/// Why a check was bad.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error("{0}")]
    Unanswered(#[from] SendError),
    #[error("its check is answered with {}", .0.as_u16())]
    Status(StatusCode),
    #[error("its check is not answered in time")]
    Late,
}

/// Checks `upstream` for as long as anybody uses it.
pub(super) fn watch(upstream: &Arc<Upstream>, config: HealthConfig, control: &Handle) {
    let upstream = Arc::downgrade(upstream);
    control.spawn(async move {
        let watchdog = Watchdog::new();
        tokio::select! {
            () = watchdog.clone().run() => {}
            () = checks(upstream, &config, &watchdog) => {}
        }
    });
}

async fn checks(upstream: Weak<Upstream>, config: &HealthConfig, watchdog: &Watchdog) {
    let mut interval = time::interval(config.every);
    interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let (mut good, mut bad) = (0_u32, 0_u32);
    loop {
        interval.tick().await;
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        match check(&upstream, config, watchdog).await {
            Ok(()) => (good, bad) = (good + 1, 0),
            Err(error) => {
                (good, bad) = (0, bad.saturating_add(1));
                if bad == config.unhealthy && upstream.standing().check(false) {
                    tracing::warn!(upstream = %upstream.origin(), target = %upstream.place(), "is unhealthy: {error}");
                }
            }
        }
        if good == config.healthy && upstream.standing().check(true) {
            tracing::info!(upstream = %upstream.origin(), target = %upstream.place(), "is healthy again");
        }
        good = good.min(config.healthy);
    }
}

async fn check(
    upstream: &Arc<Upstream>,
    config: &HealthConfig,
    watchdog: &Watchdog,
) -> Result<(), Bad> {
    let mut request = Request::new(OutgoingBody::new(RequestBody::empty()));
    *request.uri_mut() = config.path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::HOST, upstream.authority().clone());
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static("bearerd-health"),
    );
    let terms = Terms {
        timeouts: Timeouts {
            connect: config.timeout,
            response_head: config.timeout,
            ..Timeouts::default()
        },
        websocket: false,
        grpc: false,
        until: None,
        fresh: true,
    };
    // Each by a connection of its own: one that is open says little of whether others can be made.
    let pool = Arc::new(Pool::new(Arc::clone(upstream), watchdog.clone()));
    let asked = time::timeout(config.timeout, pool.send(Box::new(request), terms));
    let answered = asked.await;
    let status = answered.map(|answered| answered.map(|response| response.status()));
    pool.close_idle();
    match status {
        Err(_) => Err(Bad::Late),
        Ok(Err(error)) => Err(error.into()),
        // A redirect is an answer, and not followed.
        Ok(Ok(status)) if status.is_success() || status.is_redirection() => Ok(()),
        Ok(Ok(status)) => Err(Bad::Status(status)),
    }
}
