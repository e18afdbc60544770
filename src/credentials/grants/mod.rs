//! The grants: one file each, one line each in [`GRANTS`].
//!
//! A grant's file holds its keys (decoded by the macro that also writes the reference), how they become a
//! [`Source`], and the source itself. Nothing else in the program lists grants.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::HeaderName;

use super::{Algorithm, Linked, SigningKey, Source, presets, recipe};
use crate::{
    config::{Decode, Decoder, Diagnostic, Node, SecretSource, Sp, Span, table::Variant},
    secret::Secret,
};

pub mod authorization_code;
pub mod client_credentials;
pub mod device_code;
pub mod exec;
pub mod file;
pub mod fixed;
mod jwt;
pub mod jwt_bearer;
pub mod oauth;
pub mod password;
mod printed;
mod refresh;
pub mod refresh_token;
pub mod token_exchange;

pub use client_credentials::ClientCredentials;
pub use fixed::Fixed;

/// Every grant of this version.
pub static GRANTS: &[Grant] = &[
    client_credentials::GRANT,
    refresh_token::GRANT,
    password::GRANT,
    jwt_bearer::GRANT,
    authorization_code::GRANT,
    device_code::GRANT,
    token_exchange::GRANT,
    exec::GRANT,
    file::GRANT,
    fixed::GRANT,
    recipe::GRANT,
    presets::GRANT,
];

/// The kinds of credentials, as the decoder of the file wants them.
pub static KINDS: &[Variant] = &{
    let mut kinds = [GRANTS[0].variant; GRANTS.len()];
    let mut at = 1;
    while at < kinds.len() {
        kinds[at] = GRANTS[at].variant;
        at += 1;
    }
    kinds
};

/// One way to obtain a credential.
#[derive(Debug)]
pub struct Grant {
    /// Its key in the file, and the keys below it.
    pub variant: Variant,
    /// Reads what stands under the key; `None` where diagnostics say why not.
    pub decode: fn(&Node, &mut Decoder) -> Option<Box<dyn GrantConfig>>,
}

/// A grant's keys as they stand in the file.
pub trait GrantConfig: fmt::Debug {
    /// Resolves secrets and files and checks the whole; `None` where diagnostics say why not.
    ///
    /// Makes no call over the network.
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>>;

    /// Where the credential goes in a request, unless the file says otherwise.
    fn placement(&self) -> Placement {
        Placement::Bearer
    }
}

/// What building a source asks of whoever loads the file.
pub trait BuildContext {
    /// Reads a secret; `None` after reporting why not.
    fn secret(&mut self, source: &Sp<SecretSource>) -> Option<Secret>;

    /// Reads a file that is no secret, such as a CA's certificates; `None` after reporting why not.
    fn file(&mut self, path: &Sp<&Path>) -> Option<Vec<u8>>;

    /// Where a path of the file points that the source will read itself, each time anew.
    fn path(&self, path: &Path) -> PathBuf;

    /// The credential's name in the file.
    fn name(&self) -> &str;

    /// Whether the file has a `store`, where what must outlive the process is kept.
    fn has_store(&self) -> bool {
        false
    }

    /// The link to another credential of the file, built before this one; `None` after reporting why not.
    fn credential(&mut self, name: &Sp<String>) -> Option<Linked>;

    /// Whether secrets are read at all; where not, a fixed text stands for each.
    fn reads_secrets(&self) -> bool {
        true
    }

    /// Reads a key to sign with; `None` after reporting why not.
    fn signing_key(
        &mut self,
        algorithm: Option<Algorithm>,
        source: &Sp<SecretSource>,
    ) -> Option<SigningKey> {
        let secret = self.secret(source)?;
        if !self.reads_secrets() {
            let algorithm = algorithm.unwrap_or(Algorithm::Rs256);
            return Some(SigningKey::stand_in(algorithm));
        }
        let key = match algorithm {
            Some(algorithm) => SigningKey::new(algorithm, &secret),
            None => SigningKey::from_pem(None, &secret),
        };
        match key {
            Ok(key) => Some(key),
            Err(error) => {
                self.report(Diagnostic::error(source.span, error.to_string()));
                None
            }
        }
    }

    /// Where the credential stands in the file, for what has no place of its own.
    fn span(&self) -> Span;

    /// Reports what is wrong.
    fn report(&mut self, diagnostic: Diagnostic);
}

/// Where a credential goes when the file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `Authorization: Bearer <access_token>`.
    Bearer,
    /// A header with a templated value.
    Header {
        /// Its name.
        name: HeaderName,
        /// Its value, a template over the credential's parts.
        value: &'static str,
    },
}

/// The grant of this key.
pub fn find(key: &str) -> Option<&'static Grant> {
    GRANTS.iter().find(|grant| grant.variant.name == key)
}

/// A [`Grant::decode`] of the type that a grant's keys are read into.
fn decode<T: Decode + GrantConfig + 'static>(
    node: &Node,
    decoder: &mut Decoder,
) -> Option<Box<dyn GrantConfig>> {
    T::decode(node, decoder).map(|config| Box::new(config) as Box<dyn GrantConfig>)
}

#[cfg(test)]
pub(super) mod tests;
