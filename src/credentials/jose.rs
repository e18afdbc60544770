//! Signs JWTs (RFC 7515, 7519) with keys that are read and checked once, when the file is loaded.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Map, Value};

use super::{FailureKind, FetchError, FingerprintBuilder};
use crate::secret::Secret;

mod pem;

pub use pem::KeyError;
pub(super) use pem::{Pair, private_key};

crate::config_words! {
    /// How a JWT is signed (RFC 7518 3.1, RFC 8037).
    pub enum Algorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
        /// RSA (PKCS #1 v1.5) with SHA-256.
        Rs256 = "RS256",
        /// RSA (PKCS #1 v1.5) with SHA-384.
        Rs384 = "RS384",
        /// RSA (PKCS #1 v1.5) with SHA-512.
        Rs512 = "RS512",
        /// RSA (PSS) with SHA-256.
        Ps256 = "PS256",
        /// RSA (PSS) with SHA-384.
        Ps384 = "PS384",
        /// RSA (PSS) with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// EdDSA on Ed25519.
        EdDsa = "EdDSA",
    }
}

impl Algorithm {
    /// Its name in a JWT's header.
    pub fn name(self) -> &'static str {
        ALGORITHMS[self as usize].1
    }

    /// Whether it signs with a secret that the other side has, too.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    fn is_rsa(self) -> bool {
        matches!(
            self,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512
        )
    }

    fn library(self) -> jsonwebtoken::Algorithm {
        ALGORITHMS[self as usize].0
    }
}

/// A key with the algorithm that it signs by. Cheap to clone; wiped with its last clone.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    /// None where secrets are not read, so that a file can be explained without them.
    key: Option<Arc<EncodingKey>>,
}

/// Why a JWT could not be signed. With a key that was checked, only a header can be at fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// `alg` comes from the key.
    #[error("`alg` can't stand in a JWT's header beside the key's own")]
    Header,
    /// The key is a stand-in, or the library refuses it.
    #[error("the key can't sign")]
    Key,
}

impl SigningKey {
    /// A private key as PEM: PKCS #8, PKCS #1 or SEC 1; `\n` may stand for a line break, as in variables.
    ///
    /// Without an algorithm, the key decides: RS256, ES256, ES384 or EdDSA.
    ///
    /// # Errors
    /// [`KeyError`] where it is no such key, or not one for this algorithm.
    pub fn from_pem(
        algorithm: impl Into<Option<Algorithm>>,
        pem: &Secret,
    ) -> Result<Self, KeyError> {
        let (algorithm, key) = pem::read(algorithm.into(), pem)?;
        Self::checked(algorithm, key)
    }

    /// A secret that both sides know, for HS256 and its kin.
    ///
    /// # Errors
    /// [`KeyError`] where the algorithm wants a private key, or the secret is one.
    pub fn from_secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        pem::is_shared_secret(algorithm, secret)?;
        Self::checked(
            algorithm,
            EncodingKey::from_secret(secret.expose().as_bytes()),
        )
    }

    /// Either of both, as the algorithm wants it.
    ///
    /// # Errors
    /// As the two above.
    pub fn new(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        if algorithm.is_symmetric() {
            Self::from_secret(algorithm, secret)
        } else {
            Self::from_pem(algorithm, secret)
        }
    }

    /// What stands for a key where no secret is read; it can't sign.
    pub fn stand_in(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            key: None,
        }
    }

    /// Signs once, so that a key which can't is found when the file is loaded.
    fn checked(algorithm: Algorithm, key: EncodingKey) -> Result<Self, KeyError> {
        let key = Self {
            algorithm,
            key: Some(Arc::new(key)),
        };
        key.sign(&Map::new(), &Map::new())
            .map_err(|_| KeyError::Damaged)?;
        Ok(key)
    }

    /// What it signs by.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The compact JWT; `header` holds members beside `alg` (`kid`, `x5t`...), `typ` is `JWT` unless given there.
    ///
    /// Takes milliseconds with an RSA key: see [`SigningKey::sign_aside`].
    ///
    /// # Errors
    /// [`SignError`]
    pub fn sign(
        &self,
        header: &Map<String, Value>,
        claims: &Map<String, Value>,
    ) -> Result<Secret, SignError> {
        let mut full = Header::new(self.algorithm.library());
        for (name, value) in header {
            match name.as_str() {
                "alg" => return Err(SignError::Header),
                // It stands once: as an extra member, of any type.
                "typ" => full.typ = None,
                _ => {}
            }
            full.extras.insert(name.clone(), value);
        }
        let key = self.key.as_deref().ok_or(SignError::Key)?;
        encode(&full, claims, key)
            .map(Secret::new)
            .map_err(|_| SignError::Key)
    }

    /// As [`SigningKey::sign`], for async code: what is slow is done aside.
    ///
    /// # Errors
    /// [`SignError`]
    pub async fn sign_aside(
        &self,
        header: Map<String, Value>,
        claims: Map<String, Value>,
    ) -> Result<Secret, SignError> {
        if !self.algorithm.is_rsa() {
            return self.sign(&header, &claims);
        }
        let key = self.clone();
        tokio::task::spawn_blocking(move || key.sign(&header, &claims))
            .await
            .unwrap_or(Err(SignError::Key))
    }

    /// Adds key and algorithm to a source's fingerprint.
    pub fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder
            .text(self.algorithm.name())
            .option(self.key.as_deref(), |b, key| b.bytes(key.as_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ****)", self.algorithm.name())
    }
}

impl From<SignError> for FetchError {
    fn from(error: SignError) -> Self {
        Self::permanent(FailureKind::Internal, error.to_string())
    }
}

/// 128 random bits as text: a `jti`, or whatever else must not come twice.
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// In the order of [`Algorithm`].
const ALGORITHMS: [(jsonwebtoken::Algorithm, &str); 12] = {
    use jsonwebtoken::Algorithm::{
        ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
    };
    [
        (HS256, "HS256"),
        (HS384, "HS384"),
        (HS512, "HS512"),
        (RS256, "RS256"),
        (RS384, "RS384"),
        (RS512, "RS512"),
        (PS256, "PS256"),
        (PS384, "PS384"),
        (PS512, "PS512"),
        (ES256, "ES256"),
        (ES384, "ES384"),
        (EdDSA, "EdDSA"),
    ]
};

#[cfg(test)]
mod tests;
