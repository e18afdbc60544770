//! What a token endpoint answered, in all the shapes that real ones have, turned into a token or a typed failure.
//!
//! Pure: the same bytes always mean the same. RFC 6749 5.1 and 5.2 are the core; the rest is tolerance that
//! vendors made necessary, each with a test.

use std::{borrow::Cow, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};

use super::{
    FailureKind, FetchError,
    token_json::{self, Field, Fields},
};
use crate::secret::Secret;

mod refusal;

pub(super) use refusal::{asks_nonce, refused, retry_after, trouble};
use refusal::{failure, refusal};

/// A usable answer.
#[derive(Debug)]
pub struct TokenResponse {
    /// The token: visible ASCII, at most 16 KiB.
    pub access_token: Secret,
    /// How long it lives; none where neither the answer nor the token itself says so. Zero for one that is dead on arrival.
    pub life: Option<Duration>,
    /// What renews it.
    pub refresh_token: Option<Secret>,
    /// The scope that was granted, as one text.
    pub scope: Option<String>,
    /// What kind of token was issued (RFC 8693 2.2.1).
    pub issued_token_type: Option<String>,
}

/// What kind of token was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    /// Whoever holds it may use it.
    Bearer,
    /// Bound to our key (RFC 9449).
    Dpop,
}

/// Reads an answer whose token has to be alive, and serve whoever holds it; `wall` is the time since 1970 when the request
/// was sent.
///
/// # Errors
/// [`FetchError`] with a detail that holds nothing of the body but well-known error codes.
pub fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    wall: Duration,
) -> Result<TokenResponse, FetchError> {
    let response = read_whole(status, headers, body, TokenType::Bearer, wall)?;
    match response.life {
        Some(life) => alive(life).map(|_| response),
        None => Ok(response),
    }
}

/// As [`read`] for a token of type `wanted`, also where the token is dead on arrival: what came with it may be all that renews it.
pub(super) fn read_whole(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    wanted: TokenType,
    wall: Duration,
) -> Result<TokenResponse, FetchError> {
    if status.is_success() {
        return token_json::with_fields(body, |fields| usable(status, fields, wanted, wall))
            .unwrap_or_else(|| Err(FetchError::malformed(not_json(body))));
    }
    let after = retry_after(headers, wall);
    let code = token_json::with_fields(body, |fields| refusal(&fields)).flatten();
    Err(failure(status, code.as_ref(), after))
}

fn usable(
    status: StatusCode,
    fields: Fields<'_>,
    wanted: TokenType,
    wall: Duration,
) -> Result<TokenResponse, FetchError> {
    if let Some(code) = refusal(&fields) {
        return Err(failure(status, Some(&code), None));
    }
    if fields.ambiguous {
        return Err(FetchError::malformed("two different tokens in one answer"));
    }
    let access_token = match fields.access_token {
        Field::Text(text) => usable_token(text)?,
        Field::Null => return Err(FetchError::malformed("no access_token in the answer")),
        _ => return Err(FetchError::malformed("the access_token is not a text")),
    };
    match wanted {
        TokenType::Bearer => bearer_type(&fields.token_type)?,
        TokenType::Dpop => dpop_type(&fields.token_type)?,
    }
    let life = match life(&fields.expires_in)? {
        Some(life) => Some(life),
        None => rest_of_jwt(access_token.expose(), wall),
    };
    let refresh_token = match fields.refresh_token {
        Field::Text(text) if !text.is_empty() => Some(usable_token(text)?),
        _ => None,
    };
    Ok(TokenResponse {
        access_token,
        life,
        refresh_token,
        scope: visible(&fields.scope),
        issued_token_type: visible(&fields.issued_token_type),
    })
}

/// Checked here once, so that nothing from the network can break out of a header later.
pub(super) fn usable_token(text: Cow<'_, str>) -> Result<Secret, FetchError> {
    let secret = Secret::new(text.into_owned());
    let bytes = secret.expose().as_bytes();
    if bytes.is_empty() {
        return Err(FetchError::malformed("the token is empty"));
    }
    if bytes.len() > LONGEST_TOKEN {
        return Err(FetchError::malformed("the token is longer than 16 KiB"));
    }
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(FetchError::malformed(
            "the token holds bytes that are not visible ASCII",
        ));
    }
    Ok(secret)
}

/// RFC 6749 7.1: a token of a type that is not understood must not be used.
fn bearer_type(token_type: &Field<'_>) -> Result<(), FetchError> {
    match token_type {
        Field::Null => Ok(()),
        // Apigee says BearerToken.
        Field::Text(text)
            if ["", "bearer", "bearertoken"]
                .iter()
                .any(|known| text.eq_ignore_ascii_case(known)) =>
        {
            Ok(())
        }
        // RFC 8693 2.2.1: what was issued is no access token.
        Field::Text(text) if text.eq_ignore_ascii_case("n_a") => Err(FetchError::malformed(
            "the token is of type N_A: it can't be sent to an upstream",
        )),
        Field::Text(text) if text.eq_ignore_ascii_case("dpop") => Err(FetchError::malformed(
            "the token is not of type Bearer but DPoP, which was not asked for: say `dpop: true`",
        )),
        _ => Err(FetchError::malformed("the token is not of type Bearer")),
    }
}

/// RFC 9449 5: a token that is not bound, where that was asked for, is not to be used; asking again brings no other.
fn dpop_type(token_type: &Field<'_>) -> Result<(), FetchError> {
    let detail = match token_type {
        Field::Text(text) if text.eq_ignore_ascii_case("dpop") => return Ok(()),
        Field::Text(text) if text.eq_ignore_ascii_case("bearer") => {
            "the token is of type Bearer, though `dpop` asks for one that is bound to our key: \
             the server does not know DPoP, or not for this client"
        }
        Field::Null => "the answer has no token_type, so the token may not be bound to our key",
        _ => "the token is not of type DPoP",
    };
    Err(FetchError::permanent(FailureKind::Malformed, detail))
}

fn life(expires_in: &Field<'_>) -> Result<Option<Duration>, FetchError> {
    let seconds = match expires_in {
        Field::Null => return Ok(None),
        Field::Number(seconds) => *seconds,
        Field::Text(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|seconds: &f64| seconds.is_finite())
            .ok_or_else(|| FetchError::malformed("expires_in is a text that is not a number"))?,
        _ => return Err(FetchError::malformed("expires_in is not a number")),
    };
    Ok(Some(from_seconds(seconds)))
}

pub(super) fn from_seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_LIFE))
}

/// The life of a token that is to be sent.
///
/// # Errors
/// Malformed, where there is nothing left of it.
pub(super) fn alive(life: Duration) -> Result<Duration, FetchError> {
    if life.is_zero() {
        return Err(FetchError::malformed(
            "the token had expired when it arrived",
        ));
    }
    Ok(life)
}

/// The rest of a JWT's life; read and not verified, since it only says when to ask again.
///
/// # Errors
/// Malformed, where there is nothing left of it.
pub(super) fn jwt_life(token: &str, wall: Duration) -> Result<Option<Duration>, FetchError> {
    rest_of_jwt(token, wall).map(alive).transpose()
}

fn rest_of_jwt(token: &str, wall: Duration) -> Option<Duration> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let payload = zeroize::Zeroizing::new(payload);
    let exp = token_json::with_fields(&payload, |fields| match fields.exp {
        Field::Number(exp) => Some(exp),
        _ => None,
    });
    exp.flatten()
        .map(|exp| from_seconds(exp - wall.as_secs_f64()))
}

/// Text, or a list as one text, that can be shown and sent.
fn visible(field: &Field<'_>) -> Option<String> {
    let text = match field {
        Field::Text(text) => text.clone().into_owned(),
        Field::List(items) => items.join(" "),
        _ => return None,
    };
    // It will be shown: nothing that could write on a terminal or flood a page.
    let fine = text.len() <= 4096 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    Some(text).filter(|text| fine && !text.is_empty())
}

fn not_json(body: &[u8]) -> &'static str {
    let text = body.trim_ascii_start();
    match text {
        [] => "the answer is empty",
        [b'<', ..] => "the answer is HTML or XML, not JSON",
        [0x1f, 0x8b, ..] => "the answer is compressed, which was not asked for",
        [b'{', ..] => "the answer is not well-formed JSON",
        _ => "the answer is not a JSON object",
    }
}

const LONGEST_TOKEN: usize = 16 * 1024;

/// A year: far beyond any renewal, far below what overflows a clock.
const LONGEST_LIFE: f64 = 366.0 * 86_400.0;

#[cfg(test)]
mod tests;
