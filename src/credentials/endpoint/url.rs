//! The URL of an endpoint: where secrets may go, and what is wrong where they may not.

use std::sync::Arc;

use http::{HeaderMap, header::LOCATION};
use reqwest::Url;
use zeroize::Zeroizing;

use super::EndpointSettings;
use crate::credentials::KeyError;

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
    /// No certificate of ours in the PEM text.
    #[error("no usable certificate in the file of `cert`")]
    Certificate,
    /// The private key of our certificate is none.
    #[error("{0}")]
    Key(#[source] KeyError),
    /// The key is another certificate's.
    #[error("the client certificate and its key don't belong together")]
    Pair,
    /// Not the name of a host.
    #[error("`server_name` is not the name of a host")]
    ServerName,
    /// Certificates are for TLS alone.
    #[error("a client certificate or `server_name` needs an https URL")]
    NoTls,
    /// RFC 8414 2: an issuer has none.
    #[error("an issuer's URL can't have a query")]
    Query,
    /// The TLS or HTTP library refuses.
    #[error("no TLS client: {0}")]
    Tls(String),
}

/// Where a redirect leads: its URL in one spelling, without fragment, and the query apart from it.
pub(in crate::credentials) struct Landing {
    /// Scheme, authority and path.
    pub(in crate::credentials) place: String,
    pub(in crate::credentials) query: Zeroizing<String>,
}

impl Landing {
    /// That of an absolute URL.
    pub(in crate::credentials) fn of(text: &str) -> Option<Self> {
        Url::parse(text).ok().map(Self::apart)
    }

    /// That of the only `Location` in the answer of `called` (RFC 9110 10.2.2).
    pub(super) fn from(called: &Url, headers: &HeaderMap) -> Option<Self> {
        let mut locations = headers.get_all(LOCATION).iter();
        let (Some(location), None) = (locations.next(), locations.next()) else {
            return None;
        };
        called.join(location.to_str().ok()?).ok().map(Self::apart)
    }

    fn apart(mut url: Url) -> Self {
        let query = Zeroizing::new(url.query().unwrap_or_default().to_owned());
        url.set_query(None);
        url.set_fragment(None);
        Self {
            place: url.into(),
            query,
        }
    }
}

/// The URL of settings that go together.
pub(super) fn checked(settings: &EndpointSettings) -> Result<Url, EndpointError> {
    let url = usable(&settings.url, settings.danger_plaintext)?;
    if url.scheme() == "http" && (settings.identity.is_some() || settings.server_name.is_some()) {
        return Err(EndpointError::NoTls);
    }
    Ok(url)
}

/// A URL to which secrets may be sent.
pub(super) fn usable(url: &str, danger_plaintext: bool) -> Result<Url, EndpointError> {
    let url = Url::parse(url).map_err(|_| EndpointError::Url)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(EndpointError::Url);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(EndpointError::Fragment);
    }
    if url.scheme() == "http" && !danger_plaintext && !is_loopback(&url) {
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

/// Scheme, host and path.
pub(super) fn shown(url: &Url) -> Arc<str> {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.as_str().into()
}
