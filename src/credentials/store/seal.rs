//! Seals what leaves the process: only a holder of the key reads it, and only in the place where it was put.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    hmac,
};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{Place, SlotId};
use crate::secret::Secret;

/// The key that seals, and the one before it, which only opens.
#[derive(Debug)]
pub struct Keyring {
    newest: Key,
    older: Option<Key>,
}

/// What is derived of one secret, each for one purpose.
struct Key {
    id: [u8; ID],
    seal: RandomizedNonceKey,
    places: hmac::Key,
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key of the store is not 32 bytes in base64")]
pub struct KeyringError;

/// Why something can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    /// It does not begin as ours do.
    #[error("it was not written by bearerd, or by another version")]
    Foreign,
    /// Another key sealed it.
    #[error("it was written with another key")]
    OtherKey,
    /// It was changed since, or belongs elsewhere.
    #[error("it is corrupt")]
    Corrupt,
}

impl Keyring {
    /// Where the cover begins in what is sealed.
    pub(super) const COVER_AT: usize = MAGIC.len() + ID;

    /// Whether something begins as all that is sealed does.
    pub(super) fn is_sealed(head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    /// Whether what is sealed was sealed with the newest key, by what it says of itself.
    pub(super) fn is_newest(&self, sealed: &[u8]) -> bool {
        let id = sealed.strip_prefix(MAGIC);
        id.is_some_and(|rest| rest.starts_with(&self.newest.id))
    }

    /// Of 32 bytes in base64, plain or for URLs; `older` is still opened.
    ///
    /// # Errors
    /// [`KeyringError`] where one of them is something else.
    pub fn new(newest: &Secret, older: Option<&Secret>) -> Result<Self, KeyringError> {
        Ok(Self {
            newest: Key::new(newest)?,
            older: older.map(Key::new).transpose()?,
        })
    }

    /// Where a slot's record is put.
    pub(super) fn place(&self, id: &SlotId) -> Place {
        self.newest.place(id)
    }

    /// Where it was put with the key before.
    pub(super) fn older_place(&self, id: &SlotId) -> Option<Place> {
        self.older.as_ref().map(|key| key.place(id))
    }

    /// Seals `plain` for `place`; `cover` stays in clear and can't be changed either.
    ///
    /// # Panics
    /// Never in practice: where the system has no randomness, nothing else works either.
    pub(super) fn seal(
        &self,
        place: &Place,
        cover: &[u8],
        mut plain: Zeroizing<Vec<u8>>,
    ) -> Vec<u8> {
        let key = &self.newest;
        let bound = bound(&key.id, place, cover);
        // Encrypted where it stands, so that no copy in clear is left behind.
        plain.reserve_exact(TAG);
        let nonce = key
            .seal
            .seal_in_place_append_tag(Aad::from(bound), &mut *plain)
            .expect("the system has randomness");
        let mut sealed = Vec::with_capacity(HEAD + cover.len() + plain.len());
        sealed.extend_from_slice(MAGIC);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(cover);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&plain);
        sealed
    }

    /// Opens what was sealed for `place` with a cover of `cover` bytes.
    ///
    /// # Errors
    /// [`SealError`].
    pub(super) fn open(
        &self,
        place: &Place,
        cover: usize,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let rest = sealed.strip_prefix(MAGIC).ok_or(SealError::Foreign)?;
        let (id, rest) = rest.split_first_chunk::<ID>().ok_or(SealError::Corrupt)?;
        let mut keys = [Some(&self.newest), self.older.as_ref()]
            .into_iter()
            .flatten();
        let key = keys.find(|key| key.id == *id).ok_or(SealError::OtherKey)?;
        let (cover, rest) = rest.split_at_checked(cover).ok_or(SealError::Corrupt)?;
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Corrupt)?;
        let mut body = Zeroizing::new(body.to_vec());
        let bound = bound(id, place, cover);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.seal.open_in_place(nonce, Aad::from(bound), &mut body);
        let length = plain.map_err(|_| SealError::Corrupt)?.len();
        body.truncate(length);
        Ok(body)
    }
}

impl Key {
    fn new(text: &Secret) -> Result<Self, KeyringError> {
        let secret = decoded(text.expose().trim()).ok_or(KeyringError)?;
        let root = Salt::new(HKDF_SHA256, b"bearerd store").extract(secret.as_slice());
        let seal = Zeroizing::new(derived::<32>(&root, b"seal"));
        let places = Zeroizing::new(derived::<32>(&root, b"place"));
        Ok(Self {
            id: derived(&root, b"id"),
            seal: RandomizedNonceKey::new(&AES_256_GCM_SIV, seal.as_slice())
                .expect("32 bytes are a key"),
            places: hmac::Key::new(hmac::HMAC_SHA256, places.as_slice()),
        })
    }

    /// Keyed, so that nobody can guess a weak secret from the name of a file.
    fn place(&self, id: &SlotId) -> Place {
        let tag = hmac::sign(&self.places, &id.0);
        let mut place = [0; 32];
        place.copy_from_slice(tag.as_ref());
        Place(place)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(****)")
    }
}

/// All that a seal is bound to: moved or relabelled, it does not open. All but the cover have one length.
fn bound(id: &[u8; ID], place: &Place, cover: &[u8]) -> Vec<u8> {
    [MAGIC, id.as_slice(), &place.0, cover].concat()
}

fn decoded(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let any = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let mut bytes = Zeroizing::new([0; 33]);
    let length = [&STANDARD, &URL_SAFE].into_iter().find_map(|alphabet| {
        GeneralPurpose::new(alphabet, any)
            .decode_slice(text, bytes.as_mut_slice())
            .ok()
    })?;
    let key = bytes.first_chunk::<32>().filter(|_| length == 32)?;
    Some(Zeroizing::new(*key))
}

fn derived<const N: usize>(root: &Prk, purpose: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    root.expand(&[purpose], Length(N))
        .and_then(|key| key.fill(&mut out))
        .expect("short of 255 hashes");
    out
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The form of this version.
const MAGIC: &[u8; 4] = b"brd\x01";
const ID: usize = 4;
const TAG: usize = 16;
const HEAD: usize = MAGIC.len() + ID + NONCE_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret {
        use base64::engine::general_purpose::STANDARD;
        Secret::new(STANDARD.encode([byte; 32]))
    }

    fn ring(newest: u8, older: Option<u8>) -> Keyring {
        Keyring::new(&key(newest), older.map(key).as_ref()).unwrap()
    }

    fn id(byte: u8) -> SlotId {
        SlotId([byte; 32])
    }

    fn sealed(ring: &Keyring, place: &Place) -> Vec<u8> {
        ring.seal(place, b"cover", Zeroizing::new(b"canary".to_vec()))
    }

    #[test]
    fn what_is_sealed_is_opened_in_its_place() {
        let ring = ring(1, None);
        let place = ring.place(&id(7));
        let sealed = sealed(&ring, &place);
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert_eq!(ring.open(&place, 5, &sealed).unwrap().as_slice(), b"canary");
        let elsewhere = ring.place(&id(8));
        assert_eq!(ring.open(&elsewhere, 5, &sealed), Err(SealError::Corrupt));
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let ring = ring(1, None);
        let place = ring.place(&id(7));
        let sealed = sealed(&ring, &place);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ring.open(&place, 5, &changed).is_err(), "byte {at} changed");
            assert!(ring.open(&place, 5, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes() {
        let ring = ring(1, None);
        let place = ring.place(&id(7));
        assert_ne!(sealed(&ring, &place), sealed(&ring, &place));
    }

    #[test]
    fn the_key_before_still_opens_and_no_other_does() {
        let before = ring(1, None);
        let place = before.place(&id(7));
        let sealed = sealed(&before, &place);
        let after = ring(2, Some(1));
        assert_eq!(after.older_place(&id(7)), Some(place.clone()));
        assert!(after.open(&place, 5, &sealed).is_ok());
        assert_eq!(
            ring(2, None).open(&place, 5, &sealed),
            Err(SealError::OtherKey)
        );
        assert_eq!(
            ring(2, None).open(&place, 5, b"{}"),
            Err(SealError::Foreign)
        );
    }

    #[test]
    fn a_key_has_thirty_two_bytes_in_either_base64() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
        for bytes in [31, 33] {
            let text = Secret::new(STANDARD.encode(vec![1; bytes]));
            assert_eq!(
                Keyring::new(&text, None).unwrap_err(),
                KeyringError,
                "{bytes}"
            );
        }
        let text = Secret::new(format!("{}\n", URL_SAFE_NO_PAD.encode([0xfb; 32])));
        assert!(Keyring::new(&text, None).is_ok());
        assert!(Keyring::new(&Secret::new("hunter2"), None).is_err());
        assert!(Keyring::new(&key(1), Some(&Secret::new(""))).is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", ring(1, Some(2)));
        assert_eq!(
            shown,
            "Keyring { newest: Key(****), older: Some(Key(****)) }"
        );
    }
}
