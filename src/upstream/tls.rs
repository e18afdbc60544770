//! TLS toward upstreams: rustls with aws-lc-rs, the platform's roots or a CA file, the host name verified, our own
//! certificate where there is one.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
    client::{
        WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::TlsConnector;

use super::{ClientIdentity, TlsConfig};
use crate::tls::{certificates, platform, provider};

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file holds something else.
    #[error("the CA file is not PEM: {0}")]
    Pem(rustls_pki_types::pem::Error),
    /// The CA file holds no certificate.
    #[error("the CA file holds no certificate")]
    NoCertificate,
    /// Our own certificate can't be read.
    #[error("this file holds no certificate in PEM")]
    Certificate,
    /// Our own key can't be read. Holds none of it.
    #[error(
        "this is no private key in PEM, or it is encrypted: `openssl pkey -in KEY -out PLAIN` decrypts it"
    )]
    Key,
    /// They don't belong together.
    #[error("the certificate is not the one of this key")]
    Pair,
    /// A certificate of the CA file, or the platform's store, is unusable.
    #[error("unusable certificates: {0}")]
    Certificates(#[from] rustls::Error),
}

/// A connector that offers `protocols` by ALPN.
pub(super) fn connector(config: &TlsConfig, protocols: &[&[u8]]) -> Result<TlsConnector, TlsError> {
    let mut client = client(config)?;
    client.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(client)))
}

fn client(config: &TlsConfig) -> Result<ClientConfig, TlsError> {
    let trusting = if config.danger_accept_invalid_certs {
        builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAny(provider())))
    } else if let Some(pem) = &config.ca_pem {
        builder()?.with_root_certificates(roots(pem)?)
    } else if config.identity.is_none() {
        return platform_client();
    } else {
        trusting_platform()?
    };
    Ok(match &config.identity {
        None => trusting.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = shown(identity)?;
            trusting
                .with_client_auth_cert(chain, key)
                .map_err(|_| TlsError::Pair)?
        }
    })
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn shown(identity: &ClientIdentity) -> Result<Shown, TlsError> {
    let chain = certificates(&identity.certificates).ok_or(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes());
    Ok((chain, key.map_err(|_| TlsError::Key)?))
}

/// One for all upstreams that need no other.
fn platform_client() -> Result<ClientConfig, TlsError> {
    static CLIENT: OnceLock<ClientConfig> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let client = trusting_platform()?.with_no_client_auth();
    Ok(CLIENT.get_or_init(|| client).clone())
}

fn trusting_platform() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let builder = builder()?.dangerous();
    Ok(builder.with_custom_certificate_verifier(platform()?))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store.add(certificate.map_err(TlsError::Pem)?)?;
    }
    if store.is_empty() {
        Err(TlsError::NoCertificate)
    } else {
        Ok(store)
    }
}

/// `danger_accept_invalid_certs: true`: encryption without authentication.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
