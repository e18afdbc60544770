//! `listen:` where clients connect, and what they speak there.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;

use crate::{
    config::{
        SecretSource, Sp,
        decode::{Decode, Decoder},
        diagnostic::Diagnostic,
        node::Node,
        scalars::OneOrList,
        table::Type,
    },
    config_struct, config_words,
};

config_struct! {
    /// Where clients connect.
    pub struct RawListener = "a listener", short = "address" {
        /// An address and a port, as in `127.0.0.1:8080`, a unix socket, as in `unix:/run/bearerd.sock`, or what systemd
        /// has opened, by its name (`FileDescriptorName=`, else the unit's), as in `systemd:bearerd.socket`.
        required address: ListenAddress,
        /// Makes it speak TLS: HTTP/2 and HTTP/1.1, as client and proxy agree (ALPN).
        optional tls: ListenerTls,
        /// Has load balancers say who the client is.
        optional proxy_protocol: RawProxyProtocol,
        /// Who may connect to a unix socket, as its permissions in octal: its owner alone where nothing else is said.
        optional mode: SocketMode,
    }
}

config_struct! {
    /// The PROXY protocol, versions 1 and 2.
    pub struct RawProxyProtocol = "proxy_protocol" {
        /// The balancers' networks, as in `10.0.0.0/8`: whoever connects from there begins with a header, or is not
        /// served. From elsewhere nobody is believed.
        required from: OneOrList<Network>,
    }
}

config_struct! {
    /// TLS of a listener. Its files are followed: what changes is used for the next connections, what is unusable is not.
    pub struct ListenerTls = "the tls of a listener" {
        /// A file with the certificate, and those between it and its authority, as PEM.
        required cert: PathBuf,
        /// The private key of the certificate, as PEM.
        required key: SecretSource,
        /// More certificates, each for the hosts in it: a client gets the one of the host that it asks for.
        optional certificates: Vec<Sp<RawCertificate>>,
        /// The authorities (PEM) whose certificates clients may show, to be `callers` with `client_certificate`.
        optional client_ca: PathBuf,
        /// Refuses clients that show no certificate, whatever else they can show.
        default("false") client_required: bool,
        /// The oldest version that is spoken.
        default("1.2") min_version: TlsVersion,
    }
}

config_struct! {
    /// A certificate and its key.
    pub struct RawCertificate = "a certificate" {
        /// A file with the certificate, and those between it and its authority, as PEM.
        required cert: PathBuf,
        /// Its private key, as PEM.
        required key: SecretSource,
    }
}

config_words! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// And 1.3.
        Tls12 = "1.2",
        /// Alone.
        Tls13 = "1.3",
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
    /// The sockets that systemd passes by this name.
    Systemd(String),
}

impl ListenAddress {
    /// The address and the port, where it has any.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Systemd(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

impl Decode for ListenAddress {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "an address to listen on")?.text;
        if let Some(name) = text.strip_prefix("systemd:") {
            if is_descriptor_name(name) {
                return Some(Self::Systemd(name.to_owned()));
            }
            let error = Diagnostic::error(node.span, "systemd gives no socket such a name");
            decoder.push(error.hint(
                "write what its unit says as `FileDescriptorName=`, else the unit's own name, as in `systemd:bearerd.socket`",
            ));
            return None;
        }
        let Some(path) = text.strip_prefix("unix:") else {
            return SocketAddr::decode(node, decoder).map(Self::Tcp);
        };
        if !path.starts_with('/') || path.len() > LONGEST_PATH {
            let error = Diagnostic::error(node.span, "this is no path of a unix socket");
            decoder.push(error.hint(format!(
                "write it from the root, at most {LONGEST_PATH} bytes, as in `unix:/run/bearerd.sock`"
            )));
            return None;
        }
        Some(Self::Unix(path.into()))
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            SocketAddr::ty(),
            Type::Scalar("`unix:` and a path", None),
            Type::Scalar("`systemd:` and a name", None),
        ])
    }
}

/// As sd_is_valid_fdname has it.
fn is_descriptor_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name
            .bytes()
            .all(|it| matches!(it, b' '..=b'~') && it != b':')
}

/// Addresses with one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Decode for Network {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "a network")?.text;
        let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network = text.parse::<IpNet>().ok().or_else(one);
        // Bits behind the prefix are a slip of somebody who meant something else.
        if let Some(network) = network.filter(|network| network.network() == network.addr()) {
            return Some(Self(network));
        }
        let error = Diagnostic::error(node.span, "this is no network");
        decoder.push(
            error.hint("write its first address and the length of its prefix, as in `10.0.0.0/8`"),
        );
        None
    }

    fn ty() -> Type {
        Type::Scalar("network", None)
    }
}

/// Permissions of a unix socket, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(pub u32);

impl Decode for SocketMode {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "permissions in octal")?.text;
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(mode @ 0..=0o777) if digits.len() >= 3 => Some(Self(mode)),
            _ => {
                let error = Diagnostic::error(node.span, "these are no permissions");
                decoder.push(error.hint("write them in octal, as in `\"0660\"`"));
                None
            }
        }
    }

    fn ty() -> Type {
        Type::Scalar("permissions in octal", None)
    }
}

/// Bytes of a unix socket's path: what the kernel takes, less our process id while it is made.
const LONGEST_PATH: usize = 96;
