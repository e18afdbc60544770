//! Private keys in PEM: what they are, whether they fit, and a clear word where they don't.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    RsaKeyPair,
};
use jsonwebtoken::EncodingKey;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::Algorithm;
use crate::secret::Secret;

/// What keeps a text from being the key that is wanted. Holds none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM at all.
    #[error("this is no key in PEM: that begins with `-----BEGIN PRIVATE KEY-----`")]
    NotPem,
    /// The wrong half of a pair.
    #[error("this is a public key: signing needs the private one")]
    Public,
    /// A certificate alone.
    #[error("this is a certificate: signing needs its private key")]
    Certificate,
    /// Its pass phrase is not known.
    #[error("this key is encrypted: `openssl pkey -in KEY -out PLAIN` decrypts it")]
    Encrypted,
    /// The format of OpenSSH.
    #[error("this key is in OpenSSH's own format: `ssh-keygen -p -m PKCS8 -f KEY` rewrites it")]
    OpenSsh,
    /// Neither RSA nor an elliptic curve that is known, or cut off, or inconsistent.
    #[error("this key can't be read: it is damaged, or of an unknown kind")]
    Damaged,
    /// Shorter than any algorithm allows.
    #[error("this RSA key can't be used: it has less than 2048 or more than 8192 bits")]
    RsaSize,
    /// A good key, but not for this algorithm.
    #[error("{algorithm} signs with {wanted}, and this is {found}")]
    Kind {
        /// The algorithm's name.
        algorithm: &'static str,
        /// What it wants.
        wanted: &'static str,
        /// What the key is.
        found: &'static str,
    },
    /// A good key, but no algorithm for it is known.
    #[error("no algorithm signs with {0}")]
    NoAlgorithm(&'static str),
    /// A good key, but not one for what is signed with each request.
    #[error(
        "this is {0}: each request is signed, by an EC key on P-256 or P-384, or an Ed25519 key"
    )]
    NotForRequests(&'static str),
}

/// A key that signs at once: `EncodingKey` reads its own anew for each signature.
pub(in crate::credentials) enum Pair {
    /// On P-256 or P-384; the signature is what a JWT holds.
    Ec(EcdsaKeyPair),
    /// On Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    /// The pair in a PEM text, for this algorithm or the usual one of its kind.
    pub(in crate::credentials) fn read(
        algorithm: Option<Algorithm>,
        pem: &Secret,
    ) -> Result<(Algorithm, Self), KeyError> {
        let der = private_key(pem)?;
        let kind = Kind::of(&der)?;
        let algorithm = match kind {
            Kind::Ec(Curve::P256 | Curve::P384) | Kind::Ed25519 => kind.fitting(algorithm)?,
            other => return Err(KeyError::NotForRequests(other.shown())),
        };
        let pair = match kind {
            Kind::Ec(curve) => {
                EcdsaKeyPair::from_private_key_der(curve.signing(), der.secret_der()).map(Self::Ec)
            }
            _ => Ed25519KeyPair::from_pkcs8(der.secret_der()).map(Self::Ed25519),
        };
        pair.map(|pair| (algorithm, pair))
            .map_err(|_| KeyError::Damaged)
    }

    /// A new pair; ES384 and EdDSA have their own, all else is on P-256.
    pub(in crate::credentials) fn generate(algorithm: Algorithm) -> Self {
        let made = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate().map(Self::Ed25519),
            Algorithm::Es384 => EcdsaKeyPair::generate(Curve::P384.signing()).map(Self::Ec),
            _ => EcdsaKeyPair::generate(Curve::P256.signing()).map(Self::Ec),
        };
        made.expect("the system has random numbers")
    }
}

/// The key, for this algorithm or the usual one of its kind.
pub(super) fn read(
    algorithm: Option<Algorithm>,
    pem: &Secret,
) -> Result<(Algorithm, EncodingKey), KeyError> {
    let der = private_key(pem)?;
    let kind = Kind::of(&der)?;
    let algorithm = kind.fitting(algorithm)?;
    let key = match (kind, &*der) {
        (Kind::Rsa, PrivateKeyDer::Pkcs8(key)) => {
            EncodingKey::from_rsa_der(inner(key.secret_pkcs8_der()).ok_or(KeyError::Damaged)?)
        }
        (Kind::Rsa, der) => EncodingKey::from_rsa_der(der.secret_der()),
        (Kind::Ed25519, der) => EncodingKey::from_ed_der(der.secret_der()),
        (Kind::Ec(curve), der) => {
            // SEC 1 is put into PKCS #8, which is all that the library reads.
            let pkcs8 = EcdsaKeyPair::from_private_key_der(curve.signing(), der.secret_der())
                .and_then(|pair| Ok(pair.to_pkcs8v1()?))
                .map_err(|_| KeyError::Damaged)?;
            EncodingKey::from_ec_der(pkcs8.as_ref())
        }
        (Kind::Secret, _) => return Err(KeyError::Damaged),
    };
    Ok((algorithm, key))
}

/// The first private key in a PEM text, of whatever kind.
pub(in crate::credentials) fn private_key(
    pem: &Secret,
) -> Result<Zeroizing<PrivateKeyDer<'static>>, KeyError> {
    // One line of a variable or of a JSON text, with the line breaks spelled out.
    let text = Zeroizing::new(pem.expose().replace("\\r", "").replace("\\n", "\n"));
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| without_key(&text))
}

/// Refuses a private key where a shared secret is meant: who verified with it would know it all.
pub(super) fn is_shared_secret(algorithm: Algorithm, secret: &Secret) -> Result<(), KeyError> {
    let (wanted, found) = match Kind::wanted(algorithm) {
        Kind::Secret if secret.expose().contains("-----BEGIN ") => (Kind::Secret, "a PEM text"),
        Kind::Secret => return Ok(()),
        wanted => (wanted, Kind::Secret.shown()),
    };
    Err(KeyError::Kind {
        algorithm: algorithm.name(),
        wanted: wanted.shown(),
        found,
    })
}

/// What is there instead of a private key.
fn without_key(text: &str) -> KeyError {
    // The first that is there decides, so those that explain more come first.
    let signs = [
        ("-----BEGIN ENCRYPTED PRIVATE KEY", KeyError::Encrypted),
        // How old tools mark it, above the text of an otherwise ordinary section.
        ("Proc-Type: 4,ENCRYPTED", KeyError::Encrypted),
        ("-----BEGIN OPENSSH PRIVATE KEY", KeyError::OpenSsh),
        ("PRIVATE KEY-----", KeyError::Damaged),
        ("PUBLIC KEY-----", KeyError::Public),
        ("-----BEGIN CERTIFICATE-----", KeyError::Certificate),
    ];
    signs
        .into_iter()
        .find(|(sign, _)| text.contains(sign))
        .map_or(KeyError::NotPem, |(_, error)| error)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Rsa,
    Ec(Curve),
    Ed25519,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Kind {
    /// Told by trying: each kind's reader refuses the others.
    fn of(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let bytes = der.secret_der();
        let rsa = match der {
            PrivateKeyDer::Pkcs1(_) => Some(RsaKeyPair::from_der(bytes)),
            PrivateKeyDer::Pkcs8(_) => Some(RsaKeyPair::from_pkcs8(bytes)),
            _ => None,
        };
        match rsa {
            Some(Ok(_)) => return Ok(Self::Rsa),
            Some(Err(error)) if ["TooSmall", "TooLarge"].contains(&error.to_string().as_str()) => {
                return Err(KeyError::RsaSize);
            }
            _ => {}
        }
        if Ed25519KeyPair::from_pkcs8(bytes).is_ok() {
            return Ok(Self::Ed25519);
        }
        [Curve::P256, Curve::P384, Curve::P521]
            .into_iter()
            .find(|curve| EcdsaKeyPair::from_private_key_der(curve.signing(), bytes).is_ok())
            .map(Self::Ec)
            .ok_or(KeyError::Damaged)
    }

    /// The algorithm that is asked for, if it is one for this kind, or the usual one.
    fn fitting(self, algorithm: Option<Algorithm>) -> Result<Algorithm, KeyError> {
        let Some(algorithm) = algorithm else {
            return self.algorithm().ok_or(KeyError::NoAlgorithm(self.shown()));
        };
        match Self::wanted(algorithm) {
            wanted if wanted == self => Ok(algorithm),
            wanted => Err(KeyError::Kind {
                algorithm: algorithm.name(),
                wanted: wanted.shown(),
                found: self.shown(),
            }),
        }
    }

    fn wanted(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Self::Secret,
            Algorithm::Es256 => Self::Ec(Curve::P256),
            Algorithm::Es384 => Self::Ec(Curve::P384),
            Algorithm::EdDsa => Self::Ed25519,
            _ => Self::Rsa,
        }
    }

    fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::Rsa => Some(Algorithm::Rs256),
            Self::Ec(Curve::P256) => Some(Algorithm::Es256),
            Self::Ec(Curve::P384) => Some(Algorithm::Es384),
            Self::Ed25519 => Some(Algorithm::EdDsa),
            Self::Ec(Curve::P521) | Self::Secret => None,
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Secret => "a shared secret",
            Self::Rsa => "an RSA key",
            Self::Ec(Curve::P256) => "an EC key on P-256",
            Self::Ec(Curve::P384) => "an EC key on P-384",
            Self::Ec(Curve::P521) => "an EC key on P-521",
            Self::Ed25519 => "an Ed25519 key",
        }
    }
}

impl Curve {
    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}

/// The PKCS #1 key within a PKCS #8 one: a sequence of version, algorithm and an octet string that holds it.
pub(super) fn inner(pkcs8: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(pkcs8, SEQUENCE)?;
    let (_, rest) = element(outer, INTEGER)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    element(rest, OCTET_STRING).map(|(key, _)| key)
}

/// The content of the DER element of this tag at the beginning of `bytes`, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first().filter(|(first, _)| **first == tag)?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short - 0x80))?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
