//! The cookies of one run: each origin's own, never another's, forgotten at its end.

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What the origins have set so far.
#[derive(Default)]
pub(super) struct Cookies(Vec<Cookie>);

struct Cookie {
    origin: String,
    name: String,
    value: Secret,
}

impl Cookies {
    /// Keeps what an answer of `origin` sets, and forgets what it takes back.
    pub(super) fn keep(&mut self, origin: &str, headers: &HeaderMap) {
        for (name, value, gone) in set(headers) {
            self.0
                .retain(|cookie| cookie.origin != origin || cookie.name != name);
            if !gone && self.0.len() < MOST {
                self.0.push(Cookie {
                    origin: origin.to_owned(),
                    name: name.to_owned(),
                    value: Secret::new(value),
                });
            }
        }
    }

    /// Adds those of `origin`, unless the file has a `Cookie` of its own.
    pub(super) fn add(&self, origin: &str, headers: &mut HeaderMap) {
        if headers.contains_key(COOKIE) {
            return;
        }
        let mut text = Zeroizing::new(String::new());
        for cookie in self.0.iter().filter(|cookie| cookie.origin == origin) {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&cookie.name);
            text.push('=');
            text.push_str(cookie.value.expose());
        }
        if let Ok(mut value) = HeaderValue::from_str(&text)
            && !value.is_empty()
        {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }
}

/// The cookie called `name` that this very answer sets.
pub(super) fn find(headers: &HeaderMap, name: &str) -> Option<Zeroizing<String>> {
    set(headers)
        .filter(|(known, _, gone)| *known == name && !gone)
        .last()
        .map(|(_, value, _)| Zeroizing::new(value.to_owned()))
}

/// Name, value, and whether it is taken back (RFC 6265 5.2, as far as one run needs it).
fn set(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str, bool)> {
    headers.get_all(SET_COOKIE).iter().filter_map(|line| {
        let line = line.to_str().ok().filter(|line| line.len() <= LONGEST)?;
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let gone = parts.any(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let age = value.trim();
            name.trim().eq_ignore_ascii_case("max-age") && (age == "0" || age.starts_with('-'))
        });
        let name = name.trim();
        (!name.is_empty()).then_some((name, value.trim(), gone))
    })
}

const MOST: usize = 64;
const LONGEST: usize = 8 * 1024;
