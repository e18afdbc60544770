//! What a response's head loses or changes on its way back.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    Error, Head,
    fields::{self, Fields},
    hop_by_hop,
};
use crate::{
    routes::{Cookies, Route, host::Authority},
    upstream::{Scheme, SendError},
};

/// Where the client thinks the response comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// What it asked for, of whom.
    pub(super) head: Box<Head>,
    /// What the upstream has to say to our key, where the client has asked for a WebSocket by HTTP/2.
    pub(super) accept: Option<Box<HeaderValue>>,
    /// Bytes of the target's path that the route's base path replaced.
    pub(super) prefix: usize,
    /// By which scheme it asked us.
    pub(super) scheme: &'static str,
}

/// Makes the upstream's head ours.
///
/// # Errors
/// A framing under which hyper may have found another body than the upstream meant, or the client would.
pub(super) fn rewrite(
    headers: &mut HeaderMap,
    route: &Route,
    origin: &Origin,
) -> Result<(), Error> {
    let fields = Fields::of(headers);
    if !is_plainly_framed(headers, fields) {
        return Err(Error::Upstream(SendError::Protocol(None)));
    }
    hop_by_hop::strip(headers, fields);
    if fields.any(fields::LOCATION) {
        rewrite_locations(headers, route, origin);
    }
    if fields.any(fields::LINK) {
        rewrite_links(headers, route, origin);
    }
    if route.credential.is_some() {
        protect(headers, fields);
    }
    if fields.any(fields::SET_COOKIE) {
        match route.cookies {
            Cookies::Drop => drop(headers.remove(header::SET_COOKIE)),
            Cookies::Pass => rewrite_cookies(headers, route, origin),
        }
    }
    Ok(())
}

/// Whether everyone finds the same end of the body: by one coding or by one length (RFC 9112, 6.3).
fn is_plainly_framed(headers: &HeaderMap, fields: Fields) -> bool {
    if fields.any(fields::TRANSFER_ENCODING) {
        return !fields.any(fields::CONTENT_LENGTH) && hop_by_hop::is_plainly_coded(headers);
    }
    if !fields.any(fields::CONTENT_LENGTH) {
        return true;
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let is_number = |value: &HeaderValue| {
        let digits = value.as_bytes();
        (1..=MAX_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
    };
    lengths.next().is_some_and(is_number) && lengths.next().is_none()
}

fn rewrite_locations(headers: &mut HeaderMap, route: &Route, origin: &Origin) {
    for name in LOCATIONS {
        let ours = headers
            .get(&name)
            .and_then(|it| map(it.to_str().ok()?, route, origin));
        if let Some(ours) = ours {
            headers.insert(name, ours);
        }
    }
}

/// Nothing that a credential brought may be kept by a shared cache, or speak for the upstream's origin.
fn protect(headers: &mut HeaderMap, fields: Fields) {
    if fields.any(fields::UPSTREAM_ONLY) {
        for name in UPSTREAM_ONLY {
            headers.remove(name);
        }
        let foreign = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let foreign: Vec<_> = headers.keys().filter(foreign).cloned().collect();
        for name in foreign {
            headers.remove(name);
        }
    }
    let private = if fields.any(fields::CACHE_CONTROL) {
        made_private(headers)
    } else {
        HeaderValue::from_static("private")
    };
    headers.insert(header::CACHE_CONTROL, private);
}

/// RFC 9111, 3.5: the request that came to us had no Authorization that would keep shared caches off.
fn made_private(headers: &HeaderMap) -> HeaderValue {
    let mut directives: Vec<&str> = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|it| !it.is_empty() && !is_for_shared_caches(it))
        .collect();
    let is = |name: &str| directives.iter().any(|it| it.eq_ignore_ascii_case(name));
    if !is("private") && !is("no-store") {
        directives.push("private");
    }
    HeaderValue::try_from(directives.join(", "))
        .unwrap_or_else(|_| HeaderValue::from_static("private"))
}

fn is_for_shared_caches(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or_default();
    ["public", "s-maxage", "proxy-revalidate"]
        .iter()
        .any(|it| name.eq_ignore_ascii_case(it))
}

/// The upstream's URL as the client can use it; `None` where it does not point into the route.
fn map(location: &str, route: &Route, origin: &Origin) -> Option<HeaderValue> {
    let (rest, absolute) = match rest_of_upstream(location, route) {
        Some(rest) => (rest, true),
        None if location.starts_with('/') && !location.starts_with("//") => (location, false),
        None => return None,
    };
    let rest = if rest.starts_with('/') { rest } else { "/" };
    let prefix = origin.head.target.path().get(..origin.prefix)?;
    let path = if route.strip_prefix {
        // What lies outside the base path is no part of this route.
        let below = rest.strip_prefix(&*route.base_path)?;
        format!("{prefix}{below}")
    } else {
        format!("/{}", rest.strip_prefix(&*route.base_path)?)
    };
    let text = match (&origin.head.authority, absolute) {
        (Some(authority), true) => format!("{}://{authority}{path}", origin.scheme),
        _ => path,
    };
    HeaderValue::try_from(text).ok()
}

/// What follows scheme and authority, where they are the upstream's.
fn rest_of_upstream<'a>(location: &'a str, route: &Route) -> Option<&'a str> {
    let config = route.upstream.config();
    let (scheme, rest) = location.split_once("://")?;
    let (expected, default) = match config.scheme {
        Scheme::Http => ("http", 80),
        Scheme::Https => ("https", 443),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = Authority::parse(&rest.as_bytes()[..end]).ok()?;
    let host = authority.host().trim_matches(['[', ']']);
    let same = scheme.eq_ignore_ascii_case(expected)
        && host.eq_ignore_ascii_case(&config.host)
        && authority.port().unwrap_or(default) == config.port;
    same.then_some(&rest[end..])
}

/// `Link: <url>; rel="next", <url>; rel="prev"` (RFC 8288): the URLs alone are changed.
fn rewrite_links(headers: &mut HeaderMap, route: &Route, origin: &Origin) {
    let links: Vec<_> = headers.get_all(header::LINK).iter().cloned().collect();
    headers.remove(header::LINK);
    for link in links {
        let ours = link
            .to_str()
            .ok()
            .and_then(|text| map_link(text, route, origin));
        headers.append(header::LINK, ours.unwrap_or(link));
    }
}

fn map_link(text: &str, route: &Route, origin: &Origin) -> Option<HeaderValue> {
    let mut mapped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let (url, behind) = after.split_once('>')?;
        mapped.push_str(before);
        mapped.push('<');
        match map(url, route, origin) {
            Some(ours) => mapped.push_str(ours.to_str().ok()?),
            None => mapped.push_str(url),
        }
        mapped.push('>');
        rest = behind;
    }
    mapped.push_str(rest);
    HeaderValue::try_from(mapped).ok()
}

/// Domain goes (the cookie is then ours alone), Path is put below the route's prefix.
fn rewrite_cookies(headers: &mut HeaderMap, route: &Route, origin: &Origin) {
    let cookies: Vec<_> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .cloned()
        .collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        let ours = cookie
            .to_str()
            .ok()
            .and_then(|text| map_cookie(text, route, origin));
        headers.append(header::SET_COOKIE, ours.unwrap_or(cookie));
    }
}

fn map_cookie(text: &str, route: &Route, origin: &Origin) -> Option<HeaderValue> {
    let attributes = text.split(';').filter_map(|attribute| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        if name.trim().eq_ignore_ascii_case("domain") {
            None
        } else if name.trim().eq_ignore_ascii_case("path") {
            let mapped = map(value.trim(), route, origin);
            let path = mapped
                .as_ref()
                .and_then(|it| it.to_str().ok())
                .unwrap_or("/");
            Some(format!(" Path={path}"))
        } else {
            Some(attribute.to_owned())
        }
    });
    HeaderValue::try_from(attributes.collect::<Vec<_>>().join(";")).ok()
}

/// Digits of a length by which no reader's 64 bits overflow.
const MAX_DIGITS: usize = 19;

const LOCATIONS: [HeaderName; 3] = [
    header::LOCATION,
    header::CONTENT_LOCATION,
    HeaderName::from_static("operation-location"),
];

/// Fields that speak for the upstream's own origin, or that only its direct clients need.
const UPSTREAM_ONLY: [HeaderName; 2] = [header::ALT_SVC, header::STRICT_TRANSPORT_SECURITY];
