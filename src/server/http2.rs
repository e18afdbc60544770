//! HTTP/2 with a client: its bounds, and how its streams run.

mod blocks;
mod compact;
mod streams;
mod tunnels;

use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

use super::connection::HeadLimits;

pub(super) use self::{
    blocks::Blocks,
    compact::compact,
    streams::{Stall, Streams},
    tunnels::carry,
};

/// What every connection begins with when its client knows that we speak HTTP/2 (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A server within our bounds. `concurrent` requests at once on a connection.
pub(super) fn builder(
    streams: Streams,
    head: HeadLimits,
    concurrent: u32,
) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(concurrent)
        .max_header_list_size(u32::try_from(head.bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .enable_connect_protocol();
    builder
}

/// What a client may send ahead on one stream, and on all of a connection's: Envoy's advice for the edge.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits for the client in one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client opens and resets before they are looked at (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that a client makes us reset (CVE-2025-8671).
const LOCAL_RESETS: usize = 200;
/// Whoever has gone without a word is found out, also while nothing is sent to it.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
