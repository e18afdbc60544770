//! What one step of a request costs alone: `cargo bench --bench micro`. A harness of its own, so that nobody
//! waits for a bench library to build; the table of nanoseconds is all that is wanted.

use std::{hint::black_box, sync::Arc, time::Duration};

use bearerd::{
    clock,
    credentials::{CacheSettings, Credentials, grants::fixed::Fixed},
    injectors::Guarded,
    routes::{
        host::{Authority, HostPattern},
        path,
        pattern::{Matcher, PathPattern},
        table::{RequestView, Table, TableBuilder},
        target,
    },
    secret::Secret,
};
use http::{HeaderMap, HeaderName, Method};

fn main() {
    for count in [1, 100, 10_000] {
        matching(count);
    }
    parsing();
    stripping();
    leasing();
}

fn matching(count: usize) {
    let by_path = table(count, |at| ("*".into(), format!("/service-{at}/v1/")));
    let by_host = table(count, |at| {
        (format!("service-{at}.example.com"), "/".into())
    });
    let last = count - 1;
    let host = format!("service-{last}.example.com");
    let path = format!("/service-{last}/v1/invoices/7");
    measure(&format!("match: last of {count} prefixes"), || {
        find(&by_path, None, &path)
    });
    measure(&format!("match: last of {count} hosts"), || {
        find(&by_host, Some(&host), &path)
    });

    let paths: Vec<String> = (0..RANDOM)
        .map(|_| format!("/service-{}/v1/invoices/7", fastrand::usize(..count)))
        .collect();
    let mut next = 0;
    measure(&format!("match: random of {count} prefixes"), || {
        next = (next + 1) % RANDOM;
        find(&by_path, None, &paths[next])
    });
    let encoded = format!("/service-{last}/v1/group%2fname/7");
    measure(&format!("match: encoded slash, {count} prefixes"), || {
        find(&by_path, None, &encoded)
    });
    let nowhere = format!("/nowhere{}", "/a".repeat(1000));
    measure(&format!("match: none of {count}, 1000 segments"), || {
        find(&by_path, None, &nowhere)
    });
}

fn table(count: usize, route: impl Fn(usize) -> (String, String)) -> Table<usize> {
    let mut builder = TableBuilder::new();
    for at in 0..count {
        let (host, path) = route(at);
        let matcher = Matcher {
            host: HostPattern::parse(&host).expect("a host pattern"),
            path: PathPattern::parse(&path).expect("a path pattern"),
            ..Matcher::default()
        };
        builder.add(matcher, at);
    }
    builder.build().expect("no two alike")
}

fn find(table: &Table<usize>, host: Option<&str>, path: &str) {
    let headers = HeaderMap::new();
    black_box(table.find(black_box(&RequestView {
        host,
        path,
        query: None,
        method: &Method::GET,
        headers: &headers,
    })));
}

fn parsing() {
    let target = "/service-7/v1/invoices/7?status=open&page=2";
    measure("target gate", || {
        black_box(target::check(black_box(target)))
    });
    let host = b"service-7.example.com:8080";
    measure("authority", || black_box(Authority::parse(black_box(host))));
    measure("outgoing path", || {
        black_box(path::outgoing(
            "/v2/",
            black_box("invoices/7"),
            Some("page=2"),
        ))
    });
    let hostile = "a%252f/;x%5c%255c//./b%253b;%3f/".repeat(256);
    measure("outgoing path, 8 KiB hostile", || {
        black_box(path::outgoing("/v2/", black_box(&hostile), None))
    });
}

fn stripping() {
    let guarded = Guarded::new(["authorization", "x-api-key", "session_token"]);
    let names = [
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "x-request-id",
    ];
    let names = names.map(HeaderName::from_static);
    measure("guard, 6 headers", || {
        names.iter().any(|name| guarded.is_guarded(black_box(name)))
    });
    measure("guard, query", || {
        black_box(guarded.strip_query(black_box("status=open&page=2"))).len()
    });
}

fn leasing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let source = Arc::new(Fixed::token(Secret::new("token")));
    let handle = Credentials::new(runtime.handle().clone()).handle(
        "bench",
        source,
        CacheSettings::default(),
    );
    runtime
        .block_on(handle.lease(Duration::from_secs(10)))
        .expect("a fixed token");
    measure("lease", || black_box(handle.try_lease()).is_some());
}

/// Prints the best of several rounds: noise only ever adds.
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    let mut best = f64::INFINITY;
    let mut calls: u32 = 64;
    for _ in 0..ROUNDS {
        let start = clock::now();
        for _ in 0..calls {
            black_box(work());
        }
        let took = start.elapsed();
        best = best.min(took.as_nanos() as f64 / f64::from(calls));
        if took < ROUND {
            calls = calls.saturating_mul(2).min(MOST_CALLS);
        }
    }
    #[expect(
        clippy::print_stdout,
        reason = "a table on stdout is what this program is for"
    )]
    {
        println!("{name:<42} {best:>10.1} ns");
    }
}

const RANDOM: usize = 4096;
const ROUNDS: u32 = 40;
const ROUND: Duration = Duration::from_millis(10);
const MOST_CALLS: u32 = 1 << 22;
