//! Listeners, threads, limits and logs: what is fixed for the life of the process.

use std::{net::SocketAddr, time::Duration};

use super::listeners::{self, Listener};
use crate::{
    config::{
        Decode, Decoder, Diagnostic, Node, Sp, Span,
        raw::{ListenAddress, LogFormat, RawFile, RawLimits, Workers},
    },
    credentials::Fingerprint,
    downstream::Inherited,
    routes::is_loopback,
};

/// What of the file is no routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where clients connect.
    pub listen: Vec<Listener>,
    /// Where probes and scrapers connect.
    pub health: Option<SocketAddr>,
    /// Where operators connect.
    pub admin: Option<SocketAddr>,
    /// How many workers; one per core where it is none.
    pub workers: Option<usize>,
    /// Bounds.
    pub limits: Limits,
    /// What is logged.
    pub log: LogSettings,
    /// Which store credentials are kept in.
    pub store: Option<Fingerprint>,
}

/// Bounds on what clients and upstreams can make the proxy hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once.
    pub connections: usize,
    /// Requests under way at once.
    pub requests: usize,
    /// Bytes of one request's head.
    pub header_bytes: usize,
    /// Header fields of one request.
    pub headers: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// For a request's head.
    pub header_timeout: Duration,
    /// For a client to take any of an answer.
    pub write_timeout: Duration,
    /// For an idle client connection.
    pub keep_alive: Duration,
    /// For requests in flight at the end.
    pub drain: Duration,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How lines look; what standard error suggests where it is none.
    pub format: Option<LogFormat>,
    /// Whether there is a line for each request.
    pub access: bool,
}

/// The limits as written, or their defaults.
pub(super) fn limits(file: &RawFile) -> RawLimits {
    match &file.limits {
        Some(limits) => limits.value.clone(),
        None => {
            let nothing = Node {
                span: Span::default(),
                kind: crate::config::node::Kind::Map(Vec::new()),
            };
            RawLimits::decode(&nothing, &mut Decoder::default()).expect("every limit has a default")
        }
    }
}

pub(super) fn compile(
    file: &Sp<RawFile>,
    decoder: &mut Decoder,
    inherited: Option<&Inherited>,
) -> Settings {
    check_listeners(file, decoder, inherited);
    let limits = limits(file);
    if let Some(given) = &file.limits {
        check_limits(given, decoder);
    }
    let count = |n: &Sp<u64>| usize::try_from(n.value).unwrap_or(usize::MAX);
    Settings {
        listen: listeners::listeners(file),
        health: file.health.as_ref().map(|address| address.value),
        admin: file.admin.as_ref().map(|address| address.value),
        workers: match file.workers.value {
            Workers::Auto => None,
            Workers::Count(count) => Some(count),
        },
        limits: Limits {
            connections: count(&limits.connections),
            requests: count(&limits.requests),
            header_bytes: usize::try_from(limits.header_bytes.0).unwrap_or(usize::MAX),
            headers: count(&limits.headers),
            streams: u32::try_from(limits.streams.value).unwrap_or(u32::MAX),
            header_timeout: limits.header_timeout.value,
            write_timeout: limits.write_timeout.value,
            keep_alive: limits.keep_alive.value,
            drain: limits.drain.value,
        },
        log: LogSettings {
            format: file
                .log
                .as_ref()
                .and_then(|log| log.format.as_ref())
                .map(|format| format.value),
            access: file.log.as_ref().is_none_or(|log| log.access.value),
        },
        store: None,
    }
}

fn check_listeners(file: &Sp<RawFile>, decoder: &mut Decoder, inherited: Option<&Inherited>) {
    if file.listen.0.is_empty() && !decoder.diagnostics.has_errors() {
        decoder.push(
            Diagnostic::error(file.listen.span, "there is no address to listen on")
                .hint("write `listen: 127.0.0.1:8080`"),
        );
    }
    let has_callers = file
        .callers
        .as_ref()
        .is_some_and(|callers| !callers.0.is_empty());
    // A `callers` that could not be read has its own error.
    let open = !has_callers && !file.failed.contains(&"callers");
    for listener in file.listen.iter() {
        listeners::check(listener, decoder, inherited);
        let address = &listener.address;
        if !open || listeners::is_local(address, inherited) {
            continue;
        }
        if !file.danger_allow_anyone.value {
            decoder.push(
                Diagnostic::error(address.span, "this listener can be reached from other machines, and `callers` names nobody")
                    .hint("add `callers`, listen on a loopback address, or say `danger_allow_anyone: true`"),
            );
        } else {
            decoder.push(Diagnostic::warning(
                file.danger_allow_anyone.span,
                "anyone who can reach this listener uses the credentials of this file",
            ));
        }
    }
    if let Some(admin) = &file.admin
        && !is_loopback(admin.ip())
    {
        let error = Diagnostic::error(admin.span, "`admin` can be reached from other machines");
        decoder.push(error.hint("give it a loopback address, as in `127.0.0.1:9901`"));
    }
    check_distinct(file, decoder);
}

/// No two listeners on one address. Port 0 is a new port each time.
fn check_distinct(file: &RawFile, decoder: &mut Decoder) {
    let listen = file
        .listen
        .iter()
        .map(|listener| (listener.address.value.clone(), listener.address.span));
    let others = [&file.health, &file.admin]
        .into_iter()
        .flatten()
        .map(|sp| (ListenAddress::Tcp(sp.value), sp.span));
    let all: Vec<(ListenAddress, Span)> = listen.chain(others).collect();
    for (at, (address, span)) in all.iter().enumerate() {
        let any_port = address.tcp().is_some_and(|address| address.port() == 0);
        let earlier = all[..at]
            .iter()
            .find(|(other, _)| other == address && !any_port);
        if let Some((_, earlier)) = earlier {
            decoder.push(
                Diagnostic::error(*span, "this address is given twice")
                    .related(*earlier, "first given here")
                    .hint("`listen`, `health` and `admin` are listeners of their own"),
            );
        }
    }
}

fn check_limits(limits: &RawLimits, decoder: &mut Decoder) {
    let counts = [
        &limits.connections,
        &limits.requests,
        &limits.headers,
        &limits.streams,
        &limits.upstream_connections,
        &limits.credential_waiters,
        &limits.subjects,
    ];
    for count in counts.into_iter().filter(|count| count.value == 0) {
        decoder.push(Diagnostic::error(
            count.span,
            "a limit of 0 lets nothing through",
        ));
    }
    if !(8192..=1 << 20).contains(&limits.header_bytes.0) {
        decoder.push(Diagnostic::error(
            limits.header_bytes.span,
            "`header_bytes` goes from 8KiB to 1MiB",
        ));
    }
    let times = [
        &limits.header_timeout,
        &limits.write_timeout,
        &limits.keep_alive,
        &limits.upstream_idle,
    ];
    for time in times.into_iter().filter(|time| time.is_zero()) {
        decoder.push(Diagnostic::error(
            time.span,
            "a time of 0 lets nothing through",
        ));
    }
}
