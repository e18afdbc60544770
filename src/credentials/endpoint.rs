//! One token endpoint: the only place that makes HTTP calls of our own, and the only user of reqwest.
//!
//! Never follows a redirect (it would carry the secret elsewhere), keeps no cookies, asks for no compression, and
//! ignores `HTTP_PROXY` and its kin: the environment must not decide where secrets go.

use std::{fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use reqwest::{Client, Url, redirect::Policy, retry};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    FailureKind, FetchError, FingerprintBuilder, calls, form::Form, tls_version::TlsVersion,
};
use crate::{
    clock::{self, Instant},
    secret::Secret,
};

/// A token endpoint that can be called.
#[derive(Clone)]
pub struct Endpoint {
    client: Client,
    url: Url,
    shown: Arc<str>,
    calls: Arc<Semaphore>,
    timeout: Duration,
    tls: Arc<TlsVersion>,
    /// Decides whom to trust, so it is part of a source's identity.
    ca: Option<Arc<[u8]>>,
}

/// What an endpoint needs to be called.
#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// Where it is; a query is kept.
    pub url: String,
    /// The only authorities to trust, as PEM; the platform's when absent.
    pub ca: Option<Vec<u8>>,
    /// For the connection with its TLS handshake.
    pub connect_timeout: Duration,
    /// For the whole call.
    pub timeout: Duration,
    /// Allows `http://` beyond loopback.
    pub danger_plaintext: bool,
}

impl EndpointSettings {
    /// The defaults: the platform's authorities, 5 s to connect, 10 s for all.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            danger_plaintext: false,
        }
    }
}

/// Settings that can't make an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL of a web server.
    #[error("not an http or https URL")]
    Url,
    /// A user name or password before the host.
    #[error("a token endpoint's URL can't hold a user name or password: use client_auth")]
    UserInfo,
    /// RFC 6749 3.2: no fragment.
    #[error("a token endpoint's URL can't have a fragment")]
    Fragment,
    /// The secret would be readable on the way.
    #[error("plain http to a token endpoint beyond loopback: use https or danger_plaintext")]
    Plaintext,
    /// No certificate in the PEM text.
    #[error("no usable certificate in the CA file")]
    Ca,
    /// The TLS or HTTP library refuses.
    #[error("no TLS client: {0}")]
    Tls(String),
}

/// One call to an endpoint's origin.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Percent-encoded where it has to be, without dot segments.
    pub(super) path: &'a str,
    /// Percent-encoded, without the `?`.
    pub(super) query: Option<&'a str>,
    /// With the body's type; nothing is added but what frames the message.
    pub(super) headers: HeaderMap,
    pub(super) body: Option<&'a str>,
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// When the request was sent, on both clocks.
    pub(super) sent: Instant,
    pub(super) wall: Duration,
}

impl Endpoint {
    /// Checks the settings; makes no call.
    ///
    /// # Errors
    /// [`EndpointError`] names the setting.
    pub fn new(settings: &EndpointSettings) -> Result<Self, EndpointError> {
        let url = checked(settings)?;
        let tls = Arc::default();
        let client = client(settings, &tls)?;
        Ok(Self {
            client,
            tls,
            shown: shown(&url),
            url,
            calls: Arc::new(Semaphore::new(MOST_CALLS)),
            timeout: settings.timeout,
            ca: settings.ca.as_deref().map(Into::into),
        })
    }

    /// Scheme, host and path: what may be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Adds what decides where the secrets go; deadlines do not.
    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder
            .text(self.url.as_str())
            .option(self.ca.as_deref(), FingerprintBuilder::bytes)
    }

    /// Posts a form.
    pub(super) async fn post(
        &self,
        query: &[(String, Secret)],
        mut headers: HeaderMap,
        form: &Form,
    ) -> Result<Answer, FetchError> {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        let mut all = Form::after(self.url.query().unwrap_or_default());
        for (name, value) in query {
            all.add(name, value.expose());
        }
        let given = self.url.query().is_some() || !query.is_empty();
        self.send(Call {
            method: Method::POST,
            path: self.url.path(),
            query: given.then(|| all.as_str()),
            headers,
            body: Some(form.as_str()),
        })
        .await
    }

    /// Makes any call to this endpoint's origin: scheme and authority are the file's.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, FetchError> {
        let method = call.method.clone();
        let (sent, wall) = (clock::now(), clock::unix_time());
        self.tls.forget();
        let result = tokio::time::timeout(self.timeout, self.call(call))
            .await
            .unwrap_or_else(|_| {
                Err(FetchError::transient(
                    FailureKind::Timeout,
                    "no answer in time",
                ))
            });
        let (took, answer) = (clock::now() - sent, result.as_ref().ok());
        calls::note(calls::Call {
            endpoint: Arc::clone(&self.shown),
            method,
            status: answer.map(|answer| answer.status),
            took,
            clock_ahead_ms: answer.and_then(|it| calls::ahead_ms(&it.headers, wall, took)),
            tls: self.tls.get(),
            asked: None,
        });
        result
    }

    async fn call(&self, call: Call<'_>) -> Result<Answer, FetchError> {
        let _permit = self.calls.acquire().await;
        let mut url = self.url.clone();
        url.set_path(call.path);
        url.set_query(call.query);
        let mut request = self.client.request(call.method, url).headers(call.headers);
        if let Some(body) = call.body {
            request = request.body(body.to_owned());
        }
        let (sent, wall) = (clock::now(), clock::unix_time());
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(&error))?
        {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(FetchError::malformed("the answer is longer than 1 MiB"));
            }
            append(&mut body, &chunk);
        }
        Ok(Answer {
            status,
            headers,
            body,
            sent,
            wall,
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.shown).finish()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that makes HTTP clients"
)]
fn client(settings: &EndpointSettings, version: &Arc<TlsVersion>) -> Result<Client, EndpointError> {
    let mut tls = tls(settings.ca.as_deref())?;
    tls.key_log = Arc::clone(version) as _;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        // A call an hour finds a pooled connection closed by the other side: each call has its own.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("bearerd/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .build()
        .map_err(|error| EndpointError::Tls(error.without_url().to_string()))
}

fn checked(settings: &EndpointSettings) -> Result<Url, EndpointError> {
    let url = Url::parse(&settings.url).map_err(|_| EndpointError::Url)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(EndpointError::Url);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(EndpointError::Fragment);
    }
    if url.scheme() == "http" && !settings.danger_plaintext && !is_loopback(&url) {
        return Err(EndpointError::Plaintext);
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || literal
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn shown(url: &Url) -> Arc<str> {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.as_str().into()
}

fn tls(ca: Option<&[u8]>) -> Result<ClientConfig, EndpointError> {
    // Named, not taken from the process: a second provider in the tree must not change this.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| EndpointError::Tls(error.to_string()))?;
    let mut config = match ca {
        None => builder
            .with_platform_verifier()
            .map_err(|error| EndpointError::Tls(error.to_string()))?
            .with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots
                    .add(certificate.map_err(|_| EndpointError::Ca)?)
                    .map_err(|_| EndpointError::Ca)?;
            }
            if roots.is_empty() {
                return Err(EndpointError::Ca);
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What kept an answer away; reqwest's own text is not used, since it may quote what was sent.
fn unreachable(error: &reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::transient(FailureKind::Timeout, "no connection in time");
    }
    let detail = match root(error) {
        Root::Tls => "its certificate is not trusted, or TLS is refused",
        Root::Refused => "it refuses connections",
        Root::Other if error.is_connect() => "no connection to it",
        Root::Other => "it closed the connection before its answer was complete",
    };
    FetchError::transient(FailureKind::Unreachable, detail)
}

enum Root {
    Tls,
    Refused,
    Other,
}

fn root(error: &(dyn std::error::Error + 'static)) -> Root {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return Root::Tls;
        }
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => return Root::Refused,
            // What it wraps, which its own `source` leaves out.
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    Root::Other
}

/// Grows by hand: the buffer that a Vec leaves behind when it grows is not wiped.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len() + chunk.len();
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed * 2));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

/// Calls to one endpoint at the same time.
const MOST_CALLS: usize = 8;
const LONGEST_ANSWER: usize = 1024 * 1024;
