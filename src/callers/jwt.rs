//! Callers that show a JWT (RFC 7519) of an issuer whose public keys are known.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, PROXY_AUTHORIZATION},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Flight, Identity, KeySet,
    api_key::after_scheme,
    verified::{self, Entry, Verified},
};
use crate::clock::{self, Instant};

/// One caller: all who show a token with these properties.
#[derive(Clone, Debug)]
pub struct JwtCaller {
    /// Its name in the file.
    pub name: Arc<str>,
    /// Where the token stands.
    pub header: HeaderName,
    /// `iss`, exactly.
    pub issuer: String,
    /// One of which must be in `aud`.
    pub audiences: Vec<String>,
    /// The algorithms of signatures that are accepted: never `none`, never one with a shared secret.
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Claims that must have these values.
    pub required: Vec<(String, String)>,
    /// The claim that tells whom it is for.
    pub subject_claim: String,
    /// More claims that the file asks for.
    pub kept: Arc<[Arc<str>]>,
    /// The issuer's keys.
    pub keys: Arc<KeySet>,
    /// Whether the users that it names are believed.
    pub may_name_users: bool,
}

/// All such callers.
#[derive(Debug, Default)]
pub struct Jwts {
    callers: Vec<JwtCaller>,
    verified: Verified,
}

/// Why a token proves nobody.
#[derive(Debug)]
pub enum Refusal {
    /// No token of an issuer of ours.
    Foreign,
    /// It is one, and not acceptable.
    Bad(&'static str),
    /// Its key is not known, but newer keys are on their way.
    Later(Flight),
    /// There are no keys at all to judge it by.
    NoKeys,
}

/// A verified token, with its end.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Whom it proves.
    pub identity: Arc<Identity>,
    /// When it ends.
    pub expires: Instant,
}

impl Jwts {
    /// In the order of the file: the first whose conditions a token fulfils is who shows it.
    pub fn new(callers: Vec<JwtCaller>) -> Self {
        Self {
            callers,
            verified: Verified::default(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    /// Asks for all keys, so that the first token finds them.
    pub fn prewarm(&self) {
        for caller in self.callers.iter().filter(|it| it.keys.generation() == 0) {
            drop(caller.keys.refresh());
        }
    }

    /// Whom the token in this header proves.
    pub(super) fn presented(
        &self,
        name: &HeaderName,
        value: &HeaderValue,
    ) -> Result<Arc<Identity>, Refusal> {
        let token = token_in(name, value).ok_or(Refusal::Foreign)?;
        let here = |caller: &JwtCaller| caller.header == *name;
        self.verify(token, here).map(|proof| proof.identity)
    }

    /// Whom a token proves that came anywhere, as the subject of an exchange does.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn subject(&self, token: &str) -> Result<Proof, Refusal> {
        self.verify(token, |_| true)
    }

    fn verify(&self, token: &str, may: impl Fn(&JwtCaller) -> bool) -> Result<Proof, Refusal> {
        if self.callers.is_empty() {
            return Err(Refusal::Foreign);
        }
        let (now, hash) = (clock::now(), verified::hash(token));
        if let Some(entry) = self.verified.get(&hash, now)
            && let Some(caller) = self.callers.get(entry.caller).filter(|it| may(it))
            && caller.keys.generation() == entry.generation
        {
            caller.keys.refresh_if_old();
            return Ok(Proof {
                identity: entry.identity,
                expires: entry.until,
            });
        }
        let claim = Claim::of(token)?;
        let mut refusal = Refusal::Foreign;
        for (index, caller) in self.callers.iter().enumerate() {
            if caller.issuer != claim.issuer || !may(caller) {
                continue;
            }
            let generation = caller.keys.generation();
            match caller.verify(token, &claim, now) {
                Ok(proof) => {
                    let entry = Entry {
                        identity: Arc::clone(&proof.identity),
                        caller: index,
                        generation,
                        until: proof.expires,
                    };
                    self.verified.put(hash, entry, now);
                    return Ok(proof);
                }
                Err(why) => {
                    if let Refusal::Bad(reason) = &why {
                        tracing::debug!(caller = %caller.name, reason, "token refused");
                    }
                    // What may still turn out well is not hidden by another caller's refusal.
                    if !matches!(refusal, Refusal::Later(_)) {
                        refusal = why;
                    }
                }
            }
        }
        Err(refusal)
    }
}

impl JwtCaller {
    fn verify(&self, token: &str, claim: &Claim, now: Instant) -> Result<Proof, Refusal> {
        if !self.algorithms.contains(&claim.algorithm) {
            return Err(Refusal::Bad(
                "its signature's algorithm is not one of this caller's",
            ));
        }
        let mut validation = Validation::new(claim.algorithm);
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let decode =
            |key: &DecodingKey| jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation);
        let tried = self
            .keys
            .try_each(claim.key_id.as_deref(), claim.algorithm, decode);
        let claims = match tried {
            Some(Ok(decoded)) => decoded.claims,
            Some(Err(error)) => return Err(Refusal::Bad(reason(error.kind()))),
            None => {
                return Err(match self.keys.refresh() {
                    Some(flight) => Refusal::Later(flight),
                    None if self.keys.generation() == 0 => Refusal::NoKeys,
                    None => Refusal::Bad("its key is not one of the issuer's"),
                });
            }
        };
        self.accept(&claims, now)
    }

    /// What is asked of a token whose signature and times are good.
    fn accept(&self, claims: &Map<String, Value>, now: Instant) -> Result<Proof, Refusal> {
        for (name, wanted) in &self.required {
            if !claims.get(name).is_some_and(|value| holds(value, wanted)) {
                return Err(Refusal::Bad("a claim has not the value that is asked for"));
            }
        }
        let subject = claims.get(&self.subject_claim).and_then(text);
        let kept = self.kept.iter().filter_map(|name| {
            let value = claims.get(&**name).and_then(text)?;
            Some((Arc::clone(name), Arc::from(value)))
        });
        let identity = Identity {
            name: Arc::clone(&self.name),
            subject: Some(
                subject
                    .filter(|it| !it.trim().is_empty())
                    .ok_or(Refusal::Bad("it does not tell whom it is for"))?
                    .into(),
            ),
            claims: kept.collect(),
            may_name_users: self.may_name_users,
        };
        let expires = claims.get("exp").and_then(ends).unwrap_or_default();
        let left = expires.saturating_sub(clock::unix_time());
        Ok(Proof {
            identity: Arc::new(identity),
            expires: now + left.min(LONGEST),
        })
    }
}

/// What a token says of itself, before anything of it is believed.
struct Claim {
    algorithm: Algorithm,
    key_id: Option<String>,
    issuer: String,
}

impl Claim {
    fn of(token: &str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            crit: Option<Value>,
        }
        #[derive(Deserialize)]
        struct Payload {
            iss: String,
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Foreign);
        };
        if token.len() > LONGEST_TOKEN {
            return Err(Refusal::Foreign);
        }
        let header: Header = json(header).ok_or(Refusal::Foreign)?;
        let payload: Payload = json(payload).ok_or(Refusal::Foreign)?;
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: extensions that we don't know must be refused, and we know none.
            return Err(Refusal::Bad("it needs extensions that are not known here"));
        }
        let algorithm = header.alg.parse();
        Ok(Self {
            algorithm: algorithm.map_err(|_| {
                Refusal::Bad("its signature's algorithm is not one of this caller's")
            })?,
            key_id: header.kid,
            issuer: payload.iss,
        })
    }
}

/// The end that a token claims for itself, since 1970; for one that nobody verifies.
pub fn claimed_end(token: &str) -> Option<Duration> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    json::<Map<String, Value>>(payload)?
        .get("exp")
        .and_then(ends)
}

fn ends(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// `Bearer TOKEN`, or in a header of its own the bare token as well.
fn token_in<'v>(name: &HeaderName, value: &'v HeaderValue) -> Option<&'v str> {
    let bytes = value.as_bytes();
    let token = match after_scheme(bytes, b"bearer ") {
        Some(token) => token,
        None if *name == AUTHORIZATION || *name == PROXY_AUTHORIZATION => return None,
        None => bytes.trim_ascii(),
    };
    std::str::from_utf8(token).ok()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Is it, or is it among them.
fn holds(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Bool(is) => is.to_string() == wanted,
        Value::Array(all) => all.iter().any(|one| text(one).as_deref() == Some(wanted)),
        one => text(one).as_deref() == Some(wanted),
    }
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "it lacks `exp`, `iss` or `aud`",
        _ => "its signature or form is not good",
    }
}

const LONGEST_TOKEN: usize = 16 * 1024;

/// What a token may say of its life: more would overflow the clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests;
