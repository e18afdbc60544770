//! `store`: where credentials outlive the process.

use std::path::PathBuf;

use crate::{
    config::{RedisUrl, SecretSource},
    config_struct,
};

config_struct! {
    /// Where credentials outlive the process: a restart asks the token endpoints for nothing that is still valid, and a
    /// refresh token that the server has rotated is not lost. None unless given. Exactly one of these keys.
    pub struct RawStore = "store" {
        /// A folder of files on this machine.
        optional file: RawFileStore,
        /// A Redis or Valkey that a fleet shares.
        optional redis: RawRedisStore,
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

config_struct! {
    /// A Redis (6 or later) or Valkey that a fleet shares: one replica fetches, the others take what it brings. Its values are
    /// encrypted. No cluster: a primary, or what stands for one.
    pub struct RawRedisStore = "a store in Redis" {
        /// Where it is: `redis://host:6379/0` in clear, `rediss://host:6379/0` by TLS.
        required url: RedisUrl,
        /// The key that encrypts: 32 bytes in base64, as `openssl rand -base64 32` makes them. All replicas have the same.
        required key: SecretSource,
        /// The key before, which only reads: what it has written is written anew with `key` when it changes.
        optional old_key: SecretSource,
        /// Who we are there (ACL); Redis's default user where only `password` is given.
        optional username: String,
        /// The password there.
        optional password: SecretSource,
        /// What the names of all keys begin with: one for each fleet.
        default("bearerd") prefix: String,
        /// Whom to trust there, where the URL is `rediss://`.
        optional tls: RedisTls,
        /// Allows to send the password in clear (`redis://`) although the server is not on this machine.
        default("false") danger_plaintext: bool,
    }
}

config_struct! {
    /// How the certificate of a Redis is verified.
    pub struct RedisTls = "the tls of a Redis" {
        /// The certificates (PEM) to trust instead of the platform's.
        optional ca: PathBuf,
    }
}
