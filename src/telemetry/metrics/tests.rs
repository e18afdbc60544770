use std::{thread, time::Duration};

use http::StatusCode;

use super::*;

fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find(|line| line.starts_with(start))
}

#[test]
fn a_route_keeps_its_series_over_a_reload() {
    let metrics = Metrics::new();
    for _reload in 0..2 {
        let route = metrics.route("orders");
        route.started();
        route.finished(StatusCode::OK, Duration::from_millis(1));
    }
    let text = metrics.encode();
    let expected = r#"bearerd_requests_total{route="orders",status="2xx"} 2"#;
    assert_eq!(line(&text, "bearerd_requests_total"), Some(expected));
}

#[test]
fn workers_add_up() {
    let metrics = Metrics::new();
    let route = metrics.route("orders");
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                route.started();
                route.upstream(Duration::from_millis(3));
                route.finished(StatusCode::BAD_GATEWAY, Duration::from_millis(4));
                route.started();
            });
        }
    });
    let text = metrics.encode();
    assert!(
        text.contains(r#"bearerd_requests_total{route="orders",status="5xx"} 20"#),
        "{text}"
    );
    assert!(
        text.contains(r#"bearerd_requests_in_flight{route="orders"} 20.0"#),
        "{text}"
    );
    assert!(
        text.contains(r#"bearerd_request_seconds_count{route="orders"} 20"#),
        "{text}"
    );
    assert!(
        text.contains(r#"bearerd_upstream_seconds_count{route="orders"} 20"#),
        "{text}"
    );
}

#[test]
fn requests_without_a_route_are_counted_too() {
    let metrics = Metrics::new();
    metrics.unrouted().started();
    metrics.unrouted().error("route_not_found");
    metrics
        .unrouted()
        .finished(StatusCode::NOT_FOUND, Duration::ZERO);
    metrics.unrouted().started();
    metrics.unrouted().aborted(Duration::ZERO);
    let text = metrics.encode();
    assert!(
        text.contains(r#"bearerd_requests_total{route="",status="4xx"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"bearerd_requests_total{route="",status="aborted"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"bearerd_errors_total{route="",code="route_not_found"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"bearerd_requests_in_flight{route=""} 0.0"#),
        "{text}"
    );
}

#[test]
fn an_unused_route_has_no_series() {
    let metrics = Metrics::new();
    let _route = metrics.route("idle");
    assert!(!metrics.encode().contains("idle"));
}

#[test]
fn forgotten_routes_make_room() {
    let metrics = Metrics::new();
    let kept = metrics.route("kept");
    kept.error("overloaded");
    for i in 0..ROUTES_KEPT + 10 {
        metrics.route(&i.to_string());
    }
    assert!(metrics.0.routes.lock().expect("not poisoned").len() <= ROUTES_KEPT);
    assert!(
        metrics
            .encode()
            .contains(r#"bearerd_errors_total{route="kept",code="overloaded"} 1"#)
    );
}

#[test]
fn sources_are_asked_at_every_scrape() {
    let metrics = Metrics::new();
    let age = Arc::new(Mutex::new(1.0));
    let source = Arc::clone(&age);
    metrics.collect_from(move |samples| {
        let age = *source.lock().expect("not poisoned");
        samples.gauge(&table::CREDENTIAL_EXPIRY, &["billing"], age);
    });
    assert!(
        metrics
            .encode()
            .contains(r#"expiry_seconds{credential="billing"} 1.0"#)
    );
    *age.lock().expect("not poisoned") = 2.0;
    assert!(
        metrics
            .encode()
            .contains(r#"expiry_seconds{credential="billing"} 2.0"#)
    );
}
