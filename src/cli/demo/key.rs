//! The demo's RSA key: made at start, gone at its end, and known to Symphony's stand-in as the bot's.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey},
};
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::secret::Secret;

/// The half of the key that a service knows.
#[derive(Clone, Debug)]
pub(super) struct PublicKey(Vec<u8>);

impl PublicKey {
    pub(super) fn of(pair: &KeyPair) -> Self {
        Self(pair.public_key().as_ref().to_vec())
    }

    /// Whether `signature` is RS512 of `signed` by the other half.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, &self.0)
            .verify(signed, signature)
            .is_ok()
    }
}

/// A new key pair: the public half, and the private one as PEM (PKCS #8).
pub(super) fn generate() -> Result<(PublicKey, Secret), Unspecified> {
    let pair = KeyPair::generate(KeySize::Rsa2048)?;
    let der = AsDer::<Pkcs8V1Der<'static>>::as_der(&pair)?;
    let base64 = BASE64_STANDARD.encode(der.as_ref());
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.map(|line| line.into_owned() + "\n").collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n");
    Ok((PublicKey::of(&pair), Secret::new(pem)))
}
