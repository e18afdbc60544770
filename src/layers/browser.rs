//! Which requests browsers sent on behalf of other sites: those are refused.

use http::{HeaderMap, HeaderValue, header};

use super::{
    Error,
    fields::{self, Fields},
};
use crate::routes::host::Authority;

/// Browsers say where a request comes from; programs don't. Another site's is refused.
pub(super) fn check(
    headers: &HeaderMap,
    fields: Fields,
    authority: Option<&Authority<'_>>,
) -> Result<(), Error> {
    if !fields.any(fields::SEC_FETCH_SITE | fields::ORIGIN) {
        return Ok(());
    }
    for site in headers.get_all("sec-fetch-site") {
        if site != "same-origin" && site != "none" {
            return Err(Error::OriginRefused);
        }
    }
    for origin in headers.get_all(header::ORIGIN) {
        if !is_own_origin(origin, authority) {
            return Err(Error::OriginRefused);
        }
    }
    Ok(())
}

/// Compared after parsing: a prefix test would let `http://127.0.0.1.example.com` in.
fn is_own_origin(origin: &HeaderValue, authority: Option<&Authority<'_>>) -> bool {
    let bytes = origin.as_bytes();
    let Some(rest) = bytes
        .strip_prefix(b"http://")
        .or_else(|| bytes.strip_prefix(b"https://"))
    else {
        return false;
    };
    let default = if bytes.starts_with(b"https") { 443 } else { 80 };
    match (Authority::parse(rest), authority) {
        (Ok(origin), Some(own)) => {
            origin.host() == own.host()
                && origin.port().unwrap_or(default) == own.port().unwrap_or(default)
        }
        _ => false,
    }
}
