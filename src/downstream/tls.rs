//! TLS toward clients: rustls with aws-lc-rs, certificates by the name that the client asks for, its own verified.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs::Ticketer,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};

use crate::{
    secret::Secret,
    tls::{authorities, certificates, provider},
};

/// What a listener shows, and whose certificates it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The first is shown where the client names none of the others' hosts.
    pub certificates: Vec<Certificate>,
    /// The authorities (PEM) of clients' certificates; clients are not asked for one without.
    pub client_ca: Option<Vec<u8>>,
    /// Whether a client without a certificate is refused.
    pub client_required: bool,
    /// Which versions are spoken.
    pub versions: Versions,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, and those between it and its authority, as PEM.
    pub chain: Vec<u8>,
    /// Its private key, as PEM.
    pub key: Secret,
}

/// Which versions of TLS are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    From12,
    /// 1.3 only.
    From13,
}

/// Why a listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A certificate can't be read; which, counted from 0.
    #[error("this file holds no certificate in PEM")]
    Certificate(usize),
    /// A key can't be read. Holds none of it.
    #[error(
        "this is no private key in PEM, or it is encrypted: `openssl pkey -in KEY -out PLAIN` decrypts it"
    )]
    Key(usize),
    /// A certificate and a key don't belong together.
    #[error("the certificate is not the one of this key")]
    Pair(usize),
    /// The authorities can't be read.
    #[error("this file holds no certificate of an authority in PEM")]
    ClientCa,
    /// The system has no randomness for tickets, or the like.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// TLS of one listener, ready to be used.
pub type ServerTls = Arc<ServerConfig>;

/// The TLS of all listeners in use. Settings that did not change keep theirs, and so their session tickets.
#[derive(Debug, Default)]
pub struct TlsServers(Mutex<Vec<(TlsSettings, Weak<ServerConfig>)>>);

impl TlsServers {
    /// The TLS of these settings.
    ///
    /// # Errors
    /// [`ServerTlsError`] where a file holds something else than it should.
    pub fn intern(&self, settings: &TlsSettings) -> Result<ServerTls, ServerTlsError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, tls)| tls.strong_count() > 0);
        let same = known.iter().find(|(other, _)| other == settings);
        if let Some(tls) = same.and_then(|(_, tls)| tls.upgrade()) {
            return Ok(tls);
        }
        let tls = Arc::new(server(settings)?);
        known.push((settings.clone(), Arc::downgrade(&tls)));
        Ok(tls)
    }
}

fn server(settings: &TlsSettings) -> Result<ServerConfig, ServerTlsError> {
    let certificates = certified(&settings.certificates)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings.versions))?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = authorities(pem).ok_or(ServerTlsError::ClientCa)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
            let verifier = if settings.client_required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier.build().map_err(|_| ServerTlsError::ClientCa)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_cert_resolver(Arc::new(certificates));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Kept by the client, sealed: nothing to hold for clients that may never come back. Its keys change by themselves.
    server.ticketer = Ticketer::new()?;
    Ok(server)
}

fn versions(versions: Versions) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match versions {
        Versions::From12 => &BOTH,
        Versions::From13 => &BOTH[..1],
    }
}

/// Certificates by the names in them.
#[derive(Debug)]
struct ByName {
    first: Arc<CertifiedKey>,
    /// In lower case; `*.example.com` for all names one label below.
    names: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl ByName {
    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let parent = || {
            let (_, parent) = name.split_once('.')?;
            self.names.get(&*format!("*.{parent}"))
        };
        self.names.get(&*name).or_else(parent)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().and_then(|name| self.of(name));
        Some(Arc::clone(asked.unwrap_or(&self.first)))
    }
}

fn certified(certificates: &[Certificate]) -> Result<ByName, ServerTlsError> {
    let mut names = HashMap::new();
    let mut first = None;
    for (number, certificate) in certificates.iter().enumerate() {
        let (certified, own) = certified_key(number, certificate)?;
        for name in own {
            // The first in the file that has it.
            names.entry(name).or_insert_with(|| Arc::clone(&certified));
        }
        first.get_or_insert(certified);
    }
    let first = first.ok_or(ServerTlsError::Certificate(0))?;
    Ok(ByName { first, names })
}

type Named = (Arc<CertifiedKey>, Vec<Box<str>>);

fn certified_key(number: usize, certificate: &Certificate) -> Result<Named, ServerTlsError> {
    let unreadable = || ServerTlsError::Certificate(number);
    let chain = certificates(&certificate.chain).ok_or_else(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.expose().as_bytes())
        .map_err(|_| ServerTlsError::Key(number))?;
    let names = chain
        .first()
        .and_then(|own| webpki::EndEntityCert::try_from(own).ok())
        .ok_or_else(unreadable)?
        .valid_dns_names()
        .map(|name| name.to_ascii_lowercase().into())
        .collect();
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| ServerTlsError::Key(number))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(ServerTlsError::Pair(number))
        }
        _ => Ok((Arc::new(certified), names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Certificate {
            chain: made.cert.pem().into(),
            key: made.signing_key.serialize_pem().into(),
        }
    }

    fn settings(certificates: Vec<Certificate>) -> TlsSettings {
        TlsSettings {
            certificates,
            client_ca: None,
            client_required: false,
            versions: Versions::default(),
        }
    }

    #[test]
    fn a_certificate_is_chosen_by_name_and_the_first_where_none_is() {
        let first = certificate(&["one.example"]);
        let second = certificate(&["TWO.example", "*.two.example"]);
        let both = certified(&[first, second]).expect("good certificates");
        let second = |name| {
            let found = both.of(name);
            found.is_some_and(|found| !Arc::ptr_eq(found, &both.first))
        };
        assert!(second("two.example") && second("Two.Example") && second("a.two.example"));
        assert!(!second("one.example") && !second("a.b.two.example") && !second("other"));
        assert!(both.of("one.example").is_some() && both.of("other").is_none());
    }

    #[test]
    fn what_did_not_change_keeps_its_tickets() {
        let servers = TlsServers::default();
        let one = settings(vec![certificate(&["one.example"])]);
        let tls = servers.intern(&one).expect("good settings");
        assert!(Arc::ptr_eq(&tls, &servers.intern(&one).expect("the same")));
        let two = settings(vec![certificate(&["one.example"])]);
        assert!(!Arc::ptr_eq(
            &tls,
            &servers.intern(&two).expect("good settings")
        ));
    }

    #[test]
    fn who_is_to_blame_is_told() {
        let servers = TlsServers::default();
        let (good, other) = (certificate(&["a.example"]), certificate(&["b.example"]));
        let mixed = Certificate {
            key: other.key,
            ..good.clone()
        };
        let no_key = Certificate {
            key: "hunter2".to_owned().into(),
            ..good.clone()
        };
        let no_chain = Certificate {
            chain: b"no certificate".to_vec(),
            ..good.clone()
        };
        let error = |second: Certificate| {
            let settings = settings(vec![good.clone(), second]);
            servers.intern(&settings).expect_err("it is unusable")
        };
        assert!(matches!(error(mixed), ServerTlsError::Pair(1)));
        assert!(matches!(error(no_key), ServerTlsError::Key(1)));
        assert!(matches!(error(no_chain), ServerTlsError::Certificate(1)));
        let foreign = TlsSettings {
            client_ca: Some(b"nothing".to_vec()),
            ..settings(vec![good])
        };
        let error = servers.intern(&foreign).expect_err("no authority");
        assert!(matches!(error, ServerTlsError::ClientCa));
    }
}
