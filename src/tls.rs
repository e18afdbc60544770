//! What TLS has in common wherever it is spoken: the provider, certificates out of PEM, the platform's authorities.

use std::sync::{Arc, OnceLock};

use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::Verifier;

/// Named, not taken from the process: a second provider in the tree must not change this.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// All of them; none where one is damaged or there is none.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}

/// The same as authorities.
pub(crate) fn authorities(pem: &[u8]) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).ok()?;
    }
    Some(store)
}

/// The platform's authorities take tens of milliseconds to load: once for the process.
pub(crate) fn platform() -> Result<Arc<Verifier>, rustls::Error> {
    static VERIFIER: OnceLock<Arc<Verifier>> = OnceLock::new();
    if let Some(verifier) = VERIFIER.get() {
        return Ok(Arc::clone(verifier));
    }
    let verifier = Arc::new(Verifier::new(provider())?);
    Ok(Arc::clone(VERIFIER.get_or_init(|| verifier)))
}
