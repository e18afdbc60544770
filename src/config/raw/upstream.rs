//! `upstream:` where requests go: a URL, the name of one of `upstreams:`, or the long form.

use std::{path::PathBuf, time::Duration};

use super::RawTimeouts;
use crate::{
    config::{
        HttpUrl, SecretSource, Sp,
        decode::{Decode, Decoder},
        diagnostic::Diagnostic,
        node::{Kind, Node},
        table::Type,
    },
    config_struct, config_words,
};

config_struct! {
    /// An upstream.
    pub struct RawUpstream = "an upstream", short = "url" {
        /// Its base URL: the matched prefix of a request's path is replaced by this path.
        required url: HttpUrl,
        /// The unix socket at which it listens: connections go there, whatever the host of the URL.
        optional socket: PathBuf,
        /// Where it is, where that is several places: hosts and ports, as in `app-1.internal:8080`. Connections go there; everything
        /// else is of the `url`: Host, path, the name that a certificate must hold.
        optional targets: TargetList,
        /// How requests are shared out among `targets`. Left out, `round_robin`.
        optional balance: Balance,
        /// Checks the `targets` now and then, besides what requests meet with there.
        optional health: RawHealth,
        /// The HTTP proxy that leads to it, `http://host:port`: by CONNECT where the URL is `https://`.
        optional proxy: RawProxy,
        /// Whom to trust there, and as whom to come.
        optional tls: UpstreamTls,
        /// When HTTP/2 is spoken: `auto` for every request, where the upstream offers it (ALPN); `prior_knowledge` always, also in
        /// clear. Left out, gRPC alone gets it, where the upstream offers it by TLS: a small request costs less over HTTP/1.1.
        optional http2: Http2,
        /// How long each wait may take, instead of the defaults.
        optional timeouts: RawTimeouts,
        /// What it gets as Host: `upstream` for its own name, `client` for what the client sent, or a fixed host.
        default("upstream") host_header: HostHeaderSetting,
        /// Allows to send credentials to it in clear (`http://`) although it is not on this machine.
        default("false") danger_plaintext: bool,
    }
}

config_struct! {
    /// How the targets of an upstream are checked: by a GET without any credential, on a connection of its own. An answer of
    /// 2xx or 3xx is a good one.
    pub struct RawHealth = "health" {
        /// What is asked for, as in `/healthz`; the path of the `url` is not put before it.
        required path: String,
        /// From one check of a target to the next.
        default("5s") every: Duration,
        /// How long a check may take.
        default("2s") timeout: Duration,
        /// How many good ones in a row bring a target back.
        default("2") healthy: u64,
        /// How many bad ones in a row take it out.
        default("3") unhealthy: u64,
    }
}

config_struct! {
    /// An HTTP proxy on the way to an upstream.
    pub struct RawProxy = "a proxy", short = "url" {
        /// Where it listens: `http://host:port`.
        required url: HttpUrl,
        /// Who we are to it.
        optional username: String,
        /// Its password for us.
        optional password: SecretSource,
    }
}

config_struct! {
    /// How an upstream's certificate is verified, and which of our own it is shown.
    pub struct UpstreamTls = "tls" {
        /// The certificates (PEM) to trust instead of the platform's.
        optional ca: PathBuf,
        /// A file with our own certificate, and those between it and its authority, as PEM: for an upstream that asks for one, as
        /// tokens bound to a certificate (RFC 8705) make it do.
        optional cert: PathBuf,
        /// The private key of our certificate, as PEM.
        optional key: SecretSource,
        /// The name that the certificate must hold, where it is not the URL's host.
        optional server_name: String,
        /// Accepts any certificate: whoever sits in between reads every credential.
        default("false") danger_accept_invalid_certs: bool,
    }
}

config_words! {
    /// How requests are shared out among targets.
    pub enum Balance {
        /// One after the other.
        RoundRobin = "round_robin",
        /// To the one with the fewest under way.
        LeastRequests = "least_requests",
    }
}

/// The places of an upstream: one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetList(pub Vec<Sp<TargetAddress>>);

impl Decode for TargetList {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let read = Vec::decode(node, decoder)?;
        let written = match &node.kind {
            Kind::List(items) => items.len(),
            _ => 0,
        };
        if written == 0 {
            let error = Diagnostic::error(node.span, "`targets` names none");
            decoder.push(error.hint("name one at least, as in `[app-1.internal:8080]`"));
            return None;
        }
        (read.len() == written).then_some(Self(read))
    }

    fn ty() -> Type {
        Vec::<Sp<TargetAddress>>::ty()
    }
}

/// One of several places of an upstream, and whether it was said to be `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAddress(pub HttpUrl, pub Option<bool>);

impl Decode for TargetAddress {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = decoder.scalar(node, "a host and a port")?.text.clone();
        let (url, https) = match text.contains("://") {
            true => (HttpUrl::parse(&text), true),
            false => (HttpUrl::parse(&format!("http://{text}")), false),
        };
        match url {
            Ok(url) if url.path == "/" && url.query.is_none() => {
                let https = https.then_some(url.https);
                Some(Self(url, https))
            }
            Ok(_) => {
                let error = Diagnostic::error(node.span, "a target has no path");
                decoder.push(
                    error.hint("write its host and port alone; the path is that of the `url`"),
                );
                None
            }
            Err(_) => {
                let error = Diagnostic::error(node.span, "this is no host with a port");
                decoder.push(error.hint(
                    "write it as in `app-1.internal:8080` or `[::1]:8080`; quote the latter",
                ));
                None
            }
        }
    }

    fn ty() -> Type {
        Type::Scalar("host:port", None)
    }
}

config_words! {
    /// When HTTP/2 is spoken to an upstream.
    pub enum Http2 {
        /// Where it offers it.
        Auto = "auto",
        /// Always, without asking.
        PriorKnowledge = "prior_knowledge",
    }
}

/// What an upstream gets as Host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeaderSetting {
    /// Its own name.
    Upstream,
    /// What the client sent.
    Client,
    /// This.
    Fixed(String),
}

impl Decode for HostHeaderSetting {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "`upstream`, `client` or a host")?.text;
        Some(match text.as_str() {
            "upstream" => Self::Upstream,
            "client" => Self::Client,
            _ => Self::Fixed(text.clone()),
        })
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Words(&["upstream", "client"]),
            Type::Scalar("host", None),
        ])
    }
}

/// What a route says about its upstream.
#[derive(Clone, Debug)]
pub enum UpstreamRef {
    /// One of `upstreams:`.
    Name(String),
    /// An upstream of its own.
    Own(Box<RawUpstream>),
}

impl Decode for UpstreamRef {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        if let Kind::Scalar(scalar) = &node.kind
            && !scalar.text.contains([':', '/'])
        {
            return String::decode(node, decoder).map(Self::Name);
        }
        RawUpstream::decode(node, decoder).map(|upstream| Self::Own(Box::new(upstream)))
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Scalar("URL or name of an upstream", None),
            Type::Table(RawUpstream::TABLE),
        ])
    }
}
