//! TLS toward token endpoints: whom to trust, who we are (RFC 8705), and under which name it is known.

use std::{net::SocketAddr, sync::Arc};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use rustls::{ClientConfig, client::WantsClientCert, pki_types::DnsName};

use super::{EndpointError, EndpointSettings};
use crate::{
    credentials::{FingerprintBuilder, jose::private_key},
    secret::Secret,
    tls::{authorities, certificates, platform, provider},
};

/// A client certificate with its key.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The certificate, and those between it and the authority, as PEM.
    pub certificates: Vec<u8>,
    /// Its private key, as PEM.
    pub key: Secret,
}

impl ClientIdentity {
    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder.bytes(&self.certificates).secret(&self.key)
    }
}

/// Speaks HTTP/1.1 to the authorities' sites, as ourselves where there is an identity.
pub(super) fn client_config(settings: &EndpointSettings) -> Result<ClientConfig, EndpointError> {
    let builder = trusting(settings.ca.as_deref())?;
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificates).ok_or(EndpointError::Certificate)?;
            let key = private_key(&identity.key).map_err(EndpointError::Key)?;
            builder
                .with_client_auth_cert(chain, key.clone_key())
                .map_err(|_| EndpointError::Pair)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts these authorities (PEM), or the platform's.
pub(in crate::credentials) fn trusting(
    ca: Option<&[u8]>,
) -> Result<rustls::ConfigBuilder<ClientConfig, WantsClientCert>, EndpointError> {
    let refused = |error: rustls::Error| EndpointError::Tls(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let Some(pem) = ca else {
        let verifier = platform().map_err(refused)?;
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(verifier));
    };
    let roots = authorities(pem).ok_or(EndpointError::Ca)?;
    Ok(builder.with_root_certificates(roots))
}

/// An endpoint that is reached under one name and known by another.
pub(super) struct Elsewhere {
    /// The URL with the name in its certificate.
    pub(super) url: Url,
    /// Where that name is looked for.
    pub(super) resolver: Arc<dyn Resolve>,
}

/// The name stands in the URL that is dialled, so that SNI and verification both use it.
pub(super) fn elsewhere(url: &Url, server_name: &str) -> Result<Elsewhere, EndpointError> {
    DnsName::try_from(server_name).map_err(|_| EndpointError::ServerName)?;
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut named = url.clone();
    named
        .set_host(Some(server_name))
        .map_err(|_| EndpointError::ServerName)?;
    Ok(Elsewhere {
        url: named,
        resolver: Arc::new(At(host.into())),
    })
}

/// Answers every question with the addresses of one host.
struct At(Arc<str>);

impl Resolve for At {
    fn resolve(&self, _: Name) -> Resolving {
        let host = Arc::clone(&self.0);
        Box::pin(async move {
            // The port is the URL's.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((&*host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
