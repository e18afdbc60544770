//! Callers that are known by the certificate of their connection.

use std::sync::Arc;

use crate::downstream::ClientCertificate;

/// A caller that shows a certificate of an authority that its listener believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateCaller {
    /// Its name in the file.
    pub name: Arc<str>,
    /// What the certificate must hold.
    pub holds: Holds,
    /// Whether the users that it names are believed.
    pub may_name_users: bool,
}

/// What of a certificate makes it a caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A DNS name, in lower case, or a URI of its subject alternative name.
    San(Box<str>),
    /// This SPIFFE id.
    Spiffe(Box<str>),
    /// Any SPIFFE id below this one, which ends in a slash.
    SpiffeBelow(Box<str>),
    /// This subject, as RFC 4514 writes it.
    Subject(Box<str>),
}

impl Holds {
    /// Whether `certificate` is one of the caller's.
    pub fn is_met_by(&self, certificate: &ClientCertificate) -> bool {
        let spiffe = certificate.spiffe();
        match self {
            Self::San(name) => certificate.dns.contains(name) || certificate.uris.contains(name),
            Self::Spiffe(id) => spiffe == Some(id),
            Self::SpiffeBelow(parent) => spiffe.is_some_and(|id| {
                // A workload below it has a name of its own.
                id.strip_prefix(&**parent)
                    .is_some_and(|rest| !rest.is_empty())
            }),
            Self::Subject(subject) => certificate.subject.as_ref() == Some(subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> ClientCertificate {
        ClientCertificate {
            dns: vec!["batch.example".into()],
            uris: vec!["spiffe://example/ns/a/sa/batch".into()],
            subject: Some("CN=batch,O=Example".into()),
        }
    }

    #[test]
    fn a_certificate_is_known_by_what_it_holds() {
        let it = certificate();
        for holds in [
            Holds::San("batch.example".into()),
            Holds::San("spiffe://example/ns/a/sa/batch".into()),
            Holds::Spiffe("spiffe://example/ns/a/sa/batch".into()),
            Holds::SpiffeBelow("spiffe://example/ns/a/".into()),
            Holds::Subject("CN=batch,O=Example".into()),
        ] {
            assert!(holds.is_met_by(&it), "{holds:?}");
            assert!(!holds.is_met_by(&ClientCertificate::default()), "{holds:?}");
        }
    }

    #[test]
    fn what_only_resembles_it_is_another() {
        let it = certificate();
        for holds in [
            Holds::San("example".into()),
            Holds::Spiffe("spiffe://example/ns/a/sa".into()),
            Holds::SpiffeBelow("spiffe://example/ns/".replace("ns", "n").into()),
            Holds::SpiffeBelow("spiffe://example/ns/a/sa/batch/".into()),
            Holds::Subject("CN=batch".into()),
        ] {
            assert!(!holds.is_met_by(&it), "{holds:?}");
        }
    }
}
