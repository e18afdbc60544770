//! `callers:` who may use the proxy.

use http::HeaderName;

use crate::{
    config::{scalars::MaskedText, secret_source::SecretSource},
    config_struct,
};

config_struct! {
    /// One who may use the proxy: exactly one way to recognise it.
    pub struct RawCaller = "a caller", unavailable = ["jwt", "client_certificate", "unix_peer"] {
        /// A key that it sends in a header.
        required api_key: ApiKey,
    }
}

config_struct! {
    /// A key that a caller sends in a header: its hash, or where to read it.
    pub struct ApiKey = "an API key", short = "sha256" {
        /// The header; in `Authorization` the key comes as `Bearer KEY` or as Basic's password.
        default("X-Api-Key") header: HeaderName,
        /// The SHA-256 of the key, 64 hex digits: `printf %s "$KEY" | sha256sum`.
        optional sha256: MaskedText,
        /// The key itself, kept as a hash.
        optional key: SecretSource,
    }
}
