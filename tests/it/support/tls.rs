//! A certificate authority of the tests' own.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::{
    ALL_VERSIONS, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS12,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Issues certificates that only who knows its file trusts.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    /// A new one; `name` tells its file apart from others'.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let name = format!("{name}-{}.pem", std::process::id());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// Its own certificate, as PEM.
    pub fn file(&self) -> &std::path::Path {
        &self.file
    }

    /// A client's certificate and its key, as PEM.
    pub fn client(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A certificate with these names (URIs where they have a colon) for the subject `CN=test,O=Tests`, and its key.
    pub fn pair(&self, names: &[&str]) -> Pair {
        let pair = Pair::new();
        self.renew(&pair, names);
        pair
    }

    /// Another certificate in the place of `pair`.
    pub fn renew(&self, pair: &Pair, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Tests");
        params.distinguished_name.push(DnType::CommonName, "test");
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.contains(':') {
                true => SanType::URI((*name).try_into().unwrap()),
                false => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(pair.cert(), certificate.pem()).unwrap();
        std::fs::write(pair.key(), key.serialize_pem()).unwrap();
    }

    /// A client that trusts this authority, offers these protocols, and shows `pair` where it is asked.
    pub fn trusting(&self, protocols: &[&str], pair: Option<&Pair>) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_file(pair.cert()).unwrap()];
                let key = PrivateKeyDer::from_pem_file(pair.key()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        config
    }

    /// Itself, as what is trusted.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.file).unwrap())
            .unwrap();
        roots
    }

    /// What a server that is called `name` needs; `expired` in the name makes its certificate so.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_for(name, None, ALL_VERSIONS)
    }

    /// As [`Self::server`], for TLS 1.2 alone.
    pub fn server_of_tls_1_2(&self, name: &str) -> Arc<ServerConfig> {
        self.server_for(name, None, &[&TLS12])
    }

    /// As [`Self::server`], for clients only that show a certificate of this authority.
    pub fn server_of_known_clients(&self, name: &str) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots().into(), provider);
        self.server_for(name, Some(verifier.build().unwrap()), ALL_VERSIONS)
    }

    fn server_for(
        &self,
        name: &str,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if name.contains("expired") {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => config.with_client_cert_verifier(clients),
        };
        let config = config
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        Arc::new(config)
    }
}

/// A certificate and its key, in files of a folder of their own.
pub struct Pair(PathBuf);

impl Pair {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pair-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// The certificate, as PEM.
    pub fn cert(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    /// The key, as PEM.
    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// As the file has it.
    pub fn yaml(&self) -> String {
        format!(
            "cert: '{}', key: {{ file: '{}' }}",
            self.cert().display(),
            self.key().display()
        )
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
