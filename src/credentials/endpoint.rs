//! One token endpoint: the only place that makes HTTP calls of our own, and the only user of reqwest.
//!
//! Never follows a redirect (it would carry the secret elsewhere), keeps no cookies, asks for no compression, and
//! ignores `HTTP_PROXY` and its kin: the environment must not decide where secrets go.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use reqwest::{Client, ClientBuilder, Url, redirect::Policy, retry};
use zeroize::Zeroizing;

use super::{
    FailureKind, FetchError, Fingerprint, FingerprintBuilder, calls, form::Form,
    tls_version::TlsVersion,
};
use crate::{
    clock::{self, Instant},
    secret::Secret,
};

mod admission;
mod breaker;
mod settings;
mod tls;
mod unreachable;
mod url;

use admission::{Admission, Limit};
pub(super) use admission::{held, views};
pub use settings::EndpointSettings;
pub use tls::ClientIdentity;
pub(super) use tls::trusting;
use unreachable::unreachable;
pub use url::EndpointError;
pub(super) use url::Landing;
use url::{checked, shown, usable};

/// A token endpoint that can be called.
#[derive(Clone)]
pub struct Endpoint {
    client: Client,
    url: Url,
    shown: Arc<str>,
    /// Shared with every other credential that calls the same URL in the same way.
    admission: Arc<Admission>,
    limit: Limit,
    connect_timeout: Duration,
    timeout: Duration,
    plaintext: bool,
    version: Arc<TlsVersion>,
    /// What `Host` says where the URL's own host is the name in the certificate.
    host: Option<HeaderValue>,
    /// Whom to trust and as whom to come, which is part of a source's identity.
    tls: Fingerprint,
}

/// One call to an endpoint's origin.
pub(super) struct Call<'a> {
    /// Scheme, authority and path as they may be shown, where the endpoint's own are others.
    pub(super) shown: Option<&'a Arc<str>>,
    pub(super) method: Method,
    /// Percent-encoded where it has to be, without dot segments.
    pub(super) path: &'a str,
    /// Percent-encoded, without the `?`.
    pub(super) query: Option<&'a str>,
    /// With the body's type; nothing is added but what frames the message.
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Zeroizing<String>>,
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Where its `Location` leads, which is never followed.
    pub(super) landing: Option<Landing>,
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
        let shown = shown(&url);
        let version = Arc::default();
        let builder = builder(settings, &version)?;
        let (client, host, url) = match &settings.server_name {
            None => (builder, None, url),
            Some(name) => {
                let there = tls::elsewhere(&url, name)?;
                let host =
                    HeaderValue::from_str(url.authority()).map_err(|_| EndpointError::Url)?;
                (builder.dns_resolver(there.resolver), Some(host), there.url)
            }
        };
        let tls = settings.tls_fingerprint();
        Ok(Self {
            client: client
                .build()
                .map_err(|error| EndpointError::Tls(error.without_url().to_string()))?,
            version,
            admission: Admission::of(&shown, tls),
            shown,
            url,
            limit: Limit::default(),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            plaintext: settings.danger_plaintext,
            host,
            tls,
        })
    }

    /// Scheme, host and path: what may be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The path of its URL.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    /// The query of its URL.
    pub(super) fn query(&self) -> &str {
        self.url.query().unwrap_or_default()
    }

    /// Another endpoint, called in the same way: with the same trust, certificate and deadlines.
    ///
    /// # Errors
    /// As [`Endpoint::new`].
    pub(super) fn elsewhere(&self, url: &str) -> Result<Self, EndpointError> {
        let url = usable(url, self.plaintext)?;
        let shown = shown(&url);
        Ok(Self {
            admission: Admission::of(&shown, self.tls),
            shown,
            url,
            ..self.clone()
        })
    }

    /// The same endpoint for calls to what is shown as `shown`, with which it shares its fate.
    pub(super) fn calling(self, shown: &Arc<str>) -> Self {
        Self {
            admission: Admission::of(shown, self.tls),
            ..self
        }
    }

    /// Adds what decides where the secrets go; deadlines do not.
    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder
            .text(&self.shown)
            .text(self.url.as_str())
            .fingerprint(self.tls)
    }

    /// How long a connection and a whole call may take.
    pub(super) fn deadlines(&self) -> [Duration; 2] {
        [self.connect_timeout, self.timeout]
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
            shown: None,
            method: Method::POST,
            path: self.url.path(),
            query: given.then(|| all.as_str()),
            headers,
            body: Some(Zeroizing::new(form.as_str().to_owned())),
        })
        .await
    }

    /// What is published there, at most 256 KiB. Whoever asks sees to it that it is not too often.
    ///
    /// # Errors
    /// [`FetchError`], also for any status but 200.
    pub async fn get(&self) -> Result<Vec<u8>, FetchError> {
        let accept = (ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self
            .send_now(Call {
                shown: None,
                method: Method::GET,
                path: self.url.path(),
                query: self.url.query(),
                headers: HeaderMap::from_iter([accept]),
                body: None,
            })
            .await?;
        if answer.status != StatusCode::OK {
            let detail = format!("it answers {}", answer.status.as_u16());
            return Err(FetchError::transient(FailureKind::Failing, detail));
        }
        if answer.body.len() > LARGEST_PUBLISHED {
            return Err(FetchError::malformed("the answer is longer than 256 KiB"));
        }
        Ok(answer.body.to_vec())
    }

    /// Makes any call to this endpoint's origin, when its turn has come: scheme and authority are the file's.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, FetchError> {
        let ticket = self.admission.enter(&self.limit, self.timeout).await?;
        let result = self.send_now(call).await;
        ticket.ended(&result);
        result
    }

    async fn send_now(&self, call: Call<'_>) -> Result<Answer, FetchError> {
        let method = call.method.clone();
        let endpoint = Arc::clone(call.shown.unwrap_or(&self.shown));
        let (sent, wall) = (clock::now(), clock::unix_time());
        self.version.forget();
        let result = clock::within(self.timeout, self.call(call))
            .await
            .unwrap_or_else(|_| {
                Err(FetchError::transient(
                    FailureKind::Timeout,
                    "no answer in time",
                ))
            });
        let (took, answer) = (clock::now() - sent, result.as_ref().ok());
        calls::note(calls::Call {
            endpoint,
            method,
            status: answer.map(|answer| answer.status),
            took,
            clock_ahead_ms: answer.and_then(|it| calls::ahead_ms(&it.headers, wall, took)),
            tls: self.version.get(),
            asked: None,
        });
        result
    }

    async fn call(&self, call: Call<'_>) -> Result<Answer, FetchError> {
        let mut headers = call.headers;
        if let Some(host) = &self.host {
            headers.insert(HOST, host.clone());
        }
        let mut url = self.url.clone();
        url.set_path(call.path);
        url.set_query(call.query);
        let mut request = self.client.request(call.method, url).headers(headers);
        if let Some(body) = call.body {
            // Wiped once it is sent.
            request = request.body(Bytes::from_owner(body));
        }
        let (sent, wall) = (clock::now(), clock::unix_time());
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let landing = Landing::from(response.url(), &headers);
        let announced = response.content_length().unwrap_or_default();
        if announced > LONGEST_ANSWER as u64 {
            return Err(too_long());
        }
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(&error))?
        {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(too_long());
            }
            append(&mut body, &chunk);
        }
        Ok(Answer {
            status,
            headers,
            body,
            landing,
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
fn builder(
    settings: &EndpointSettings,
    version: &Arc<TlsVersion>,
) -> Result<ClientBuilder, EndpointError> {
    let mut tls = tls::client_config(settings)?;
    tls.key_log = Arc::clone(version) as _;
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        // A call an hour finds a pooled connection closed by the other side: each call has its own.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("bearerd/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout);
    Ok(builder)
}

fn too_long() -> FetchError {
    FetchError::malformed("the answer is longer than 1 MiB")
}

/// Grows by hand: the buffer that a Vec leaves behind when it grows is not wiped.
pub(super) fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len() + chunk.len();
    if needed > body.capacity() {
        // Wiped to its capacity, all of it becomes memory: no more than an answer may need.
        let most = needed.max(LONGEST_ANSWER);
        let mut larger = Zeroizing::new(Vec::with_capacity((needed * 2).min(most)));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

const LARGEST_PUBLISHED: usize = 256 * 1024;
const LONGEST_ANSWER: usize = 1024 * 1024;
