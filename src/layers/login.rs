//! No token by the back door: the proxy must not lend its credential to obtain one that the client can read.
//!
//! A vendor's login is refused, or answered here with a placeholder, before anything of the request is sent on. A
//! placeholder stands for the credential on the routes of that credential, for the caller that it was issued to;
//! it is taken out of the request there, and refused everywhere else.

use std::{
    borrow::Cow,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http::HeaderName;
use http_body::Body;
use zeroize::Zeroizing;

use super::{Error, Facts, Head, Outcome, Reply, ReplyBody};
use crate::{
    body::RequestBody,
    callers::{Caller, Placeholders, placeholder},
    clock, percent,
    routes::{LoginAnswer, Route, Wanted},
};

/// What to answer to a login; `None` for any other request. One comparison on routes under which a login may lie,
/// none on others.
///
/// # Errors
/// [`Error::TokenEndpointDenied`] for a login that is not answered here, and for what may be one; [`Error::PathRefused`]
/// for a path that can be read in too many ways.
pub fn check_login(
    route: &Route,
    head: &Head,
    prefix: usize,
) -> Result<Option<Arc<LoginAnswer>>, Error> {
    let Some(logins) = &route.logins else {
        return Ok(None);
    };
    let wanted = Wanted {
        rest: rest(route, head, prefix),
        query: head.target.query(),
        method: &head.method,
        headers: &head.headers,
    };
    match logins.find(wanted) {
        Ok(None) => Ok(None),
        Ok(Some(asked)) => asked
            .answer
            .filter(|_| route.placeholders.is_some())
            .map(Some)
            .ok_or(Error::TokenEndpointDenied),
        Err(refused) => Err(Error::PathRefused(refused.to_string())),
    }
}

/// Takes the placeholders out of a request; what is injected later takes their place.
///
/// # Errors
/// [`Error::Placeholder`] and [`Error::PlaceholderMisplaced`] for one that is not good for this caller, on this route
/// and in its place. Whatever may be one, forged or expired, goes nowhere.
pub(super) fn take_placeholders(
    route: &Route,
    caller: &Caller,
    head: &mut Head,
) -> Result<(), Error> {
    let mut carriers: Vec<HeaderName> = Vec::new();
    for (name, value) in &head.headers {
        let mut found = placeholder::find(value.as_bytes()).peekable();
        if found.peek().is_none() {
            continue;
        }
        found.try_for_each(|token| check(route.placeholders.as_deref(), token, caller))?;
        carriers.push(name.clone());
    }
    for name in carriers {
        head.headers.remove(name);
    }
    let readable = decoded(head.target.as_str());
    if placeholder::find(&readable).next().is_none() {
        return Ok(());
    }
    for token in placeholder::find(&readable) {
        check(route.placeholders.as_deref(), token, caller)?;
    }
    // The parameter that is injected is stripped before: nothing is left for the upstream.
    let query = head.target.query().unwrap_or_default();
    let kept = route.guard.query.strip_query(query);
    let mut left = [head.target.path(), &kept].into_iter().map(decoded);
    if left.any(|text| placeholder::find(&text).next().is_some()) {
        return Err(Error::PlaceholderMisplaced(
            "this placeholder stands in the URL, in a place that the route does not replace",
        ));
    }
    Ok(())
}

fn check(good: Option<&Placeholders>, token: &[u8], caller: &Caller) -> Result<(), Error> {
    let Some(good) = good else {
        return Err(Error::PlaceholderMisplaced(
            "this is a placeholder, which stands for no credential on this route",
        ));
    };
    good.check(token, caller, clock::unix_time())
        .map_err(Error::Placeholder)
}

/// Reads the client's login to its end, and answers it.
pub(super) async fn answer(
    route: Arc<Route>,
    caller: Caller,
    answer: Arc<LoginAnswer>,
    body: RequestBody,
) -> Outcome {
    let Some(placeholders) = &route.placeholders else {
        return Err(Error::Internal.into());
    };
    let given = tokio::time::timeout(PATIENCE, read(body)).await;
    let given = given
        .unwrap_or(Err("the body of the login did not come in time"))
        .map_err(Error::RequestInvalid)?;
    let written = answer.write(placeholders, &caller, &given);
    let written = written.map_err(|_| Error::Internal)?;
    Ok(Box::new(Reply {
        response: written.map(ReplyBody::own),
        facts: Facts::default(),
    }))
}

/// What a client sends may be a real secret that nobody needs here.
async fn read(body: RequestBody) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut body = pin!(body);
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES));
    while let Some(frame) = poll_fn(|cx| Pin::as_mut(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| "the body of the login broke off")?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if data.len() > MOST_BYTES - bytes.len() {
            return Err("the body of a login has 64 KiB at most");
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// What of the path comes behind the route's base path.
pub(super) fn rest<'a>(route: &Route, head: &'a Head, prefix: usize) -> &'a str {
    let from = if route.strip_prefix { prefix } else { 1 };
    head.target.path().get(from..).unwrap_or_default()
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    match percent::decode(text.as_bytes()) {
        Some(decoded) => Cow::Owned(decoded),
        None => Cow::Borrowed(text.as_bytes()),
    }
}

/// The longest body of a login, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);
