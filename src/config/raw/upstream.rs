//! `upstream:` where requests go: a URL, the name of one of `upstreams:`, or the long form.

use std::path::PathBuf;

use super::RawTimeouts;
use crate::{
    config::{
        HttpUrl, SecretSource,
        decode::{Decode, Decoder},
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
