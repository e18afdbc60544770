//! One look at a head: which of the fields that matter to us it has.
//!
//! A look-up in a header map hashes a name; asking for the twenty fields that are rarely there costs more
//! than the rest of a layer. One pass over the names that are there answers for all of them.

use http::HeaderMap;

/// Which fields a head has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u32);

impl Fields {
    /// Looks at `headers` once.
    pub fn of(headers: &HeaderMap) -> Self {
        Self(
            headers
                .keys()
                .fold(0, |seen, name| seen | bit(name.as_str())),
        )
    }

    /// Whether any of `fields` is there.
    pub fn any(self, fields: u32) -> bool {
        self.0 & fields != 0
    }
}

/// Names come in lower case.
fn bit(name: &str) -> u32 {
    match name {
        "transfer-encoding" => TRANSFER_ENCODING,
        "content-length" => CONTENT_LENGTH,
        "connection" => CONNECTION,
        "keep-alive"
        | "proxy-connection"
        | "proxy-authenticate"
        | "proxy-authentication-info"
        | "proxy-authorization"
        | "http2-settings" => HOP_BY_HOP,
        "upgrade" => HOP_BY_HOP | UPGRADE,
        "te" => TE,
        "via" => VIA,
        "origin" => ORIGIN,
        "sec-fetch-site" => SEC_FETCH_SITE,
        "expect" => EXPECT,
        "location" | "content-location" | "operation-location" => LOCATION,
        "link" => LINK,
        "cache-control" => CACHE_CONTROL,
        "set-cookie" => SET_COOKIE,
        "cookie" => COOKIE,
        "alt-svc" | "strict-transport-security" => UPSTREAM_ONLY,
        _ if name.starts_with("access-control-") => UPSTREAM_ONLY,
        // As long as `host`, `content-length` or `transfer-encoding`.
        _ if matches!(name.len(), 4 | 14 | 17) && name.contains('_') => UNDERSCORE,
        _ => 0,
    }
}

pub(super) const TRANSFER_ENCODING: u32 = 1;
pub(super) const CONTENT_LENGTH: u32 = 1 << 1;
pub(super) const CONNECTION: u32 = 1 << 2;
/// Fields of one connection that are in no way kept.
pub(super) const HOP_BY_HOP: u32 = 1 << 3;
pub(super) const TE: u32 = 1 << 4;
pub(super) const VIA: u32 = 1 << 5;
pub(super) const ORIGIN: u32 = 1 << 6;
pub(super) const SEC_FETCH_SITE: u32 = 1 << 7;
pub(super) const EXPECT: u32 = 1 << 8;
/// A name with an underscore: perhaps another spelling of a field that matters.
pub(super) const UNDERSCORE: u32 = 1 << 9;
pub(super) const LOCATION: u32 = 1 << 10;
pub(super) const LINK: u32 = 1 << 11;
pub(super) const CACHE_CONTROL: u32 = 1 << 12;
pub(super) const SET_COOKIE: u32 = 1 << 13;
/// What speaks for the upstream's own origin, or only to its direct clients.
pub(super) const UPSTREAM_ONLY: u32 = 1 << 14;
pub(super) const COOKIE: u32 = 1 << 15;
pub(super) const UPGRADE: u32 = 1 << 16;
