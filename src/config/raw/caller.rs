//! `callers:` who may use the proxy.

use std::{path::PathBuf, time::Duration};

use http::HeaderName;

use crate::{
    config::{
        scalars::{MaskedText, Named, OneOrList},
        secret_source::SecretSource,
        url::HttpUrl,
    },
    config_struct, config_words,
};

config_struct! {
    /// One who may use the proxy: exactly one way to recognise it.
    pub struct RawCaller = "a caller" {
        /// A key that it sends in a header.
        optional api_key: ApiKey,
        /// A token of an issuer that it sends in a header: all who have such a token are this caller.
        optional jwt: RawJwt,
        /// A certificate that it shows on a listener with `client_ca`.
        optional client_certificate: RawClientCertificate,
        /// Whom it runs as on this machine, where it comes by a unix socket.
        optional unix_peer: RawUnixPeer,
        /// Lets it say, on routes with `subject: { header: NAME }`, which user a request is for.
        default("false") may_name_users: bool,
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

config_struct! {
    /// What of a certificate makes it a caller's: exactly one of these.
    pub struct RawClientCertificate = "a client certificate" {
        /// A DNS name or a URI of its subject alternative name.
        optional san: String,
        /// Its SPIFFE id, as in `spiffe://example.org/billing`; `/*` at its end stands for all below.
        optional spiffe: String,
        /// Its subject as RFC 4514 has it, most particular first: `CN=batch,O=Example`.
        optional subject: String,
    }
}

config_struct! {
    /// Whom a caller runs as: all of what is given.
    pub struct RawUnixPeer = "a unix peer" {
        /// Its user, by number: `id -u NAME`.
        optional uid: u64,
        /// Its group, by number: `id -g NAME`. Its further groups do not count.
        optional gid: u64,
    }
}

config_struct! {
    /// A JSON Web Token that a caller sends: signed by its issuer, meant for this proxy, not expired.
    pub struct RawJwt = "a JWT caller" {
        /// Who issues the tokens: `iss`, exactly.
        required issuer: String,
        /// What the tokens call this proxy: one of these must be in `aud`.
        required audience: OneOrList<String>,
        /// Where the issuer publishes its keys. Either this or `jwks_file`.
        optional jwks_url: HttpUrl,
        /// A file with the issuer's keys.
        optional jwks_file: PathBuf,
        /// A file with the only authorities to trust at `jwks_url`, as PEM.
        optional ca: PathBuf,
        /// Allows a `jwks_url` in clear beyond loopback: whoever stands between can make himself any caller.
        default("false") danger_plaintext: bool,
        /// How the tokens may be signed.
        default("RS256") algorithms: OneOrList<JwtAlgorithm>,
        /// How far the issuer's clock may differ from ours, at most 60s.
        default("30s") leeway: Duration,
        /// Claims that must have this value; of a list, one of its items must.
        optional claims: Named<String>,
        /// The header: `Bearer TOKEN`, in any but `Authorization` also the bare token.
        default("Authorization") header: HeaderName,
        /// The claim that tells whom a token is for.
        default("sub") subject_claim: String,
    }
}

config_words! {
    /// How a token may be signed. Never with a shared secret: every holder of it could be anybody.
    pub enum JwtAlgorithm {
        /// RSA, PKCS #1.
        Rs256 = "RS256",
        /// RSA, PKCS #1, SHA-384.
        Rs384 = "RS384",
        /// RSA, PKCS #1, SHA-512.
        Rs512 = "RS512",
        /// RSA, PSS.
        Ps256 = "PS256",
        /// RSA, PSS, SHA-384.
        Ps384 = "PS384",
        /// RSA, PSS, SHA-512.
        Ps512 = "PS512",
        /// ECDSA, P-256.
        Es256 = "ES256",
        /// ECDSA, P-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}
