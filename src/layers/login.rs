//! Keeps clients from the vendor's token endpoints: the proxy must not lend its credential to obtain one that
//! the client can read.

use super::{Error, Head};
use crate::routes::Route;

/// Refuses a request that would reach a token endpoint, whatever its method and query. One comparison on routes
/// under which such an endpoint may lie, none on others.
///
/// # Errors
/// [`Error::TokenEndpointDenied`], and [`Error::PathRefused`] for a path that can be read in too many ways.
pub fn check_login(route: &Route, head: &Head, prefix: usize) -> Result<(), Error> {
    let Some(logins) = &route.logins else {
        return Ok(());
    };
    match logins.find(rest(route, head, prefix)) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(Error::TokenEndpointDenied),
        Err(refused) => Err(Error::PathRefused(refused.to_string())),
    }
}

/// What of the path comes behind the route's base path.
pub(super) fn rest<'a>(route: &Route, head: &'a Head, prefix: usize) -> &'a str {
    let from = if route.strip_prefix { prefix } else { 1 };
    head.target.path().get(from..).unwrap_or_default()
}
