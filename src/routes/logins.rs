//! Where a vendor hands out tokens: no request of a client reaches such a path with a credential of ours.
//!
//! The vendor may read a path in many ways, so one is compared in all of them, and more generously than any
//! server would: refused too often, a client gets an error; refused too seldom, it gets a token.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::{
    login_answer::LoginAnswer,
    login_query::{LoginQuery, may_hold_form},
    path::{self, PathRefused},
};
use crate::percent;

/// The logins that a route's requests could reach.
#[derive(Debug)]
pub struct Logins {
    /// The route's base path, decoded.
    base: Box<[u8]>,
    logins: Box<[Login]>,
    /// A bit for what the last segment of each may begin with: settles most requests by one look.
    firsts: u128,
}

/// One login: where it is, and what a route with `emulate` answers there.
#[derive(Clone, Debug)]
pub struct Login {
    /// Where it is.
    pub path: LoginPath,
    /// What is answered; `None` where it is refused everywhere.
    pub answer: Option<Arc<LoginAnswer>>,
}

/// A request for a login.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What to answer to its method, where anything is.
    pub answer: Option<Arc<LoginAnswer>>,
}

/// A path at which a vendor hands out tokens, decoded and in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPath {
    /// The last one first.
    segments: Box<[Segment]>,
    /// Whether it begins at the root; else anything may come before it.
    whole: bool,
    /// Whether it names a script, which many servers run for every path below it too: `token.php/x`.
    script: bool,
    /// What the query has to say, where the path serves other requests as well.
    query: Option<LoginQuery>,
}

/// What of a request tells whether it is one for a login.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The path below the route's base path.
    pub rest: &'a str,
    /// The query, without its `?`.
    pub query: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// All header fields.
    pub headers: &'a HeaderMap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Is(Box<[u8]>),
    /// `{name}` of the file.
    Any,
}

impl LoginPath {
    /// Exactly this path: of a token endpoint that a credential calls.
    pub fn whole(path: &str) -> Self {
        let iceberg = Self::ending("/v1/oauth/tokens");
        // Its catalogs serve theirs below each catalog's prefix too.
        if iceberg.is(&[], &decoded(path)) {
            return iceberg;
        }
        Self {
            whole: true,
            ..Self::ending(path)
        }
    }

    /// The same path, only with what this query says; where that tells nothing apart, whatever the query.
    #[must_use]
    pub fn with_query(self, path: &str, query: &str) -> Self {
        Self {
            query: LoginQuery::of(&decoded(path), query).filter(|_| self.whole),
            ..self
        }
    }

    /// Every path that ends in these segments: what a gateway's context or a catalog's prefix puts before
    /// them changes nothing. `{name}` stands for any one segment.
    pub fn ending(path: &str) -> Self {
        let decoded = decoded(path);
        let segment = |segment: &[u8]| match segment {
            [b'{', .., b'}'] => Segment::Any,
            _ => Segment::Is(segment.to_ascii_lowercase().into()),
        };
        let last = segments(&decoded).next();
        Self {
            segments: segments(&decoded).map(segment).collect(),
            whole: false,
            script: last.is_some_and(|last| last.contains(&b'.')),
            query: None,
        }
    }

    /// Whether a path that begins with `base` could be this one.
    fn may_lie_below(&self, base: &[u8]) -> bool {
        if !self.whole {
            return true;
        }
        let base: Vec<_> = segments(base).collect();
        let mut both = base.iter().rev().zip(self.segments.iter().rev());
        (self.script || base.len() <= self.segments.len())
            && both.all(|(given, segment)| segment.is(given))
    }

    fn first(&self) -> u128 {
        match self.segments.first() {
            Some(Segment::Is(last)) if !self.script => bit(last[0]),
            _ => u128::MAX,
        }
    }

    fn is(&self, base: &[u8], rest: &[u8]) -> bool {
        let given = segments(rest).chain(segments(base));
        if self.script {
            let below = 0..given.clone().count().max(1);
            return below
                .into_iter()
                .any(|at| self.ends(given.clone().skip(at)));
        }
        self.ends(given)
    }

    fn ends<'g>(&self, mut given: impl Iterator<Item = &'g [u8]>) -> bool {
        for (at, segment) in self.segments.iter().enumerate() {
            let Some(given) = given.next() else {
                return false;
            };
            if !(segment.is(given) || at == 0 && segment.is_extended(given)) {
                return false;
            }
        }
        !self.whole || given.next().is_none()
    }
}

impl Segment {
    fn is(&self, given: &[u8]) -> bool {
        match self {
            Self::Is(known) => known.eq_ignore_ascii_case(given) || is_read_as(given, known),
            Self::Any => true,
        }
    }

    /// `tokens.json` is `tokens` for Rails and for older Spring.
    fn is_extended(&self, given: &[u8]) -> bool {
        match self {
            Self::Is(known) => given
                .split_at_checked(known.len())
                .is_some_and(|(stem, rest)| {
                    rest.first() == Some(&b'.') && known.eq_ignore_ascii_case(stem)
                }),
            Self::Any => false,
        }
    }
}

impl Logins {
    /// Those of `logins` that may lie below `base`; `None` for none, so that a request is not even looked at.
    pub fn below(base: &str, logins: impl IntoIterator<Item = Login>) -> Option<Box<Self>> {
        let base = decoded(base);
        let mut kept: Vec<Login> = Vec::new();
        for login in logins {
            let known = |other: &Login| {
                other.path == login.path
                    && (login.answer.is_none() || other.method() == login.method())
            };
            if login.path.may_lie_below(&base) && !kept.iter().any(known) {
                kept.push(login);
            }
        }
        (!kept.is_empty()).then(|| {
            Box::new(Self {
                base: base.into(),
                firsts: kept.iter().fold(0, |firsts, it| firsts | it.path.first()),
                logins: kept.into(),
            })
        })
    }

    /// Which login a request is for, in any reading.
    ///
    /// # Errors
    /// [`PathRefused`] for a path with more readings than can be looked at.
    pub fn find(&self, wanted: Wanted<'_>) -> Result<Option<Asked>, PathRefused> {
        let rest = wanted.rest.as_bytes();
        let mut found = self.asked(rest, wanted, false);
        if found.is_none() && may_be_read_otherwise(rest) {
            path::each_form(rest, |form| {
                found = found.take().or_else(|| self.asked(form, wanted, true));
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Whether any of them can be answered.
    pub fn has_answers(&self) -> bool {
        self.logins.iter().any(|login| login.answer.is_some())
    }

    /// `odd` for a path that is read in another way than it is written: the query may be read in another way, too.
    fn asked(&self, form: &[u8], wanted: Wanted<'_>, odd: bool) -> Option<Asked> {
        let last = segments(form).chain(segments(&self.base)).next();
        if last.is_some_and(|last| last[0].is_ascii() && self.firsts & bit(last[0]) == 0) {
            return None;
        }
        let here = |login: &&Login| login.path.is(&self.base, form);
        let mut may_be = None;
        for login in self.logins.iter().filter(here) {
            let query = login.path.query.as_ref();
            let is_asked = query.is_none_or(|query| query.stands_in(wanted.query));
            if is_asked && login.method() == Some(wanted.method) {
                let answer = login.answer.clone();
                return Some(Asked { answer });
            }
            if is_asked || odd || may_hold_form(wanted.method, wanted.headers) {
                may_be = Some(Asked { answer: None });
            }
        }
        may_be
    }
}

impl Login {
    fn method(&self) -> Option<&Method> {
        self.answer.as_ref().map(|answer| answer.method())
    }
}

/// Empty and dotted segments are told by [`segments`] alone.
fn may_be_read_otherwise(rest: &[u8]) -> bool {
    // Every byte is looked at, without an early end: so it takes sixteen at a time.
    let encoded = rest.iter().fold(false, |found, byte| {
        found | (*byte == b'%') | (*byte == b';') | (*byte == b'\\')
    });
    let dots = rest.iter().zip(rest.iter().skip(1));
    encoded
        | dots.fold(false, |found, (one, next)| {
            found | ((*one == b'.') & (*next == b'.'))
        })
}

/// Whether some server takes its characters beyond ASCII for those of `known`: in full width, or as the Kelvin sign is
/// a `k` in lower case. Which they are is not looked up: any is any.
fn is_read_as(given: &[u8], known: &[u8]) -> bool {
    if given.is_ascii() {
        return false;
    }
    let Ok(given) = std::str::from_utf8(given) else {
        return false;
    };
    let same = |(given, known): (char, &u8)| {
        !given.is_ascii() || given.eq_ignore_ascii_case(&char::from(*known))
    };
    given.chars().count() == known.len() && given.chars().zip(known).all(same)
}

/// From the last to the first; what servers drop or merge is dropped: empty ones, dots and blanks behind one, and
/// `(S(...))`, by which ASP.NET has sessions without cookies.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    path.rsplit(|byte| *byte == b'/')
        .map(|segment| {
            let end = segment
                .iter()
                .rposition(|byte| *byte > b' ' && *byte != b'.');
            let blank = segment.iter().take_while(|byte| **byte <= b' ').count();
            segment
                .get(blank..end.map_or(0, |end| end + 1))
                .unwrap_or_default()
        })
        .filter(|segment| !matches!(segment, [] | [b'(', .., b')']))
}

fn bit(byte: u8) -> u128 {
    1 << (byte.to_ascii_lowercase() & 127)
}

fn decoded(path: &str) -> Vec<u8> {
    let mut decoded = path.as_bytes().to_vec();
    // Each round shortens it.
    while let Some(next) = percent::decode(&decoded) {
        decoded = next;
    }
    decoded
}

#[cfg(test)]
mod tests;
