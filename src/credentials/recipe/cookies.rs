//! The cookies of one run: each origin's own, never another's, forgotten at its end.

use std::time::UNIX_EPOCH;

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use zeroize::Zeroizing;

use crate::{clock, secret::Secret};

/// What the origins have set so far.
#[derive(Default)]
pub(super) struct Cookies(Vec<Cookie>);

struct Cookie {
    origin: String,
    name: String,
    value: Secret,
}

impl Cookie {
    fn length(&self) -> usize {
        self.name.len() + self.value.expose().len()
    }
}

impl Cookies {
    /// Keeps what an answer of `origin` sets, and forgets what it takes back.
    pub(super) fn keep(&mut self, origin: &str, headers: &HeaderMap) {
        for (name, value, gone) in set(headers) {
            self.0
                .retain(|cookie| cookie.origin != origin || cookie.name != name);
            let length = name.len() + value.len();
            let all: usize = self.0.iter().map(Cookie::length).sum();
            if !gone && self.0.len() < MOST && all + length <= LONGEST_TOGETHER {
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
    let last = set(headers).filter(|(known, _, _)| *known == name).last();
    last.filter(|(_, _, gone)| !gone)
        .map(|(_, value, _)| Zeroizing::new(value.to_owned()))
}

/// Name, value, and whether it is taken back (RFC 6265 5.2, as far as one run needs it).
fn set(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str, bool)> {
    headers.get_all(SET_COOKIE).iter().filter_map(|line| {
        let line = line.to_str().ok().filter(|line| line.len() <= LONGEST)?;
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (mut lapsed, mut age) = (false, None);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => age = value.trim().parse::<i64>().ok().or(age),
                "expires" => lapsed = is_past(value),
                _ => {}
            }
        }
        // RFC 6265 5.3: the age wins.
        let gone = age.map_or(lapsed, |age| age <= 0);
        let name = name.trim();
        (!name.is_empty()).then_some((name, value.trim(), gone))
    })
}

/// Also `01-Jan-1970`, as old frameworks have it.
fn is_past(date: &str) -> bool {
    let date = httpdate::parse_http_date(&date.trim().replace('-', " "));
    date.is_ok_and(|date| {
        let since_1970 = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        since_1970 <= clock::unix_time()
    })
}

const MOST: usize = 64;
const LONGEST: usize = 8 * 1024;
/// As much as servers take of all header fields.
const LONGEST_TOGETHER: usize = 32 * 1024;
