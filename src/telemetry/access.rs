//! The access log: one event per request when its body has ended. Paths, never queries; names, never credentials.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, StatusCode, Uri};
use tracing::{Level, enabled, info};

/// The target of the events, for filters: `BEARERD_LOG=info,bearerd::access=off`.
pub const TARGET: &str = "bearerd::access";

/// Whether anybody reads the access log. Cheap: a layer asks for each request and does nothing when not.
pub fn access_enabled() -> bool {
    WANTED.load(Relaxed) && enabled!(target: TARGET, Level::INFO)
}

/// Switches the access log off or on again, whatever the filter says: `log: { access: false }`.
pub fn set_access(wanted: bool) {
    WANTED.store(wanted, Relaxed);
}

/// All that is told of one request.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// The method.
    pub method: Method,
    /// The host that was asked for, with its port if one was given.
    pub host: Option<Box<str>>,
    /// The path as it came. Its query stays out: it may hold secrets.
    pub path: Box<str>,
    /// The route's name; none where no route matched.
    pub route: Option<Arc<str>>,
    /// The credential's name; none where the route has none.
    pub credential: Option<Arc<str>>,
    /// The caller's name; none where nobody asked for one.
    pub caller: Option<Arc<str>>,
    /// The status that the client got; none where it left before.
    pub status: Option<StatusCode>,
    /// The code of an answer of our own.
    pub code: Option<&'static str>,
    /// The upstream's status; told only where the client got another.
    pub upstream_status: Option<StatusCode>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body.
    pub bytes_out: u64,
    /// From the head of the request to the end of the answer.
    pub duration: Duration,
    /// From sending the request on to the head of the upstream's answer.
    pub upstream_duration: Option<Duration>,
    /// How often it was sent to the upstream: 0 for never, 2 for a replay.
    pub attempts: u32,
    /// How long it waited for its credential; none where one was at hand.
    pub waited: Option<Duration>,
    /// The client's address; none for a unix socket.
    pub client: Option<SocketAddr>,
    /// How the body of the answer ended.
    pub outcome: Outcome,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was handed to the connection.
    Complete,
    /// The client left, or the upstream broke off.
    #[default]
    Aborted,
}

impl AccessRecord {
    /// Starts the record of a request; the rest is filled in as it becomes known.
    pub fn new(method: Method, uri: &Uri, host: Option<&str>) -> Self {
        Self {
            method,
            host: host.map(Into::into),
            path: uri.path().into(),
            route: None,
            credential: None,
            caller: None,
            status: None,
            code: None,
            upstream_status: None,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            upstream_duration: None,
            attempts: 0,
            waited: None,
            client: None,
            outcome: Outcome::Aborted,
        }
    }
}

/// Writes the line of one request. Fields that have no value are left out.
pub fn emit(record: &AccessRecord) {
    info!(
        target: TARGET,
        method = record.method.as_str(),
        host = record.host.as_deref(),
        path = &*record.path,
        route = record.route.as_deref(),
        credential = record.credential.as_deref(),
        caller = record.caller.as_deref(),
        status = record.status.map(|status| status.as_u16()),
        code = record.code,
        upstream_status = upstream_status(record),
        bytes_in = record.bytes_in,
        bytes_out = record.bytes_out,
        duration_ms = millis(record.duration),
        upstream_ms = record.upstream_duration.map(millis),
        waited_ms = record.waited.map(millis),
        attempts = record.attempts,
        client = record.client.map(tracing::field::display),
        outcome = match record.outcome {
            Outcome::Complete => "complete",
            Outcome::Aborted => "aborted",
        },
    );
}

fn upstream_status(record: &AccessRecord) -> Option<u16> {
    record
        .upstream_status
        .filter(|it| Some(*it) != record.status)
        .map(|it| it.as_u16())
}

/// Milliseconds with three decimals: a number is easier to aggregate than `1.5s`.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

static WANTED: AtomicBool = AtomicBool::new(true);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logs::{Format, capture};

    fn record() -> AccessRecord {
        let uri = Uri::from_static("/v1/orders?api_key=canary-query");
        AccessRecord::new(Method::GET, &uri, Some("shop.example"))
    }

    #[test]
    fn a_line_tells_the_path_and_never_the_query() {
        let text = capture(Format::Json, "info", || emit(&record()));
        assert!(text.contains(r#""path":"/v1/orders""#), "{text}");
        assert!(!text.contains("canary"), "{text}");
        assert!(!format!("{:?}", record()).contains("canary"));
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let text = capture(Format::Json, "info", || emit(&record()));
        assert!(
            !text.contains("route") && !text.contains("status") && !text.contains("null"),
            "{text}"
        );
    }

    #[test]
    fn the_upstreams_status_is_told_where_it_differs() {
        let mut it = record();
        it.status = Some(StatusCode::BAD_GATEWAY);
        it.upstream_status = Some(StatusCode::UNAUTHORIZED);
        it.code = Some("credential_refused");
        it.duration = Duration::from_micros(1_500);
        it.client = Some(([127, 0, 0, 1], 4711).into());
        let text = capture(Format::Text, "info", || emit(&it));
        assert!(text.contains("status=502"), "{text}");
        assert!(text.contains("upstream_status=401"), "{text}");
        assert!(text.contains("duration_ms=1.5 "), "{text}");
        assert!(text.contains("client=127.0.0.1:4711"), "{text}");
        it.upstream_status = it.status;
        assert!(!capture(Format::Text, "info", || emit(&it)).contains("upstream_status"));
    }

    #[test]
    fn a_host_cannot_forge_a_line() {
        let mut it = record();
        it.host = Some("evil\n2026-01-01 INFO all is well \x1b[31m".into());
        let text = capture(Format::Text, "info", || emit(&it));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn it_is_off_where_the_filter_says_so() {
        capture(Format::Text, "info,bearerd::access=off", || {
            assert!(!access_enabled())
        });
        capture(Format::Text, "info", || assert!(access_enabled()));
    }
}
