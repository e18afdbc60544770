//! What one step of a request costs alone: `cargo bench --bench micro`. A harness of its own, so that nobody
//! waits for a bench library to build; the table is all that is wanted.

use std::{fs, hint::black_box, ops::Range, process::Command, sync::Arc, time::Duration};

use bearerd::{
    clock,
    credentials::{
        BoxFuture, CacheSettings, Credential, CredentialHandle, Credentials, Fetch, FetchError,
        Fingerprint, FingerprintBuilder, Source, Subject, grants::fixed::Fixed,
    },
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
use tokio::runtime::Runtime;

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(RESIDENT) {
        let bytes = arguments.next().and_then(|bytes| bytes.parse().ok());
        return resident(bytes.expect("the bytes of a token"));
    }
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
    let runtime = runtime();
    let source = Arc::new(Fixed::token(Secret::new("token")));
    let handle = Credentials::new(runtime.handle().clone()).handle(
        "bench",
        source,
        CacheSettings::default(),
    );
    runtime
        .block_on(handle.lease(Duration::from_secs(10)))
        .expect("a fixed token");
    // A request leases at the moment when its head was complete, which it knows: the stack reads no clock for it.
    let now = clock::now();
    measure("lease", || {
        black_box(handle.try_lease_at(now)).expect("a token")
    });
    measure("lease, and a look at the clock", || {
        black_box(handle.try_lease()).expect("a token")
    });

    let handle = per_subject(&runtime, 1024);
    lease_for(&runtime, &handle, 0..SUBJECTS);
    let now = clock::now();
    let lease = |subject: &Subject| {
        let own = handle.of(subject).expect("room for all");
        black_box(own.try_lease_at(now)).expect("a token")
    };
    let one = subject(0);
    measure("lease, the same one of 100,000 subjects", || lease(&one));
    let mut next = 0;
    let random = || {
        next = (next + STRIDE) % SUBJECTS;
        subject(next)
    };
    measure_with("lease, a random one of 100,000 subjects", random, lease);
    for bytes in [16, 1024] {
        // In a process of its own, that nothing else has grown.
        let itself = std::env::current_exe().expect("the path of this program");
        let child = Command::new(itself)
            .args([RESIDENT, &bytes.to_string()])
            .output()
            .expect("this program runs");
        let figure = String::from_utf8_lossy(&child.stdout);
        show(
            &format!("resident, a subject, tokens of {bytes} B"),
            figure.trim(),
        );
    }
}

/// Prints what each of a hundred thousand subjects adds to the resident memory.
fn resident(bytes: usize) {
    let runtime = runtime();
    let handle = per_subject(&runtime, bytes);
    // What is there once.
    lease_for(&runtime, &handle, SUBJECTS..SUBJECTS + 1);
    let before = resident_bytes();
    lease_for(&runtime, &handle, 0..SUBJECTS);
    let grown = resident_bytes().saturating_sub(before);
    show("", &format!("{} B", grown / SUBJECTS));
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    1024 * kib.and_then(|kib| kib.parse::<usize>().ok()).expect("KiB")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn per_subject(runtime: &Runtime, bytes: usize) -> CredentialHandle {
    let settings = CacheSettings {
        // Shards are never equally full.
        max_subjects: SUBJECTS * 3 / 2,
        ..CacheSettings::default()
    };
    let source = Arc::new(PerSubject { bytes });
    Credentials::new(runtime.handle().clone()).handle("bench", source, settings)
}

fn lease_for(runtime: &Runtime, handle: &CredentialHandle, numbers: Range<usize>) {
    runtime.block_on(async {
        for number in numbers {
            let own = handle.of(&subject(number));
            let lease = own.expect("room for all").lease(Duration::from_secs(10));
            lease.await.expect("a token");
        }
    });
}

fn subject(number: usize) -> Subject {
    Subject::user(format!("user-{number}@example.com")).expect("a name")
}

/// A token of so many bytes for whoever asks.
#[derive(Debug)]
struct PerSubject {
    bytes: usize,
}

impl Source for PerSubject {
    fn grant(&self) -> &'static str {
        "bench"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("bench").finish()
    }

    fn per_subject(&self) -> bool {
        true
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async {
            let token = Secret::new("x".repeat(self.bytes));
            let life = Some(Duration::from_secs(3600));
            Ok(Credential::bearer(token, life, clock::now()))
        })
    }
}

/// Prints the best of several rounds: noise only ever adds.
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    best(name, |calls| {
        let start = clock::now();
        for _ in 0..calls {
            black_box(work());
        }
        start.elapsed()
    });
}

/// The same where each call has something of its own that is not counted, and is warm: it came with the request.
fn measure_with<I, T>(name: &str, mut make: impl FnMut() -> I, mut work: impl FnMut(&I) -> T) {
    best(name, |calls| {
        let batch = || {
            let made: [I; FEWEST_CALLS as usize] = std::array::from_fn(|_| make());
            let start = clock::now();
            for one in &made {
                black_box(work(one));
            }
            start.elapsed()
        };
        std::iter::repeat_with(batch)
            .take((calls / FEWEST_CALLS) as usize)
            .sum()
    });
}

fn best(name: &str, mut round: impl FnMut(u32) -> Duration) {
    let mut best = f64::INFINITY;
    let mut calls = FEWEST_CALLS;
    for _ in 0..ROUNDS {
        let took = round(calls);
        best = best.min(took.as_nanos() as f64 / f64::from(calls));
        if took < ROUND {
            calls = calls.saturating_mul(2).min(MOST_CALLS);
        }
    }
    show(name, &format!("{best:.1} ns"));
}

fn show(name: &str, figure: &str) {
    #[expect(
        clippy::print_stdout,
        reason = "a table on stdout is what this program is for"
    )]
    {
        println!("{name:<42} {figure:>13}");
    }
}

const RESIDENT: &str = "resident";
const SUBJECTS: usize = 100_000;
/// Prime, and far enough that no cache helps.
const STRIDE: usize = 41_149;
const RANDOM: usize = 4096;
const ROUNDS: u32 = 40;
const ROUND: Duration = Duration::from_millis(10);
const FEWEST_CALLS: u32 = 64;
const MOST_CALLS: u32 = 1 << 22;
