//! Which upstream, under what conditions: the immutable values that `compile` makes from the file.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    callers::{Caller, Callers, Jwts, Placeholders},
    credentials::{CredentialHandle, Nonce, TokensFrom},
    injectors::Injection,
    telemetry::metrics::RouteMetrics,
    upstream::{Targets, Upstream},
};

mod guard;
mod hash;
pub mod host;
mod login_answer;
mod login_query;
mod logins;
pub mod path;
pub mod pattern;
pub mod table;
pub mod target;
pub mod trace;

pub use crate::upstream::Timeouts;
pub use guard::{Guard, Strip};
pub use login_answer::LoginAnswer;
pub use logins::{Login, LoginPath, Logins, Wanted};
use table::Table;

#[cfg(test)]
mod regressions;

/// One generation of the configuration. A request keeps the one that it began with.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the configurations applied since the start, from 1.
    pub generation: u64,
    /// Who may call.
    pub callers: Callers,
    /// Which Host names are answered.
    pub hosts: Hosts,
    /// Whether any route hands out placeholders, so that requests are searched for them.
    pub placeholders: bool,
    /// Every route, by what it matches; in the order of the file.
    pub table: Table<Arc<Route>>,
}

/// One route: where its requests go and what they carry.
#[derive(Debug)]
pub struct Route {
    /// `name:` of the file, else its match as text; a label of metrics and logs.
    pub name: Arc<str>,
    /// The line of the file that it starts on.
    pub line: usize,
    /// Where requests go.
    pub upstream: Arc<Upstream>,
    /// Where that is at several places; the first of them is `upstream`.
    pub targets: Option<Arc<Targets>>,
    /// Path that replaces the matched prefix (ends in `/` for prefix routes), percent-encoded as sent.
    pub base_path: Box<str>,
    /// Whether the matched prefix is replaced by `base_path`; else `base_path` is put before the whole path.
    pub strip_prefix: bool,
    /// What the upstream gets as Host.
    pub host_header: HostHeader,
    /// What is attached, if anything.
    pub credential: Option<RouteCredential>,
    /// Where its requests must not get with that credential; `None` where nothing of the kind lies below it.
    pub logins: Option<Box<Logins>>,
    /// Set where those are answered instead, and what they hand out is taken for the credential.
    pub placeholders: Option<Arc<Placeholders>>,
    /// What the client may not send.
    pub guard: Guard,
    /// What happens to cookies.
    pub cookies: Cookies,
    /// Which callers may use it.
    pub allow: Allow,
    /// What counts as a refused credential.
    pub refused: Refused,
    /// How much of a request body is kept for one replay, in bytes.
    pub replay_buffer: usize,
    /// How long each wait may take.
    pub timeouts: Timeouts,
    /// What is told to the upstream about the client.
    pub forwarded: Forwarded,
    /// Whether WebSockets pass.
    pub websocket: bool,
    /// What happens to a stream that outlives its credential.
    pub on_expiry: OnExpiry,
    /// Its series.
    pub metrics: RouteMetrics,
}

/// A credential as one route uses it.
#[derive(Debug)]
pub struct RouteCredential {
    /// The route's hold on the cache.
    pub handle: CredentialHandle,
    /// Whose it is, where each subject has one of its own.
    pub subject: Option<SubjectFrom>,
    /// Where it goes in the request.
    pub injection: Injection,
    /// Where its tokens are bound to a key: the upstream's newest nonce, for the proof that each request carries.
    pub nonce: Option<Arc<Nonce>>,
    /// `false` keeps a caller's own header, where it sent one.
    pub overwrite: bool,
    /// How long a request waits for a credential.
    pub wait: Duration,
    /// What happens to a request for which there is none.
    pub on_failure: OnFailure,
}

impl RouteCredential {
    /// Whether a request with these headers goes out with its own alone: then it does not wait for ours.
    pub fn stays_out_of(&self, headers: &HeaderMap) -> bool {
        !self.overwrite && self.injection.is_complete_with(headers)
    }
}

/// Whose credential a request carries.
#[derive(Clone, Debug)]
pub enum SubjectFrom {
    /// The caller's: the subject of its token, else its name.
    Caller,
    /// That of whom this claim of the caller's token names.
    Claim(Arc<str>),
    /// That of whom this header names.
    Header(HeaderName),
    /// That of whoever tokens in the request tell of.
    Tokens {
        /// Where they stand.
        from: TokensFrom,
        /// Who judges them.
        jwts: Arc<Jwts>,
    },
}

impl SubjectFrom {
    /// The headers that tell of the user: no upstream's business.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        let (one, other) = match self {
            Self::Caller | Self::Claim(_) => (None, None),
            Self::Header(name) => (Some(name), None),
            Self::Tokens { from, .. } => (Some(&from.subject), from.actor.as_ref()),
        };
        one.into_iter().chain(other)
    }
}

/// What the upstream gets as Host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The upstream's own authority.
    Upstream,
    /// What the client sent.
    Client,
    /// A fixed value.
    Fixed(HeaderValue),
}

/// What happens to `Cookie` and `Set-Cookie`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// Neither passes: the default of routes with a credential.
    Drop,
    /// Both pass, Domain and Path rewritten: the default of routes without.
    Pass,
}

/// Which callers may use a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allow {
    /// All whom `callers` knows; everyone where the file has none.
    #[default]
    All,
    /// These, by name.
    Only(Vec<Arc<str>>),
}

impl Allow {
    /// Whether `caller` may use the route.
    pub fn permits(&self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::All, _) => true,
            (Self::Only(names), Caller::Known(identity)) => names.contains(&identity.name),
            (Self::Only(_), Caller::Anonymous) => false,
        }
    }
}

/// What counts as a refused credential, and what then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Statuses that say so; empty for `never`. Default 401.
    pub statuses: Vec<StatusCode>,
    /// gRPC statuses that say so in an answer of its head alone. Default 16.
    pub grpc_statuses: Vec<u8>,
    /// Errors of a `WWW-Authenticate: Bearer error="..."` that say so at any status.
    pub challenge_errors: Vec<String>,
    /// Hand the upstream's own answer on where a replay did not help; so with `never`.
    pub then_pass: bool,
}

impl Default for Refused {
    fn default() -> Self {
        Self {
            statuses: vec![StatusCode::UNAUTHORIZED],
            grpc_statuses: vec![16],
            challenge_errors: Vec::new(),
            then_pass: false,
        }
    }
}

/// What happens to a request for which no credential is to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// An error of ours.
    #[default]
    Deny,
    /// It is forwarded without.
    Pass,
}

/// What happens to an answer that is still on its way when the credential that brought it expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// It goes on.
    #[default]
    Keep,
    /// It is cut; a WebSocket is closed.
    Close,
}

/// What is told to the upstream about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// Nothing; what the client says about itself is dropped.
    #[default]
    Drop,
    /// `X-Forwarded-For`, `-Host` and `-Proto`, ours alone.
    XForwarded,
    /// `Forwarded` (RFC 7239), ours alone.
    Forwarded,
    /// Whatever the client sent, untouched.
    Pass,
}

/// Which Host names a listener answers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    exact: HashSet<String>,
    /// What follows the star of `*.example.com`, dot included.
    suffixes: Vec<String>,
    /// `danger_allow_anyone` of the file.
    pub allow_anyone: bool,
    /// Whether callers must authenticate (then a wider listener takes any Host).
    pub callers: bool,
}

impl Hosts {
    /// Answers to `names`, canonical: those of `hosts:` and of the routes, `*.example.com` included.
    pub fn new(names: impl IntoIterator<Item = String>, allow_anyone: bool, callers: bool) -> Self {
        let (wild, exact): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.starts_with('*'));
        let mut suffixes: Vec<_> = wild.into_iter().map(|name| name[1..].to_owned()).collect();
        suffixes.sort();
        suffixes.dedup();
        Self {
            exact: exact.into_iter().collect(),
            suffixes,
            allow_anyone,
            callers,
        }
    }

    /// Whether `host` is named.
    pub fn knows(&self, host: &str) -> bool {
        self.exact.contains(host)
            || self
                .suffixes
                .iter()
                .any(|suffix| host.len() > suffix.len() && host.ends_with(suffix.as_str()))
    }
}

/// Reports whether `ip` can only be reached from this machine.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
