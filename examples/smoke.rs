use arc_swap::ArcSwap;
use bearerd::{
    callers::Callers, credentials::*, injectors::Injection, routes::pattern::*, routes::table::*,
    routes::*, secret::Secret, server::*, telemetry::metrics::Metrics, upstream::*,
};
use std::{sync::Arc, time::Duration};
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let up: u16 = std::env::args().nth(2).unwrap().parse().unwrap();
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let credentials = Credentials::new(control.handle().clone());
    let source = Arc::new(grants::Fixed::token(Secret::new("bench-token")));
    let handle = credentials.handle("x", source, CacheSettings::default());
    let metrics = Metrics::new();
    let upstreams = Upstreams::default();
    let upstream = upstreams
        .intern(UpstreamConfig {
            scheme: Scheme::Http,
            host: "127.0.0.1".into(),
            port: up,
            tls: Default::default(),
            pool: Default::default(),
        })
        .unwrap();
    let credential = Some(RouteCredential {
        handle,
        injection: Injection::bearer(),
        overwrite: true,
        wait: Duration::from_secs(10),
        on_failure: OnFailure::Deny,
    });
    let callers = Callers::default();
    let guard = Guard::new(
        credential.as_ref(),
        &callers,
        &Strip::default(),
        Cookies::Drop,
        Forwarded::Drop,
    );
    let route = Route {
        name: "r".into(),
        line: 1,
        upstream,
        base_path: "/".into(),
        strip_prefix: true,
        host_header: HostHeader::Upstream,
        credential,
        guard,
        cookies: Cookies::Drop,
        allow: Allow::All,
        refused: Refused::default(),
        replay_buffer: 65536,
        timeouts: Timeouts::default(),
        forwarded: Forwarded::Drop,
        metrics: metrics.route("r"),
    };
    let mut t = TableBuilder::new();
    t.add(
        Matcher {
            path: PathPattern::parse("/").unwrap(),
            ..Default::default()
        },
        Arc::new(route),
    );
    let snapshot = Snapshot {
        generation: 1,
        callers,
        hosts: Hosts::default(),
        table: t.build().unwrap(),
    };
    let shared = Shared {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        metrics,
        limits: WorkerLimits {
            connections: 10000,
            head: HeadLimits {
                bytes: 65536,
                fields: 100,
            },
            client: ClientTimeouts {
                head: Duration::from_secs(10),
                idle: Duration::from_secs(75),
                write: Duration::from_secs(60),
            },
            drain: Duration::from_secs(5),
        },
    };
    let bound = bind(&[([127, 0, 0, 1], port).into()], 1).unwrap();
    let (_tx, rx) = tokio::sync::watch::channel(false);
    eprintln!("on {:?}", bound.addresses());
    bound.serve(&shared, &rx).unwrap();
}
