//! The certificate that a client showed, as far as it tells who the client is.

use rustls_pki_types::CertificateDer;

use super::name;

/// Who a client is by its certificate, which TLS has verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// DNS names of the subject alternative name, in lower case.
    pub dns: Vec<Box<str>>,
    /// URIs of the subject alternative name; a SPIFFE id is one.
    pub uris: Vec<Box<str>>,
    /// The subject, as RFC 4514 writes it; none where it has parts that are not read here.
    pub subject: Option<Box<str>>,
}

impl ClientCertificate {
    /// What `der` tells; `None` where it is no certificate.
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(der).ok()?;
        Some(Self {
            dns: certificate
                .valid_dns_names()
                .map(|name| name.to_ascii_lowercase().into())
                .collect(),
            uris: certificate.valid_uri_names().map(Into::into).collect(),
            subject: name::text(certificate.subject()).map(Into::into),
        })
    }

    /// Its SPIFFE id: exactly one URI, as the standard wants it.
    pub fn spiffe(&self) -> Option<&str> {
        match &*self.uris {
            [uri] if uri.starts_with("spiffe://") => Some(uri),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn of(names: Vec<SanType>, subject: DistinguishedName) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = subject;
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        ClientCertificate::of(made.der()).expect("a certificate")
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("ASCII"))
    }

    #[test]
    fn names_and_subject_are_read() {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Example, Inc.");
        subject.push(DnType::CommonName, "batch");
        let dns = SanType::DnsName("Batch.example".try_into().expect("ASCII"));
        let it = of(vec![dns, uri("spiffe://example/batch")], subject);
        assert_eq!(it.dns, ["batch.example".into()] as [Box<str>; 1]);
        assert_eq!(it.spiffe(), Some("spiffe://example/batch"));
        assert_eq!(it.subject.as_deref(), Some("CN=batch,O=Example\\, Inc."));
    }

    #[test]
    fn two_identities_are_no_spiffe_id() {
        let two = vec![uri("spiffe://example/a"), uri("spiffe://example/b")];
        assert_eq!(of(two, DistinguishedName::new()).spiffe(), None);
    }
}
