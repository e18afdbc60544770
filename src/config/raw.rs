//! The file's own types, one to one with its keys; what they mean together is `compile`'s business.

use std::net::SocketAddr;

use super::{
    decode::{Decode, Decoder},
    node::Node,
    scalars::{ByteSize, Named, OneOrList},
    span::Sp,
    table::Type,
};
use crate::{config_struct, config_words};

mod caller;
mod credential;
mod emulate;
mod listener;
mod route;
mod store;
mod subject;
mod upstream;

pub use self::{
    caller::{ApiKey, JwtAlgorithm, RawCaller, RawClientCertificate, RawJwt, RawUnixPeer},
    credential::{CredentialSettings, Family, Inject, RawCredential},
    emulate::{EmulateSetting, RawEmulate, RawLogin},
    listener::{
        ListenAddress, ListenerTls, Network, RawCertificate, RawListener, RawProxyProtocol,
        SocketMode, TlsVersion,
    },
    route::{
        Cookies, Forwarded, Match, OnExpiry, OnFailure, RawRefused, RawRoute, RawTimeouts,
        RefusedSetting, RefusedThen, StripList, TextMatch, Upgrade,
    },
    store::{RawFileStore, RawRedisStore, RawStore},
    subject::SubjectSetting,
    upstream::{
        Balance, HostHeaderSetting, Http2, RawHealth, RawProxy, RawUpstream, TargetAddress,
        TargetList, UpstreamRef, UpstreamTls,
    },
};

config_struct! {
    /// The whole file.
    pub struct RawFile = "the file", unavailable = ["telemetry"], extensions = "x-" {
        /// Where clients connect: an address, or a list of them. In clear they may speak HTTP/1.1 or, with prior knowledge,
        /// HTTP/2. Anything but loopback and unix sockets needs `callers` or `danger_allow_anyone`.
        required listen: OneOrList<RawListener>,
        /// More Host names (`example.com`, `*.example.com`) that a loopback or unauthenticated listener answers to, besides
        /// `localhost`, its own address and the routes' hosts.
        optional hosts: OneOrList<String>,
        /// Where `/livez`, `/readyz` and `/metrics` are served. Off unless given.
        optional health: SocketAddr,
        /// Where the status API is served: loopback only. Off unless given.
        optional admin: SocketAddr,
        /// How many threads serve clients: a number, or `auto` for one per core.
        default("auto") workers: Workers,
        /// What every route has unless it says otherwise.
        optional defaults: RawDefaults,
        /// Who may use the proxy, by names of your choice.
        optional callers: Named<RawCaller>,
        /// How upstream credentials are obtained, by names of your choice.
        optional credentials: Named<RawCredential>,
        /// Upstreams that several routes share, by names of your choice.
        optional upstreams: Named<RawUpstream>,
        /// Which requests go where, with what credential. The order does not matter, save among `path_regex` routes.
        required routes: Vec<Sp<RawRoute>>,
        /// Where credentials outlive the process.
        optional store: RawStore,
        /// Bounds on what clients and upstreams can make the proxy hold.
        optional limits: RawLimits,
        /// What is logged, and how.
        optional log: RawLog,
        /// Lets anyone who can reach a listener use the proxy and its credentials.
        default("false") danger_allow_anyone: bool,
    }
}

config_struct! {
    /// What every route has unless it says otherwise. The keys mean what they mean in a route, so that `<<: *defaults`
    /// does no harm either.
    pub struct RawDefaults = "defaults" {
        /// Where requests go.
        optional upstream: UpstreamRef,
        /// Which of `credentials` they carry.
        optional credential: String,
        /// Whose credential it is, where each user has one.
        optional subject: SubjectSetting,
        /// `false` keeps a caller's own header instead of ours, where it sends one.
        optional overwrite: bool,
        /// More that the client may not send.
        optional strip: StripList,
        /// `false` keeps the matched prefix.
        optional strip_prefix: bool,
        /// Whether `Cookie` and `Set-Cookie` pass.
        optional cookies: Cookies,
        /// Which of `callers` may use a route.
        optional allow: OneOrList<String>,
        /// What counts as a refused credential, and what then.
        optional refused: RefusedSetting,
        /// What happens to a request for which no credential is to be had: `deny` where nothing else is said.
        optional on_failure: OnFailure,
        /// How long a request waits for a credential: 10s where nothing else is said.
        optional wait: std::time::Duration,
        /// How long each wait of a request may take.
        optional timeouts: RawTimeouts,
        /// How much of a request's body is kept for one replay after a refusal: 64KiB where nothing else is said.
        optional replay_buffer: ByteSize,
        /// What the upstream is told about the client: nothing (`drop`) where nothing else is said.
        optional forwarded: Forwarded,
        /// Which protocol upgrades are passed on: `websocket` where nothing else is said, or `none`.
        optional upgrade: Upgrade,
        /// What happens to a WebSocket, or any other answer that is still on its way, when its credential expires: `keep` where
        /// nothing else is said.
        optional on_expiry: OnExpiry,
    }
}

config_struct! {
    /// Bounds on what clients and upstreams can make the proxy hold.
    pub struct RawLimits = "limits" {
        /// Client connections at once, over all listeners and workers, each of which takes its share: the next wait in the
        /// kernel's queue.
        default("10000") connections: u64,
        /// Requests under way at once, over all connections and workers: the next get 503 `overloaded`.
        default("10000") requests: u64,
        /// Bytes of one request's head.
        default("64KiB") header_bytes: ByteSize,
        /// Header fields of one request.
        default("100") headers: u64,
        /// Requests at once on one HTTP/2 connection.
        default("100") streams: u64,
        /// How long a client may take to send a request's head.
        default("10s") header_timeout: std::time::Duration,
        /// How long a client may take none of an answer before its connection is closed.
        default("60s") write_timeout: std::time::Duration,
        /// How long an idle client connection is kept.
        default("75s") keep_alive: std::time::Duration,
        /// How long requests in flight may take to end once the proxy is told to stop.
        default("30s") drain: std::time::Duration,
        /// Connections to one upstream at once, per worker.
        default("512") upstream_connections: u64,
        /// Requests that may wait for a connection to one upstream, per worker.
        default("16384") upstream_waiters: u64,
        /// How long an idle connection to an upstream is kept; less than the upstream's own limit.
        default("30s") upstream_idle: std::time::Duration,
        /// Requests that may wait for one credential at once.
        default("16384") credential_waiters: u64,
        /// Users whose tokens are kept at once, for each credential that has one for each user.
        default("10000") subjects: u64,
    }
}

config_struct! {
    /// What is logged, and how.
    pub struct RawLog = "log" {
        /// `text` for people, `json` for machines; by default what standard error suggests.
        optional format: LogFormat,
        /// Whether there is a line for each request.
        default("true") access: bool,
    }
}

config_words! {
    /// How log lines look.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// For machines.
        Json = "json",
    }
}

/// How many threads serve clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// This many.
    Count(usize),
}

impl Decode for Workers {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        if decoder.scalar(node, "a number of workers or `auto`")?.text == "auto" {
            return Some(Self::Auto);
        }
        match u64::decode(node, decoder)? {
            count @ 1..=1024 => Some(Self::Count(count as usize)),
            _ => decoder.fail(node.span, "the number of workers goes from 1 to 1024"),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![Type::Integer, Type::Words(&["auto"])])
    }
}
