//! What an upstream says of a credential that it refuses: the `error` of its challenges (RFC 6750 3, RFC 9449 9).

use http::{HeaderMap, header};

/// The errors of all challenges, whatever their schemes.
pub(super) fn errors(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter();
    let errors = challenges.filter_map(|value| value.to_str().ok());
    let errors = errors.flat_map(|value| value.split("error=").skip(1));
    errors.filter_map(|after| match after.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => after.split([',', ' ']).next(),
    })
}
