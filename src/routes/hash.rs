//! A fast hash for look-ups by short texts.
//!
//! Not keyed and not collision resistant, on purpose: only the file inserts. A client chooses what is looked
//! up, which makes no bucket longer than the file made it.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map from bytes, filled at load, read per request.
pub(super) type FastMap<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<Folding>>;

/// Multiplies into 128 bits and folds the halves, eight bytes at a time.
#[derive(Debug, Default)]
pub(super) struct Folding(u64);

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.fold(u64::from_le_bytes(
                word.try_into().expect("chunks of eight"),
            ));
        }
        let tail = words.remainder();
        if !tail.is_empty() {
            let mut word = [0; 8];
            word[..tail.len()].copy_from_slice(tail);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.fold(length as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Folding {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ SEED) * u128::from(FACTOR);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

/// Digits of pi and of the golden ratio: odd, and of no other meaning.
const SEED: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
