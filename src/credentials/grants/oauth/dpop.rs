//! `dpop:` tokens that are bound to a key: `true`, or a mapping with the key.

use std::sync::Arc;

use super::{BuildContext, OauthKeys};
use crate::{
    config::{Decode, Decoder, Diagnostic, Node, SecretSource, Sp, node::Kind, table::Type},
    credentials::{ProofAlgorithm, ProofKey},
};

/// Whether tokens are bound to a key, and to which.
#[derive(Clone, Debug)]
pub enum DpopKey {
    /// They are not.
    Off,
    /// To this one.
    On(Box<DpopKeys>),
}

crate::config_struct! {
    /// The key that tokens are bound to (RFC 9449).
    pub struct DpopKeys = "`dpop`" {
        /// How each request is signed; by default as the key suggests, and ES256 without one.
        optional alg: ProofAlgorithm,
        /// The private key as PEM: PKCS #8 or SEC 1, on P-256, P-384 or Ed25519. Without it the proxy makes one at start and keeps it
        /// in memory.
        optional key: SecretSource,
    }
}

impl Decode for DpopKey {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        if let Kind::Map(_) = node.kind {
            let keys = DpopKeys::decode(node, decoder)?;
            return keys.failed.is_empty().then(|| Self::On(Box::new(keys)));
        }
        let on = bool::decode(node, decoder)?;
        Some(if on {
            Self::On(Box::new(DpopKeys {
                alg: None,
                key: None,
                failed: Vec::new(),
            }))
        } else {
            Self::Off
        })
    }

    fn ty() -> Type {
        Type::AnyOf(vec![bool::ty(), Type::Table(DpopKeys::TABLE)])
    }
}

impl OauthKeys {
    /// Whether tokens are to be bound.
    pub(in crate::credentials::grants) fn asks_for_binding(&self) -> bool {
        self.dpop().is_some()
    }

    fn dpop(&self) -> Option<(&Sp<DpopKey>, &DpopKeys)> {
        let dpop = self.dpop.as_ref()?;
        match &dpop.value {
            DpopKey::Off => None,
            DpopKey::On(keys) => Some((dpop, keys)),
        }
    }

    /// A refresh token that outlives the process may be bound to the key, which has to do so too; `None` after reporting
    /// that it does not.
    pub(in crate::credentials::grants) fn keeps_key(
        &self,
        cx: &mut dyn BuildContext,
    ) -> Option<()> {
        match self.dpop() {
            Some((dpop, keys)) if keys.key.is_none() => {
                let error = "what this grant holds outlives a restart, and a key that is made at start does not";
                cx.report(Diagnostic::error(dpop.span, error).hint(
                    "make one by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out dpop.pem`, \
                     and write `dpop: { key: { file: dpop.pem } }`",
                ));
                None
            }
            _ => Some(()),
        }
    }

    /// The key of the file, or a new one; `Some(None)` where tokens are not bound.
    pub(super) fn proof_key(&self, cx: &mut dyn BuildContext) -> Option<Option<Arc<ProofKey>>> {
        let Some((_, keys)) = self.dpop() else {
            return Some(None);
        };
        let algorithm = keys.alg.as_ref().map(|alg| alg.value);
        let key = match &keys.key {
            None => ProofKey::generate(algorithm.unwrap_or(ProofAlgorithm::Es256)),
            Some(_) if !cx.reads_secrets() => ProofKey::stand_in(),
            Some(source) => match ProofKey::from_pem(algorithm, &cx.secret(source)?) {
                Ok(key) => key,
                Err(error) => {
                    cx.report(Diagnostic::error(source.span, error.to_string()));
                    return None;
                }
            },
        };
        Some(Some(Arc::new(key)))
    }
}
