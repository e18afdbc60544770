//! Who may use the proxy: keys hashed, names known.

use std::sync::Arc;

use super::credentials::read_secret;
use crate::{
    callers::{ApiKey, Callers, KeyHash},
    config::{self, Decoder, Diagnostic, Resolver, Sp, raw::RawFile},
};

/// The callers whose keys are usable; the others have their diagnostics.
pub(super) fn compile(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Callers {
    let Some(callers) = &file.callers else {
        return Callers::default();
    };
    if callers.0.is_empty() {
        let error = Diagnostic::error(callers.span, "`callers` names nobody");
        decoder.push(error.hint("name a caller, or remove the key"));
    }
    let keys = callers.iter().filter_map(|(name, caller)| {
        let key = &caller.api_key;
        let hash = hash(name, key, decoder, resolver)?;
        Some(ApiKey {
            name: Arc::from(name.as_str()),
            header: key.header.value.clone(),
            hash,
        })
    });
    Callers::new(keys.collect())
}

fn hash(
    name: &Sp<String>,
    key: &Sp<config::raw::ApiKey>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<KeyHash> {
    if !key.failed.is_empty() {
        return None;
    }
    match (&key.sha256, &key.key) {
        (Some(sha256), None) => {
            let text = sha256.0.expose();
            let digits = text.strip_prefix("sha256:").unwrap_or(text);
            KeyHash::parse(&format!("sha256:{digits}"))
                .ok()
                .or_else(|| {
                    decoder.push(
                        Diagnostic::error(sha256.span, "this is no SHA-256: 64 hexadecimal digits")
                            .hint("make one by `printf %s \"$KEY\" | sha256sum`"),
                    );
                    None
                })
        }
        (None, Some(source)) => {
            read_secret(source, decoder, resolver).map(|secret| KeyHash::of(&secret))
        }
        _ => {
            let message = format!(
                "caller `{}` needs exactly one of `sha256` and `key`",
                name.value
            );
            decoder.fail(key.span, message)
        }
    }
}
