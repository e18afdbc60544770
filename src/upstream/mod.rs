//! The way to the upstreams: what is known of one, how it is dialled, the pools of its connections.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, uri::Authority};
use rustls_pki_types::ServerName;
use tokio::runtime::Handle;

use crate::secret::Secret;
use resolve::Addresses;
use standing::Standing;

mod allowance;
mod bell;
mod connect;
mod dial;
mod error;
mod health;
mod heard;
mod http2;
mod metered;
mod mux;
mod outgoing;
mod pool;
mod proxy;
mod resolve;
mod response;
mod send;
mod standing;
mod targets;
mod tls;
mod tunnel;
pub mod websocket;

pub use error::SendError;
pub use health::HealthConfig;
pub use outgoing::OutgoingBody;
pub use pool::Pool;
pub use proxy::ProxyConfig;
pub use response::{Answer, ResponseBody, ResponseBodyError};
pub use send::{Pools, Terms, Timeouts};
pub use standing::{TargetState, TargetView};
pub use targets::{Balance, Chosen, MAX_TARGETS, Targets, Tried};
pub use tls::TlsError;
pub use tunnel::{Carried, Tunnel};

/// What the file says about one upstream. Equal values share their connections, also across reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamConfig {
    /// Whether connections are encrypted.
    pub scheme: Scheme,
    /// Host name or IP literal (IPv6 without brackets).
    pub host: String,
    /// Port, always given.
    pub port: u16,
    /// The unix socket at which it listens, instead of the host's addresses.
    pub socket: Option<PathBuf>,
    /// Where connections go instead, as host and port, where the upstream is at several places.
    pub target: Option<(String, u16)>,
    /// How that is checked.
    pub health: Option<HealthConfig>,
    /// What stands between here and there.
    pub proxy: Option<ProxyConfig>,
    /// Whom to trust, and as whom to come.
    pub tls: TlsConfig,
    /// When HTTP/2 is spoken.
    pub http2: Http2,
    /// Bounds of each worker's pool.
    pub pool: PoolConfig,
}

impl UpstreamConfig {
    /// Where the file says nothing else.
    pub fn new(scheme: Scheme, host: impl Into<String>, port: u16) -> Self {
        Self {
            scheme,
            host: host.into(),
            port,
            socket: None,
            target: None,
            health: None,
            proxy: None,
            tls: TlsConfig::default(),
            http2: Http2::default(),
            pool: PoolConfig::default(),
        }
    }
}

/// When an upstream is spoken to in HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Http2 {
    /// Where a request needs it, which is gRPC, and the upstream offers it: a small request costs less over HTTP/1.1.
    #[default]
    AsNeeded,
    /// Wherever the upstream offers it by ALPN.
    Auto,
    /// Always, without asking.
    PriorKnowledge,
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// TLS 1.2 or 1.3.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// How an upstream's certificate is verified, and which of our own it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsConfig {
    /// PEM text of the certificates to trust instead of the platform's.
    pub ca_pem: Option<Vec<u8>>,
    /// The name that the certificate must hold, where it is not the host of the URL.
    pub server_name: Option<String>,
    /// Our own certificate, for an upstream that asks for one.
    pub identity: Option<ClientIdentity>,
    /// Accepts any certificate.
    pub danger_accept_invalid_certs: bool,
}

/// A client certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, and those between it and its authority, as PEM.
    pub certificates: Vec<u8>,
    /// Its private key, as PEM.
    pub key: Secret,
}

/// By the certificates: a secret goes into no hash that has no need of it.
impl Hash for ClientIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.certificates.hash(state);
    }
}

/// Bounds of one worker's pool to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolConfig {
    /// Connections open at once.
    pub max_connections: usize,
    /// Requests that wait for one.
    pub max_waiting: usize,
    /// An idle connection is closed after this long; less than the upstream's own limit.
    pub idle_timeout: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_waiting: 16_384,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// An upstream that can be dialled. Immutable, shared by all workers.
pub struct Upstream {
    id: usize,
    config: UpstreamConfig,
    authority: HeaderValue,
    /// The same, as HTTP/2 wants it.
    uri_authority: Option<Authority>,
    server_name: Option<ServerName<'static>>,
    connector: Option<tokio_rustls::TlsConnector>,
    http2_connector: Option<tokio_rustls::TlsConnector>,
    addresses: Addresses,
    standing: Standing,
    /// How many workers have connections to it.
    pools: AtomicUsize,
}

impl Upstream {
    /// Index of this upstream in each worker's table of pools.
    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// What the file says about it.
    pub fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// `host` or `host:port` as the Host field wants it: without the scheme's default port.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Scheme and authority, as a URL begins with them.
    pub fn origin(&self) -> String {
        let authority = self.authority.to_str().unwrap_or_default();
        format!("{}://{authority}", self.config.scheme.as_str())
    }

    /// Whom to connect to, unless it has a socket: itself, or the proxy before it.
    async fn look_up(&self) -> io::Result<Arc<[SocketAddr]>> {
        let (host, port) = match (&self.config.proxy, &self.config.target) {
            (Some(proxy), _) => (&proxy.host, proxy.port),
            (None, Some((host, port))) => (host, *port),
            (None, None) => (&self.config.host, self.config.port),
        };
        self.addresses.of(host, port).await
    }

    /// Where connections go, as `host:port`.
    pub fn place(&self) -> String {
        let (host, port) = match &self.config.target {
            Some((host, port)) => (host, *port),
            None => (&self.config.host, self.config.port),
        };
        format!("{}:{port}", bracketed(host))
    }

    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn uri_authority(&self) -> Option<&Authority> {
        self.uri_authority.as_ref()
    }

    /// As [`Self::tls`], offering HTTP/2.
    pub(crate) fn tls_for_http2(
        &self,
    ) -> Option<(&tokio_rustls::TlsConnector, &ServerName<'static>)> {
        self.http2_connector.as_ref().zip(self.server_name.as_ref())
    }

    pub(crate) fn tls(&self) -> Option<(&tokio_rustls::TlsConnector, &ServerName<'static>)> {
        self.connector.as_ref().zip(self.server_name.as_ref())
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish()
    }
}

/// Why an upstream of the file can't be dialled.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The host is neither a name nor an address.
    #[error("`{0}` is not a host name or an IP address")]
    Host(String),
    /// The TLS settings are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// All upstreams in use: the same configuration is the same upstream.
#[derive(Debug, Default)]
pub struct Upstreams {
    known: Mutex<HashMap<UpstreamConfig, Weak<Upstream>>>,
    next_id: AtomicUsize,
    /// Where their health is checked; nowhere without.
    control: Option<Handle>,
}

impl Upstreams {
    /// None yet; their health is checked on `control`.
    pub fn checked_on(control: Handle) -> Self {
        Self {
            control: Some(control),
            ..Self::default()
        }
    }

    /// The upstream of `config`, made if it is new.
    ///
    /// # Errors
    /// [`UpstreamError`] where the host or the TLS settings are unusable.
    pub fn intern(&self, config: UpstreamConfig) -> Result<Arc<Upstream>, UpstreamError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = known.get(&config).and_then(Weak::upgrade) {
            return Ok(upstream);
        }
        known.retain(|_, upstream| upstream.strong_count() > 0);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let upstream = Arc::new(build(id, config.clone())?);
        if let (Some(health), Some(control)) = (&config.health, &self.control) {
            health::watch(&upstream, health.clone(), control);
        }
        known.insert(config, Arc::downgrade(&upstream));
        Ok(upstream)
    }
}

/// A host as it stands before a port (RFC 3986, 3.2.2).
fn bracketed(host: &str) -> Cow<'_, str> {
    match host.contains(':') {
        true => format!("[{host}]").into(),
        false => host.into(),
    }
}

fn build(id: usize, config: UpstreamConfig) -> Result<Upstream, UpstreamError> {
    let bad_host = || UpstreamError::Host(config.host.clone());
    let bracketed = bracketed(&config.host);
    let default_port = match config.scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let authority = if config.port == default_port {
        HeaderValue::try_from(&*bracketed)
    } else {
        HeaderValue::try_from(format!("{bracketed}:{}", config.port))
    };
    let authority = authority.map_err(|_| bad_host())?;
    let connector = |protocols: &[&[u8]]| match config.scheme {
        Scheme::Http => Ok(None),
        Scheme::Https => tls::connector(&config.tls, protocols).map(Some),
    };
    let http2_offer: &[&[u8]] = match config.http2 {
        Http2::PriorKnowledge => &[b"h2"],
        Http2::Auto | Http2::AsNeeded => &[b"h2", b"http/1.1"],
    };
    let (connector, http2_connector) = (connector(&[b"http/1.1"])?, connector(http2_offer)?);
    let server_name = match config.scheme {
        Scheme::Http => None,
        Scheme::Https => {
            let name = config.tls.server_name.as_ref().unwrap_or(&config.host);
            Some(ServerName::try_from(name.clone()).map_err(|_| bad_host())?)
        }
    };
    Ok(Upstream {
        id,
        uri_authority: Authority::try_from(authority.as_bytes()).ok(),
        config,
        authority,
        server_name,
        connector,
        http2_connector,
        addresses: Addresses::default(),
        standing: Standing::default(),
        pools: AtomicUsize::new(0),
    })
}
