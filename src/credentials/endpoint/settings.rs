//! What an endpoint needs to be called.

use std::{fmt, time::Duration};

use super::ClientIdentity;
use crate::credentials::{Fingerprint, FingerprintBuilder};

/// What an endpoint needs to be called.
#[derive(Clone)]
pub struct EndpointSettings {
    /// Where it is; a query is kept.
    pub url: String,
    /// The only authorities to trust, as PEM; the platform's when absent.
    pub ca: Option<Vec<u8>>,
    /// The certificate by which the endpoint knows us.
    pub identity: Option<ClientIdentity>,
    /// The name in the endpoint's certificate, where it is not the URL's host.
    pub server_name: Option<String>,
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
            identity: None,
            server_name: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            danger_plaintext: false,
        }
    }

    pub(super) fn tls_fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("tls")
            .option(self.ca.as_deref(), FingerprintBuilder::bytes)
            .option(self.identity.as_ref(), |b, identity| {
                identity.fingerprint(b)
            })
            .option(self.server_name.as_deref(), FingerprintBuilder::text)
            .finish()
    }
}

impl fmt::Debug for EndpointSettings {
    /// Its origin alone: a path may, and a query is likely to, hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = reqwest::Url::parse(&self.url).ok();
        let origin = url.map(|url| url.origin().ascii_serialization());
        f.debug_tuple("EndpointSettings").field(&origin).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_needs_is_shown_without_what_its_url_may_hold() {
        let settings = EndpointSettings::new("https://u:s3cret@idp.test/s3cret?key=s3cret");
        let shown = format!("{settings:?}");
        assert_eq!(shown, r#"EndpointSettings(Some("https://idp.test"))"#);
    }
}
