//! Who calls: inbound authentication, a closed set.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName};

use crate::downstream::{ClientCertificate, Peer};

mod api_key;
mod certificate;
mod jwt;
mod keys;
pub mod placeholder;
mod unix_peer;
mod verified;

pub use api_key::{ApiKey, KeyHash, KeyHashError};
pub use certificate::{CertificateCaller, Holds};
pub use jwt::{JwtCaller, Jwts, Proof, Refusal, claimed_end};
pub use keys::{FetchKeys, Flight, KeySet, KeySetError, KeySets};
pub use placeholder::{PlaceholderRefused, Placeholders};
pub use unix_peer::UnixCaller;

/// The callers of the file.
#[derive(Debug, Default)]
pub struct Callers {
    keys: Vec<(ApiKey, Arc<Identity>)>,
    jwts: Arc<Jwts>,
    certificates: Vec<(CertificateCaller, Arc<Identity>)>,
    unix: Vec<(UnixCaller, Arc<Identity>)>,
    /// Each header once, whatever the number of callers that use it.
    headers: Vec<HeaderName>,
}

/// What of a connection tells who calls, whatever its requests say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// The certificate that the client showed, verified.
    pub certificate: Option<&'a ClientCertificate>,
    /// Who is at the other end.
    pub peer: Option<Peer>,
}

/// Who sent this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody asked (no `callers:` in the file).
    Anonymous,
    /// A caller of the file.
    Known(Arc<Identity>),
}

/// A caller of the file, and what its proof tells of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name in the file.
    pub name: Arc<str>,
    /// Whom the token is for, where it showed one.
    pub subject: Option<Arc<str>>,
    /// The token's claims that the file asks for, as text.
    pub claims: Vec<(Arc<str>, Arc<str>)>,
    /// Whether the users that it names are believed (`may_name_users`).
    pub may_name_users: bool,
}

/// What is known of who sent a request.
#[derive(Debug)]
pub enum Verdict {
    /// This one.
    Known(Caller),
    /// None of the file's callers.
    Unknown(CallerUnknown),
    /// Its token names a key that is being fetched: to be asked once more after that.
    Later(Flight),
}

/// The request names no caller of the file: 401 `caller_unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerUnknown {
    /// Nothing in it that could name one, or two that contradict each other.
    #[error("the request carries no known caller's credential")]
    Absent {
        /// Whether a token would do.
        bearer: bool,
    },
    /// A token that is not accepted.
    #[error("the caller's token is not accepted: {0}")]
    BadToken(&'static str),
    /// A token that can't be judged: its issuer's keys could not be had so far.
    #[error("the caller's token can't be verified now: the issuer's keys could not be had")]
    NoKeys,
}

impl Callers {
    /// Those who may use the proxy; with none, everybody who reaches the listener.
    pub fn new(keys: Vec<ApiKey>, jwts: Vec<JwtCaller>) -> Self {
        let mut headers: Vec<HeaderName> = Vec::new();
        let own = keys.iter().map(|key| &key.header);
        for header in own.chain(jwts.iter().map(|jwt| &jwt.header)) {
            if !headers.contains(header) {
                headers.push(header.clone());
            }
        }
        let identity = |key: &ApiKey| Identity::configured(&key.name, key.may_name_users);
        Self {
            keys: with_identity(keys, identity),
            jwts: Arc::new(Jwts::new(jwts)),
            certificates: Vec::new(),
            unix: Vec::new(),
            headers,
        }
    }

    /// The same and those that show a certificate.
    pub fn with_certificates(self, certificates: Vec<CertificateCaller>) -> Self {
        let identity =
            |caller: &CertificateCaller| Identity::configured(&caller.name, caller.may_name_users);
        Self {
            certificates: with_identity(certificates, identity),
            ..self
        }
    }

    /// The same and those that are known by whom they run as.
    pub fn with_unix(self, unix: Vec<UnixCaller>) -> Self {
        let identity =
            |caller: &UnixCaller| Identity::configured(&caller.name, caller.may_name_users);
        Self {
            unix: with_identity(unix, identity),
            ..self
        }
    }

    /// Whether the file has callers at all.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.certificates.is_empty() && self.unix.is_empty()
    }

    /// Those that show a token: they judge subject tokens, too.
    pub fn jwts(&self) -> &Arc<Jwts> {
        &self.jwts
    }

    /// Who sent a request with these headers, on a connection that shows this.
    ///
    /// Unknown where the file has callers and none of them is recognised, a header comes twice, or two headers, or a
    /// header and the connection, name two callers.
    pub fn authenticate(&self, headers: &HeaderMap, shown: Shown<'_>) -> Verdict {
        if self.is_empty() {
            return Verdict::Known(Caller::Anonymous);
        }
        let absent = CallerUnknown::Absent {
            bearer: !self.jwts.is_empty(),
        };
        let Ok(mut found) = self.by_connection(shown) else {
            return Verdict::Unknown(absent);
        };
        let mut refusal = None;
        for name in &self.headers {
            let mut values = headers.get_all(name).iter();
            let Some(value) = values.next() else { continue };
            if values.next().is_some() {
                return Verdict::Unknown(absent);
            }
            let known = match self.by_key(name, value) {
                Some(known) => known,
                None => match self.jwts.presented(name, value) {
                    Ok(known) => known,
                    Err(why) => {
                        refusal = Some(why);
                        continue;
                    }
                },
            };
            if found.as_ref().is_some_and(|found| *found != known) {
                return Verdict::Unknown(absent);
            }
            found = Some(known);
        }
        if let Some(found) = found {
            return Verdict::Known(Caller::Known(found));
        }
        match refusal {
            Some(Refusal::Later(flight)) => Verdict::Later(flight),
            Some(Refusal::NoKeys) => Verdict::Unknown(CallerUnknown::NoKeys),
            Some(Refusal::Bad(why)) => Verdict::Unknown(CallerUnknown::BadToken(why)),
            Some(Refusal::Foreign) | None => Verdict::Unknown(absent),
        }
    }

    /// The headers that carry callers' credentials: never forwarded on a credentialed route.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter()
    }

    /// # Errors
    /// A connection that is two callers'.
    fn by_connection(&self, shown: Shown<'_>) -> Result<Option<Arc<Identity>>, ()> {
        let certificates = self.certificates.iter().filter(|(caller, _)| {
            let certificate = shown.certificate;
            certificate.is_some_and(|certificate| caller.holds.is_met_by(certificate))
        });
        let unix = self
            .unix
            .iter()
            .filter(|(caller, _)| shown.peer.is_some_and(|peer| caller.is(peer)));
        let identities = certificates
            .map(|(_, identity)| identity)
            .chain(unix.map(|(_, identity)| identity));
        let mut known = identities.cloned();
        match (known.next(), known.next()) {
            (Some(_), Some(_)) => Err(()),
            (known, _) => Ok(known),
        }
    }

    fn by_key(&self, name: &HeaderName, value: &http::HeaderValue) -> Option<Arc<Identity>> {
        let presented = api_key::presented(name, value)?;
        let mut keys = self.keys.iter().filter(|(key, _)| key.header == *name);
        api_key::find(&mut keys, presented).cloned()
    }
}

impl Caller {
    /// The caller's name in the file.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Anonymous => None,
            Self::Known(identity) => Some(&identity.name),
        }
    }
}

fn with_identity<C>(callers: Vec<C>, of: impl Fn(&C) -> Identity) -> Vec<(C, Arc<Identity>)> {
    let callers = callers.into_iter().map(|caller| {
        let identity = Arc::new(of(&caller));
        (caller, identity)
    });
    callers.collect()
}

impl Identity {
    fn configured(name: &str, may_name_users: bool) -> Self {
        Self {
            may_name_users,
            ..Self::named(name)
        }
    }

    /// A caller of whom nothing is known but its name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            subject: None,
            claims: Vec::new(),
            may_name_users: false,
        }
    }

    /// The claim of this name, where its token has it.
    pub fn claim(&self, name: &str) -> Option<&Arc<str>> {
        let found = self.claims.iter().find(|(known, _)| **known == *name);
        found.map(|(_, value)| value)
    }

    /// Whom it stands for: its token's subject, else itself.
    pub fn stands_for(&self) -> &Arc<str> {
        self.subject.as_ref().unwrap_or(&self.name)
    }
}

/// Subject and claims are personal data.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
