//! Who may use the proxy: keys hashed, issuers and their keys known.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{self, SHA256};
use jsonwebtoken::Algorithm;

use super::{
    Context,
    credentials::{read_pem, read_secret},
    peers,
};
use crate::{
    callers::{ApiKey, Callers, FetchKeys, JwtCaller, KeyHash, KeySet},
    config::{
        self, Decoder, Diagnostic, Resolver, Sp,
        raw::{JwtAlgorithm, RawCaller, RawFile, RawJwt, SubjectSetting},
        secret_source::read_file,
    },
    credentials::{Endpoint, EndpointError, EndpointSettings},
};

/// The callers that are usable; the others have their diagnostics.
pub(super) fn compile(
    file: &RawFile,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    cx: &Context<'_>,
) -> Callers {
    let Some(callers) = &file.callers else {
        return Callers::default();
    };
    if callers.0.is_empty() {
        let error = Diagnostic::error(callers.span, "`callers` names nobody");
        decoder.push(error.hint("name a caller, or remove the key"));
    }
    let kept = claims_in_use(file);
    let (mut keys, mut jwts) = (Vec::new(), Vec::new());
    let (mut certificates, mut unix) = (Vec::new(), Vec::new());
    for (name, caller) in callers.iter() {
        let RawCaller {
            api_key: key,
            jwt,
            client_certificate,
            unix_peer,
            ..
        } = &**caller;
        match (key, jwt, client_certificate, unix_peer) {
            (Some(key), None, None, None) => {
                let hash = hash(name, key, decoder, resolver);
                keys.extend(hash.map(|hash| api_key(name, caller, key, hash)));
            }
            (None, Some(jwt), None, None) => {
                let compiled = jwt_caller(name, caller, jwt, &kept, decoder, resolver, cx);
                jwts.extend(compiled);
            }
            (None, None, Some(raw), None) => {
                certificates.extend(peers::by_certificate(name, caller, raw, file, decoder));
            }
            (None, None, None, Some(raw)) => {
                unix.extend(peers::by_user(name, caller, raw, file, decoder));
            }
            // One that could not be read has its own error.
            _ if !caller.failed.is_empty() => {}
            _ => {
                let message = format!(
                    "caller `{}` needs exactly one of `api_key`, `jwt`, `client_certificate` and `unix_peer`",
                    name.value
                );
                decoder.push(
                    Diagnostic::error(name.span, message)
                        .hint("say how it is recognised: `{ api_key: { sha256: ... } }`, or `{ jwt: { issuer, audience, jwks_url } }`"),
                );
            }
        }
    }
    Callers::new(keys, jwts)
        .with_certificates(certificates)
        .with_unix(unix)
}

fn api_key(
    name: &Sp<String>,
    caller: &RawCaller,
    key: &config::raw::ApiKey,
    hash: KeyHash,
) -> ApiKey {
    ApiKey {
        name: Arc::from(name.as_str()),
        header: key.header.value.clone(),
        hash,
        may_name_users: caller.may_name_users.value,
    }
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

fn jwt_caller(
    name: &Sp<String>,
    caller: &RawCaller,
    jwt: &Sp<RawJwt>,
    kept: &Arc<[Arc<str>]>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    cx: &Context<'_>,
) -> Option<JwtCaller> {
    check(jwt, decoder);
    let keys = key_set(jwt, decoder, resolver, cx);
    if !jwt.failed.is_empty() {
        return None;
    }
    let required = jwt.claims.iter().flat_map(|claims| claims.iter());
    Some(JwtCaller {
        name: Arc::from(name.as_str()),
        header: jwt.header.value.clone(),
        issuer: jwt.issuer.value.clone(),
        audiences: jwt.audience.iter().map(|it| it.value.clone()).collect(),
        algorithms: jwt
            .algorithms
            .iter()
            .map(|it| algorithm(it.value))
            .collect(),
        leeway: jwt.leeway.value,
        required: required
            .map(|(name, value)| (name.value.clone(), value.value.clone()))
            .collect(),
        subject_claim: jwt.subject_claim.value.clone(),
        kept: Arc::clone(kept),
        keys: keys?,
        may_name_users: caller.may_name_users.value,
    })
}

fn check(jwt: &RawJwt, decoder: &mut Decoder) {
    if jwt.issuer.is_empty() {
        decoder
            .diagnostics
            .error(jwt.issuer.span, "the issuer is empty");
    }
    if jwt.audience.0.is_empty() || jwt.audience.iter().any(|it| it.is_empty()) {
        decoder.push(
            Diagnostic::error(jwt.audience.span, "`audience` names nobody")
                .hint("without one, a token that was meant for another service would do here"),
        );
    }
    if jwt.algorithms.0.is_empty() {
        let error = Diagnostic::error(jwt.algorithms.span, "no algorithm is accepted");
        decoder.push(error.hint("name those that the issuer signs with, as in `[RS256, ES256]`"));
    }
    if jwt.leeway.value > LONGEST_LEEWAY {
        let error = Diagnostic::error(jwt.leeway.span, "`leeway` goes up to 60s");
        decoder.push(error.hint("a token lives that much longer than its issuer wants"));
    }
}

fn key_set(
    jwt: &Sp<RawJwt>,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    cx: &Context<'_>,
) -> Option<Arc<KeySet>> {
    match (&jwt.jwks_url, &jwt.jwks_file) {
        (Some(url), None) => {
            let ca = match &jwt.ca {
                None => None,
                Some(path) => {
                    let path = Sp::new(path.value.as_path(), path.span);
                    Some(read_pem(&path, decoder, resolver)?)
                }
            };
            let id = key_set_id(&url.full(), ca.as_deref());
            let settings = EndpointSettings {
                ca,
                danger_plaintext: jwt.danger_plaintext.value,
                ..EndpointSettings::new(url.full())
            };
            match Endpoint::new(&settings) {
                Ok(endpoint) => Some(
                    cx.key_sets
                        .remote(id, &url.without_query(), fetch(endpoint)),
                ),
                Err(EndpointError::Plaintext) => {
                    let error = Diagnostic::error(
                        url.span,
                        "the keys would come in clear from another machine",
                    );
                    decoder.push(error.hint("write `https://`, or say `danger_plaintext: true`"));
                    None
                }
                Err(error) => {
                    let span = match (&error, &jwt.ca) {
                        (EndpointError::Ca, Some(ca)) => ca.span,
                        _ => url.span,
                    };
                    decoder.fail(span, error.to_string())
                }
            }
        }
        (None, Some(path)) => {
            let located = resolver.locate(path);
            let shown = located.display().to_string();
            let read = read_file(&located, LARGEST_KEY_SET).map_err(|error| error.to_string());
            let set = read
                .and_then(|text| KeySet::fixed(&shown, text).map_err(|error| error.to_string()));
            match set {
                Ok(set) => Some(Arc::new(set)),
                Err(why) => decoder.fail(path.span, format!("unusable key set {shown}: {why}")),
            }
        }
        _ if jwt.failed.iter().any(|key| key.starts_with("jwks")) => None,
        _ => {
            let error = Diagnostic::error(
                jwt.span,
                "a JWT caller needs exactly one of `jwks_url` and `jwks_file`",
            );
            decoder.push(
                error.hint("the issuer's `/.well-known/openid-configuration` has it as `jwks_uri`"),
            );
            None
        }
    }
}

fn fetch(endpoint: Endpoint) -> Box<FetchKeys> {
    Box::new(move || {
        let endpoint = endpoint.clone();
        Box::pin(async move { endpoint.get().await.map_err(|error| error.to_string()) })
    })
}

/// The place of the keys and whom to trust there.
fn key_set_id(url: &str, ca: Option<&[u8]>) -> [u8; 32] {
    let mut hash = digest::Context::new(&SHA256);
    hash.update(&(url.len() as u64).to_be_bytes());
    hash.update(url.as_bytes());
    hash.update(ca.unwrap_or_default());
    let mut id = [0; 32];
    id.copy_from_slice(hash.finish().as_ref());
    id
}

/// The claims that routes take subjects from: no other is kept.
fn claims_in_use(file: &RawFile) -> Arc<[Arc<str>]> {
    let defaults = file.defaults.as_ref().and_then(|it| it.subject.as_ref());
    let routes = file.routes.iter().filter_map(|it| it.subject.as_ref());
    let mut names: Vec<Arc<str>> = routes
        .chain(defaults)
        .filter_map(|subject| match &subject.value {
            SubjectSetting::Claim(name) => Some(Arc::from(name.as_str())),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names.into()
}

fn algorithm(word: JwtAlgorithm) -> Algorithm {
    match word {
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

const LONGEST_LEEWAY: Duration = Duration::from_secs(60);
const LARGEST_KEY_SET: u64 = 256 * 1024;
