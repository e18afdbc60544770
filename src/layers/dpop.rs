//! Tokens that are bound to a key (RFC 9449): the proof that a request carries, the nonces that answers bring.

use http::{HeaderMap, StatusCode, header, uri::PathAndQuery};

use super::{Error, Head, NonceAsked, Reply, challenge};
use crate::{
    credentials::{Bound, DPOP, DPOP_NONCE},
    routes::Route,
};

/// Puts in the proof for the request as it goes out; its `Host` is there already.
///
/// # Errors
/// Where the key does not sign.
pub(super) fn prove(
    bound: &Bound,
    head: &mut Head,
    target: &PathAndQuery,
    route: &Route,
) -> Result<(), Error> {
    let credential = route.credential.as_ref();
    let nonce = credential.and_then(|it| it.nonce.as_ref()?.get());
    let scheme = route.upstream.config().scheme.as_str();
    // Of the URL, the upstream knows what we send: the authority is our Host (RFC 9112 3.3).
    let host = head.headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let url = format!("{scheme}://{host}{}", target.path());
    let proof = bound
        .prove(head.method.as_str(), &url, nonce.as_deref().map(|it| &**it))
        .map_err(|error| Error::Injection(error.to_string()))?;
    head.headers.insert(DPOP, proof);
    Ok(())
}

/// Takes the nonce out of an answer and keeps it, and notes whether the upstream asks for one.
pub(super) fn hear(reply: &mut Reply, route: &Route) {
    let credential = route.credential.as_ref();
    let Some(nonce) = credential.and_then(|it| it.nonce.as_ref()) else {
        return;
    };
    let unauthorized = reply.response.status() == StatusCode::UNAUTHORIZED;
    let headers = reply.response.headers_mut();
    let given = nonce.hear(headers);
    headers.remove(DPOP_NONCE);
    if unauthorized && asks_nonce(headers) {
        reply.facts.nonce = Some(match given {
            true => NonceAsked::Given,
            false => NonceAsked::Missing,
        });
    }
}

/// RFC 9449 9; also among other challenges.
fn asks_nonce(headers: &HeaderMap) -> bool {
    challenge::errors(headers).any(|error| error == "use_dpop_nonce")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asks(challenges: &[&'static str]) -> bool {
        let fields = challenges.iter().map(|it| {
            let value = HeaderValue::from_static(it);
            (header::WWW_AUTHENTICATE, value)
        });
        asks_nonce(&fields.collect())
    }

    #[test]
    fn a_challenge_for_a_nonce_is_found_among_others() {
        assert!(asks(&[r#"DPoP error="use_dpop_nonce""#]));
        assert!(asks(&["DPoP error=use_dpop_nonce, algs=ES256"]));
        assert!(asks(&[
            r#"Bearer realm="a""#,
            r#"DPoP algs="ES256", error_description="a nonce", error="use_dpop_nonce""#,
        ]));
        assert!(asks(&[
            r#"Bearer error="invalid_token", DPoP error="use_dpop_nonce""#
        ]));
    }

    #[test]
    fn any_other_challenge_refuses_the_token() {
        assert!(!asks(&[]));
        assert!(!asks(&[r#"DPoP algs="ES256""#]));
        assert!(!asks(&[r#"DPoP error="invalid_token""#]));
        assert!(!asks(&[r#"DPoP error="use_dpop_nonces""#]));
        assert!(!asks(&[
            r#"DPoP error="invalid_token", error_description="use_dpop_nonce""#
        ]));
    }
}
