//! Tokens that are bound to a key of ours (RFC 9449): the key, and a proof of it for each request.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{KeyPair, Signature},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use super::{
    Algorithm, Fingerprint, FingerprintBuilder, KeyError, SignError,
    jose::{Pair, random_id},
};
use crate::{clock, secret::Secret};

mod nonce;

pub use nonce::{DPOP_NONCE, Nonce};

/// The header that holds a request's proof.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

crate::config_words! {
    /// How proofs are signed: one for each request, so by nothing slow.
    pub enum ProofAlgorithm {
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// EdDSA on Ed25519.
        EdDsa = "EdDSA",
    }
}

impl From<ProofAlgorithm> for Algorithm {
    fn from(algorithm: ProofAlgorithm) -> Self {
        match algorithm {
            ProofAlgorithm::Es256 => Self::Es256,
            ProofAlgorithm::Es384 => Self::Es384,
            ProofAlgorithm::EdDsa => Self::EdDsa,
        }
    }
}

/// The key that the tokens of one source are bound to, and the nonces that servers gave for it.
pub struct ProofKey {
    pair: Pair,
    algorithm: Algorithm,
    /// A proof's JOSE header as it is sent, which is the same in each; then the dot.
    header: Box<str>,
    thumbprint: Box<str>,
    /// Of the key in the file; none for one that was made here.
    of_file: Option<Fingerprint>,
    nonces: Mutex<Vec<(Box<str>, Arc<Nonce>)>>,
}

impl ProofKey {
    /// A new key, which lives as long as this value.
    pub fn generate(algorithm: ProofAlgorithm) -> Self {
        let algorithm = algorithm.into();
        Self::new(algorithm, Pair::generate(algorithm), None)
    }

    /// What stands for a key of the file where no secret is read.
    pub fn stand_in() -> Self {
        let algorithm = Algorithm::Es256;
        let pem = Secret::new("none");
        Self::new(algorithm, Pair::generate(algorithm), Some(&pem))
    }

    /// A private key as PEM. Without an algorithm, the key decides.
    ///
    /// # Errors
    /// [`KeyError`] where it is no such key, or not one for this algorithm.
    pub fn from_pem(algorithm: Option<ProofAlgorithm>, pem: &Secret) -> Result<Self, KeyError> {
        let (algorithm, pair) = Pair::read(algorithm.map(Into::into), pem)?;
        Ok(Self::new(algorithm, pair, Some(pem)))
    }

    fn new(algorithm: Algorithm, pair: Pair, pem: Option<&Secret>) -> Self {
        let jwk = jwk(&pair);
        let name = algorithm.name();
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"{name}","jwk":{jwk}}}"#);
        Self {
            pair,
            algorithm,
            header: format!("{}.", URL_SAFE_NO_PAD.encode(header)).into(),
            thumbprint: hashed(&jwk),
            of_file: pem.map(|pem| FingerprintBuilder::new("dpop").secret(pem).finish()),
            nonces: Mutex::default(),
        }
    }

    /// The algorithm's name in a JWT's header.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// What tokens name the key by (`jkt`): its SHA-256 thumbprint (RFC 7638).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether it was made here, and so does not outlive this process.
    pub fn is_generated(&self) -> bool {
        self.of_file.is_none()
    }

    /// Where the newest nonce of `server` is kept: a token endpoint, or the origin of an upstream.
    pub fn nonce_of(&self, server: &str) -> Arc<Nonce> {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = nonces.iter().find(|(name, _)| **name == *server) {
            return Arc::clone(known);
        }
        if nonces.len() == MOST_SERVERS {
            // Who still holds it goes on with it.
            nonces.remove(0);
        }
        let nonce = Arc::<Nonce>::default();
        nonces.push((server.into(), Arc::clone(&nonce)));
        nonce
    }

    /// A proof for one request (RFC 9449 4.2): its method, its URL without query and fragment, the hash of the token that
    /// it carries, and the server's nonce. Takes tens of microseconds.
    ///
    /// # Errors
    /// [`SignError::Key`]: never with a key that was read.
    pub fn prove(
        &self,
        method: &str,
        url: &str,
        token_hash: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<HeaderValue, SignError> {
        let claims = serde_json::to_vec(&Claims {
            jti: &random_id(),
            htm: method,
            htu: url,
            iat: clock::unix_time().as_secs(),
            ath: token_hash,
            nonce,
        })
        .map_err(|_| SignError::Key)?;
        let size = self.header.len() + claims.len().div_ceil(3) * 4 + LONGEST_SIGNATURE;
        let mut proof = String::with_capacity(size);
        proof.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut proof);
        let signature = self.sign(proof.as_bytes())?;
        proof.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut proof);
        let mut proof = HeaderValue::try_from(proof).map_err(|_| SignError::Key)?;
        proof.set_sensitive(true);
        Ok(proof)
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
        }
        .map_err(|_| SignError::Key)
    }

    /// Adds what decides which key this is. Generated ones are all the same: the first that was made stays.
    pub fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder
            .text(self.algorithm.name())
            .option(self.of_file, FingerprintBuilder::fingerprint)
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProofKey({}, ****)", self.algorithm.name())
    }
}

/// A token and the key that it is bound to.
#[derive(Debug)]
pub struct Bound {
    key: Arc<ProofKey>,
    /// `ath` of all proofs with it.
    token_hash: Box<str>,
}

impl Bound {
    /// A token that was issued for `key`.
    pub fn new(key: Arc<ProofKey>, token: &Secret) -> Self {
        Self {
            key,
            token_hash: hashed(token.expose()),
        }
    }

    /// A proof for one request that carries the token; see [`ProofKey::prove`].
    ///
    /// # Errors
    /// As there.
    pub fn prove(
        &self,
        method: &str,
        url: &str,
        nonce: Option<&str>,
    ) -> Result<HeaderValue, SignError> {
        self.key.prove(method, url, Some(&self.token_hash), nonce)
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// The public half with the members and in the order that RFC 7638 hashes.
fn jwk(pair: &Pair) -> String {
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match pair {
        Pair::Ec(pair) => {
            // Behind the mark of an uncompressed point.
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            let curve = if x.len() == 32 { "P-256" } else { "P-384" };
            let (x, y) = (encoded(x), encoded(y));
            format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        Pair::Ed25519(pair) => {
            let x = encoded(pair.public_key().as_ref());
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
        }
    }
}

fn hashed(text: &str) -> Box<str> {
    URL_SAFE_NO_PAD
        .encode(digest(&SHA256, text.as_bytes()))
        .into()
}

/// Servers whose nonces a key keeps: more than a file has upstreams for one credential.
const MOST_SERVERS: usize = 256;

/// That of ES384 in Base64, with the dot before it.
const LONGEST_SIGNATURE: usize = 129;

#[cfg(test)]
mod tests;
