//! Finds the endpoints of an authorization server by its issuer's document (OpenID Connect Discovery 1.0, RFC 8414).

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header::ACCEPT};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    Endpoint, EndpointError, FetchError, FingerprintBuilder,
    endpoint::{Answer, Call},
};
use crate::clock::{self, Instant};

/// An issuer, and what its document says once it was read.
pub struct Discovery {
    /// As the document must name itself.
    issuer: String,
    /// Makes calls to the issuer's origin, and lends its client to the endpoint that is found.
    origin: Endpoint,
    /// Whether a client certificate shows who we are, for which there may be endpoints of their own.
    mtls: bool,
    known: Mutex<Option<Known>>,
    /// Token endpoints as they may be shown, in the order in which they were found.
    shown: [OnceLock<Arc<str>>; MOST_SHOWN],
}

#[derive(Clone)]
struct Known {
    endpoint: Endpoint,
    /// Where tokens are revoked (RFC 7009), where it says so.
    revocation: Option<Endpoint>,
    until: Instant,
}

/// A token endpoint that was found.
pub(super) struct Found {
    pub(super) endpoint: Endpoint,
    /// Whether the document was read some time ago.
    pub(super) cached: bool,
}

impl Discovery {
    /// `origin` is an endpoint whose URL is the issuer.
    ///
    /// # Errors
    /// [`EndpointError::Query`] where the issuer has a query.
    pub fn new(issuer: String, origin: Endpoint, mtls: bool) -> Result<Self, EndpointError> {
        if issuer.contains('?') {
            return Err(EndpointError::Query);
        }
        Ok(Self {
            issuer,
            origin,
            mtls,
            known: Mutex::default(),
            shown: Default::default(),
        })
    }

    /// The token endpoint once it is known, and the issuer before.
    pub(super) fn shown(&self) -> &str {
        let found = self.shown.iter().rev().find_map(OnceLock::get);
        found.map_or(self.origin.shown(), |url| url)
    }

    pub(super) fn deadlines(&self) -> [Duration; 2] {
        self.origin.deadlines()
    }

    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        self.origin
            .fingerprint(builder.text("issuer").text(&self.issuer))
            .number(u64::from(self.mtls))
    }

    /// The token endpoint; `again` reads the document anew although it is known.
    ///
    /// # Errors
    /// Where there is no document, or none that can be used.
    pub(super) async fn find(&self, again: bool) -> Result<Found, FetchError> {
        // Held while the document is fetched: those who come meanwhile need the same one.
        let mut known = self.known.lock().await;
        let now = clock::now();
        if let Some(known) = known.as_ref().filter(|known| !again && now < known.until) {
            return Ok(Found {
                endpoint: known.endpoint.clone(),
                cached: true,
            });
        }
        match (self.read().await, known.as_mut()) {
            (Ok((endpoint, revocation)), _) => {
                self.show(&endpoint);
                *known = Some(Known {
                    endpoint: endpoint.clone(),
                    revocation,
                    until: now + LIFE,
                });
                Ok(Found {
                    endpoint,
                    cached: false,
                })
            }
            // What served for an hour serves a while longer.
            (Err(_), Some(old)) if !again => {
                old.until = now + PAUSE;
                Ok(Found {
                    endpoint: old.endpoint.clone(),
                    cached: true,
                })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Where tokens are revoked.
    ///
    /// # Errors
    /// Where there is no document, or it names no such endpoint.
    pub(super) async fn revocation(&self) -> Result<Endpoint, FetchError> {
        self.find(false).await?;
        let known = self.known.lock().await;
        let named = known.as_ref().and_then(|known| known.revocation.clone());
        named.ok_or_else(|| {
            FetchError::malformed("its document names no usable revocation_endpoint")
        })
    }

    fn show(&self, endpoint: &Endpoint) {
        let url = endpoint.shown();
        if self.shown() != url {
            // Those beyond the last place are used all the same.
            let free = self.shown.iter().find(|place| place.get().is_none());
            let _ = free.map(|place| place.set(url.into()));
        }
    }

    /// The token endpoint, and where tokens are revoked.
    async fn read(&self) -> Result<(Endpoint, Option<Endpoint>), FetchError> {
        let path = self.origin.path().trim_end_matches('/');
        let places = [
            format!("{path}/.well-known/openid-configuration"),
            format!("/.well-known/oauth-authorization-server{path}"),
        ];
        let mut failed = Vec::new();
        for place in &places {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            let call = Call {
                shown: None,
                method: Method::GET,
                path: place,
                query: None,
                headers,
                body: None,
            };
            let answer = self.origin.send(call).await;
            let answer = answer.map_err(|error| error.at(place))?;
            if answer.status == StatusCode::OK {
                return self.endpoints(&answer).map_err(|e| e.at(place));
            }
            failed.push((place, answer));
        }
        let said: Vec<_> = failed
            .iter()
            .map(|(place, answer)| format!("{place} answered {}", answer.status.as_u16()))
            .collect();
        // A server in trouble is worth asking again soon, one that has no document is not.
        let (_, worst) = failed
            .into_iter()
            .max_by_key(|(_, it)| it.status)
            .expect("two were asked");
        Err(super::token_response::refused(
            worst.status,
            &worst.headers,
            worst.wall,
            said.join(", "),
        ))
    }

    fn endpoints(&self, answer: &Answer) -> Result<(Endpoint, Option<Endpoint>), FetchError> {
        if answer.body.len() > LONGEST_DOCUMENT {
            return Err(FetchError::malformed("the document is longer than 256 KiB"));
        }
        let document: Document = serde_json::from_slice(&answer.body)
            .map_err(|_| FetchError::malformed("this is no document of an issuer"))?;
        // RFC 8414 3.3: else one issuer could speak for another.
        if document.issuer != self.issuer {
            return Err(FetchError::malformed("the document is of another issuer"));
        }
        let special = document.mtls_endpoint_aliases.filter(|_| self.mtls);
        let special = special.unwrap_or_default();
        let url = special
            .token_endpoint
            .or(document.token_endpoint)
            .ok_or_else(|| FetchError::malformed("the document names no token_endpoint"))?;
        let tokens = self.origin.elsewhere(&url).map_err(|error| {
            let what = match error {
                EndpointError::Plaintext => "plain http beyond loopback",
                _ => "no URL of a token endpoint",
            };
            FetchError::malformed(format!("its token_endpoint is {what}"))
        })?;
        let revocation = special.revocation_endpoint.or(document.revocation_endpoint);
        let revocation = revocation.and_then(|url| self.origin.elsewhere(&url).ok());
        Ok((tokens, revocation))
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Discovery").field(&self.issuer).finish()
    }
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    mtls_endpoint_aliases: Option<Aliases>,
}

/// RFC 8705 5.
#[derive(Default, Deserialize)]
struct Aliases {
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
}

const LONGEST_DOCUMENT: usize = 256 * 1024;
/// How long a document is believed.
const LIFE: Duration = Duration::from_secs(3600);
/// How long an old one is, where there is no new one.
const PAUSE: Duration = Duration::from_secs(60);
const MOST_SHOWN: usize = 4;
