//! Finds out whose credential a request carries.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::Error;
use crate::{
    callers::{Caller, CallerUnknown, Flight, Jwts, Refusal, claimed_end},
    clock::{self, Instant},
    credentials::{Subject, SubjectError, SubjectToken, TokensFrom},
    routes::SubjectFrom,
    secret::Secret,
};

/// Whose credential it is, or what has to come first.
pub(super) enum Whose {
    /// This one's.
    Known(Subject),
    /// A token's key is being fetched: to be asked once more after that.
    Later(Flight),
}

/// Whose credential the route wants for a request with these headers.
pub(super) fn whose(
    from: &SubjectFrom,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Whose, Error> {
    let name = match from {
        SubjectFrom::Tokens { from, jwts } => return exchanged(from, jwts, headers),
        SubjectFrom::Caller => stands_for(caller),
        SubjectFrom::Claim(claim) => claimed(caller, claim),
        SubjectFrom::Header(name) => named(caller, name, headers),
    }?;
    Subject::user(name).map(Whose::Known).map_err(unusable)
}

fn stands_for(caller: &Caller) -> Result<Arc<str>, Error> {
    match caller {
        Caller::Known(identity) => Ok(Arc::clone(identity.stands_for())),
        Caller::Anonymous => Err(Error::SubjectDenied("nobody is known to call")),
    }
}

fn claimed(caller: &Caller, claim: &str) -> Result<Arc<str>, Error> {
    let known = match caller {
        Caller::Known(identity) => identity.claim(claim),
        Caller::Anonymous => None,
    };
    known.cloned().ok_or(Error::SubjectDenied(
        "this caller has not the claim that names the user",
    ))
}

fn named(caller: &Caller, name: &HeaderName, headers: &HeaderMap) -> Result<Arc<str>, Error> {
    match caller {
        Caller::Known(identity) if identity.may_name_users => {}
        _ => return Err(Error::SubjectDenied("this caller may not name users")),
    }
    let value = only(name, headers)?;
    Ok(Arc::from(value.trim()))
}

fn exchanged(from: &TokensFrom, jwts: &Jwts, headers: &HeaderMap) -> Result<Whose, Error> {
    let mut tokens = Vec::with_capacity(2);
    for name in [Some(&from.subject), from.actor.as_ref()]
        .into_iter()
        .flatten()
    {
        let token = bare(only(name, headers)?);
        if token.is_empty() {
            return Err(unusable(SubjectError::Empty));
        }
        match judged(token, jwts, from.danger_unverified)? {
            Judged::Good(token) => tokens.push(token),
            Judged::Later(flight) => return Ok(Whose::Later(flight)),
        }
    }
    let mut tokens = tokens.into_iter();
    let subject = tokens.next().ok_or(Error::Internal)?;
    let subject = Subject::tokens(subject, tokens.next());
    subject.map(Whose::Known).map_err(unusable)
}

/// The token alone. A scheme without one is none: unverified, it would be a token that all who send it share.
fn bare(value: &str) -> &str {
    let value = value.trim();
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case(SCHEME)
                && (token.is_empty() || token.starts_with(char::is_whitespace)) =>
        {
            token.trim()
        }
        _ => value,
    }
}

enum Judged {
    Good(SubjectToken),
    Later(Flight),
}

/// A token of a known issuer is verified in any case: the danger that is allowed is that of the others.
fn judged(token: &str, jwts: &Jwts, danger_unverified: bool) -> Result<Judged, Error> {
    let refused = |why| Err(Error::CallerUnknown(why));
    let expires = match jwts.subject(token) {
        Ok(proof) => Some(proof.expires),
        Err(Refusal::Later(flight)) => return Ok(Judged::Later(flight)),
        Err(Refusal::NoKeys) => return refused(CallerUnknown::NoKeys),
        Err(Refusal::Bad(why)) => return refused(CallerUnknown::BadToken(why)),
        Err(Refusal::Foreign) if danger_unverified => claimed_end(token).map(on_our_clock),
        Err(Refusal::Foreign) => {
            return refused(CallerUnknown::BadToken(
                "its issuer is not one of `callers`",
            ));
        }
    };
    if expires.is_some_and(|expires| expires <= clock::now()) {
        return refused(CallerUnknown::BadToken("it has expired"));
    }
    Ok(Judged::Good(SubjectToken {
        token: Secret::new(token),
        expires,
    }))
}

fn on_our_clock(since_1970: std::time::Duration) -> Instant {
    let left = since_1970.saturating_sub(clock::unix_time());
    clock::now() + left.min(LONGEST)
}

/// The value of a header that must be there, once.
fn only<'h>(name: &HeaderName, headers: &'h HeaderMap) -> Result<&'h str, Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value
            .to_str()
            .map_err(|_| Error::SubjectInvalid("the header that names the user is not text")),
        (None, _) => Err(Error::SubjectInvalid(
            "the header that names the user is missing",
        )),
        _ => Err(Error::SubjectInvalid(
            "the header that names the user comes twice",
        )),
    }
}

fn unusable(error: SubjectError) -> Error {
    Error::SubjectInvalid(match error {
        SubjectError::Empty => "the user's name or token is empty",
        SubjectError::TooLong => "the user's name or token is too long",
        SubjectError::Control => "the user's name has control characters",
    })
}

const SCHEME: &str = "Bearer";

/// More would overflow the clock.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests;
