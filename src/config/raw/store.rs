//! `store`: where credentials outlive the process.

use std::path::PathBuf;

use crate::{config::SecretSource, config_struct};

config_struct! {
    /// Where credentials outlive the process: a restart asks the token endpoints for nothing that is still valid, and a
    /// refresh token that the server has rotated is not lost. None unless given. Exactly one of these keys.
    pub struct RawStore = "store", unavailable = ["redis"] {
        /// A folder of files on this machine.
        optional file: RawFileStore,
    }
}

config_struct! {
    /// A folder of encrypted files, one for each credential and user. Several processes on one machine may share it.
    pub struct RawFileStore = "a store of files" {
        /// The folder; made where there is none.
        required path: PathBuf,
        /// The key that encrypts: 32 bytes in base64, as `openssl rand -base64 32` makes them.
        required key: SecretSource,
        /// The key before, which only reads: what it has written is written anew with `key` when it changes.
        optional old_key: SecretSource,
        /// Records at once; what has ended makes room for others, a refresh token never does.
        default("100000") max_records: u64,
    }
}
