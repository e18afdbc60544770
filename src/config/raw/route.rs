//! `routes:` which requests go where, with what.

use std::time::Duration;

use http::{Method, StatusCode};

use super::{EmulateSetting, Inject, SubjectSetting, UpstreamRef};
use crate::{
    config::{
        decode::{Decode, Decoder},
        http_scalars::GrpcStatus,
        node::{Kind, Node},
        scalars::{ByteSize, Named, OneOrList},
        table::Type,
    },
    config_struct, config_words,
};

config_struct! {
    /// Which requests go where, with what.
    pub struct RawRoute = "a route" {
        /// Its name in logs, metrics and answers; by default what it matches.
        optional name: String,
        /// Which requests it is for.
        required r#match as "match": Match,
        /// Where they go: a URL, the name of one of `upstreams`, or a mapping. Required unless `defaults` has it.
        optional upstream: UpstreamRef,
        /// Which of `credentials` they carry; none where left out.
        optional credential: String,
        /// Whose credential it is, where each user has one: `caller`, a claim of its token, or whom a header names.
        optional subject: SubjectSetting,
        /// Where the credential goes, instead of the credential's own `inject`.
        optional inject: OneOrList<Inject>,
        /// `false` keeps a caller's own header instead of ours, where it sends one.
        optional overwrite: bool,
        /// More that the client may not send.
        optional strip: StripList,
        /// `false` keeps the matched prefix: the upstream's base path is put before the whole path.
        optional strip_prefix: bool,
        /// Whether `Cookie` and `Set-Cookie` pass: `drop` is the default of routes with a credential, `pass` of others.
        optional cookies: Cookies,
        /// Which of `callers` may use it; by default all of them.
        optional allow: OneOrList<String>,
        /// What counts as a refused credential, and what then.
        optional refused: RefusedSetting,
        /// Whether the vendor's logins are answered here, with a placeholder for the credential: `true`, or how. By default
        /// they are refused.
        optional emulate: EmulateSetting,
        /// What happens to a request for which no credential is to be had.
        optional on_failure: OnFailure,
        /// How long a request waits for a credential.
        optional wait: Duration,
        /// How long each wait of a request may take.
        optional timeouts: RawTimeouts,
        /// How much of a request's body is kept for one replay after a refusal.
        optional replay_buffer: ByteSize,
        /// What the upstream is told about the client.
        optional forwarded: Forwarded,
        /// Which protocol upgrades are passed on: `websocket` where nothing else is said, or `none`.
        optional upgrade: Upgrade,
        /// What happens to a WebSocket, or any other answer that is still on its way, when the credential that it was asked for
        /// with expires: `keep` where nothing else is said.
        optional on_expiry: OnExpiry,
        /// Allows to send the credential in clear (`http://`) to an upstream that is not on this machine.
        default("false") danger_plaintext: bool,
    }
}

config_struct! {
    /// Which requests a route is for: all that is given here must hold.
    pub struct Match = "match", short = "path" {
        /// The host of the request, `example.com` or `*.example.com`; any where left out.
        optional host: String,
        /// A prefix where it ends in `/`, else exactly this path.
        optional path: String,
        /// A regular expression that the whole path matches, instead of `path`.
        optional path_regex: String,
        /// The methods; any where left out.
        optional methods: OneOrList<Method>,
        /// Headers that must be there, and their values.
        optional headers: Named<TextMatch>,
        /// Query parameters that must be there, and their values.
        optional query: Named<TextMatch>,
    }
}

/// What a header's or query parameter's value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// This text.
    Exact(String),
    /// Matched as a whole.
    Regex(String),
    /// Anything.
    Present,
}

config_struct! {
    /// What a value must be: exactly one of these.
    struct TextMatchLong = "a value to match" {
        /// This text.
        optional exact: String,
        /// A regular expression that the whole value matches.
        optional regex: String,
        /// `true`: anything, even nothing.
        optional present: bool,
    }
}

impl Decode for TextMatch {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            return String::decode(node, decoder).map(Self::Exact);
        }
        let long = TextMatchLong::decode(node, decoder)?;
        if !long.failed.is_empty() {
            return None;
        }
        match (long.exact, long.regex, long.present.map(|p| p.value)) {
            (Some(exact), None, None) => Some(Self::Exact(exact.value)),
            (None, Some(regex), None) => Some(Self::Regex(regex.value)),
            (None, None, Some(true)) => Some(Self::Present),
            _ => decoder.fail(
                node.span,
                "expected exactly one of `exact`, `regex` and `present: true`",
            ),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Scalar("text", None),
            Type::Table(TextMatchLong::TABLE),
        ])
    }
}

config_struct! {
    /// What the client may not send.
    pub struct StripList = "strip" {
        /// Names of headers.
        optional headers: OneOrList<http::HeaderName>,
        /// Names of query parameters.
        optional query: OneOrList<String>,
    }
}

config_struct! {
    /// How long each wait of a request may take.
    pub struct RawTimeouts = "timeouts" {
        /// For a connection to the upstream, TLS included. 5s where nothing else is said.
        optional connect: Duration,
        /// For the head of the upstream's response. 60s where nothing else is said.
        optional response_head: Duration,
        /// Between two pieces of a body, either way. 60s where nothing else is said.
        optional idle_body: Duration,
        /// Between two pieces of a WebSocket or a gRPC call, either way; of the latter also before its head. 5m where nothing else is said.
        optional idle_stream: Duration,
    }
}

/// `refused:` the word `never`, or what counts.
#[derive(Clone, Debug)]
pub enum RefusedSetting {
    /// Nothing does.
    Never,
    /// This does.
    When(RawRefused),
}

config_struct! {
    /// What counts as a refused credential, and what then.
    pub struct RawRefused = "refused", short = "status" {
        /// Statuses of the upstream's answer that count besides 401.
        optional status: OneOrList<StatusCode>,
        /// Errors in `WWW-Authenticate: Bearer error="..."` that count at any status.
        optional error: OneOrList<String>,
        /// gRPC statuses that count besides 16 (unauthenticated), in an answer that consists of its head alone.
        optional grpc_status: OneOrList<GrpcStatus>,
        /// What happens when the replay is refused as well.
        default("deny") then: RefusedThen,
    }
}

impl Decode for RefusedSetting {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.text == "never" => {
                decoder.marks.show(node.span);
                Some(Self::Never)
            }
            _ => RawRefused::decode(node, decoder).map(Self::When),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Words(&["never"]),
            Type::Table(RawRefused::TABLE),
        ])
    }
}

config_words! {
    /// What happens when the replay is refused as well.
    pub enum RefusedThen {
        /// An error of ours, `credential_refused`.
        Deny = "deny",
        /// The upstream's own answer.
        Pass = "pass",
    }
}

config_words! {
    /// What happens to a request for which no credential is to be had.
    pub enum OnFailure {
        /// An error of ours.
        Deny = "deny",
        /// It is forwarded without.
        Pass = "pass",
    }
}

config_words! {
    /// Whether cookies pass.
    pub enum Cookies {
        /// Neither `Cookie` nor `Set-Cookie`.
        Drop = "drop",
        /// Both, with Domain and Path rewritten.
        Pass = "pass",
    }
}

config_words! {
    /// What the upstream is told about the client.
    pub enum Forwarded {
        /// Nothing; what the client says about itself is dropped.
        Drop = "drop",
        /// `X-Forwarded-For`, `-Host` and `-Proto`, ours alone.
        XForwarded = "x-forwarded",
        /// `Forwarded` (RFC 7239), ours alone.
        Forwarded = "forwarded",
        /// Whatever the client sent, untouched.
        Pass = "pass",
    }
}

config_words! {
    /// Which protocol upgrades a route allows.
    pub enum Upgrade {
        /// WebSocket (RFC 6455), which is the only one there is.
        Websocket = "websocket",
        /// None.
        None = "none",
    }
}

config_words! {
    /// What happens to a stream that outlives its credential.
    pub enum OnExpiry {
        /// It goes on.
        Keep = "keep",
        /// It is cut; a WebSocket is closed with status 1008.
        Close = "close",
    }
}
