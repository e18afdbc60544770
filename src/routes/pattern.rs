//! What one route asks of a request: host, path, methods, headers and query parameters.

use std::fmt;

use http::{HeaderMap, HeaderName, Method};
use regex::bytes::{Regex, RegexBuilder};

use crate::percent::decode_form;

use super::{
    host::HostPattern,
    path,
    target::{self, TargetRefused},
};

/// All that one route asks of a request.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// Which hosts.
    pub host: HostPattern,
    /// Which paths.
    pub path: PathPattern,
    /// Which methods; empty for all.
    pub methods: Vec<Method>,
    /// Headers that must be there; all of them.
    pub headers: Vec<HeaderMatcher>,
    /// Query parameters that must be there; all of them.
    pub query: Vec<QueryMatcher>,
}

/// Which paths a route is for. Always matched against the raw path, never against a query.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// This path and no other.
    Exact(Box<str>),
    /// This path, which ends in `/`, and all below it.
    Prefix(Box<str>),
    /// The paths that this expression matches as a whole.
    Regex(TextRegex),
}

/// A header that must be there.
#[derive(Clone, Debug)]
pub struct HeaderMatcher {
    /// Its name; of a repeated header the first line is looked at.
    pub name: HeaderName,
    /// What its value must be.
    pub value: ValueMatcher,
}

/// A query parameter that must be there.
#[derive(Clone, Debug)]
pub struct QueryMatcher {
    /// Its name, decoded, case-sensitive; of a repeated one the first is looked at (Gateway API).
    pub name: String,
    /// What its decoded value must be.
    pub value: ValueMatcher,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub enum ValueMatcher {
    /// Anything, even empty.
    Present,
    /// These bytes.
    Exact(String),
    /// Matched as a whole.
    Regex(TextRegex),
}

/// A regular expression that is anchored at both ends, of bounded size, with ASCII classes.
#[derive(Clone)]
pub struct TextRegex {
    source: Box<str>,
    regex: Regex,
}

/// Why a pattern of the file is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No request's path looks like this.
    #[error("no request's path can be `{0}`: {1}")]
    Path(String, TargetRefused),
    /// A query is matched by `query`.
    #[error("`{0}` has a query: the path alone is matched, `query` matches parameters")]
    Query(String),
    /// Dot segments, `//` and the like.
    #[error("`{0}` is not in its normal form: dot segments, `//` or `;` would never match safely")]
    NotNormal(String),
    /// The expression does not compile or is too big.
    #[error("{0}")]
    Regex(String),
}

impl PathPattern {
    /// Parses `match: /x/`: a prefix when it ends in `/`, else exact.
    ///
    /// # Errors
    /// [`PatternError`] where no request could match it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        target::check(text).map_err(|reason| PatternError::Path(text.to_owned(), reason))?;
        if text.contains('?') {
            return Err(PatternError::Query(text.to_owned()));
        }
        if !path::is_normal(text) {
            return Err(PatternError::NotNormal(text.to_owned()));
        }
        Ok(if text.ends_with('/') {
            Self::Prefix(text.into())
        } else {
            Self::Exact(text.into())
        })
    }

    /// Compiles `path_regex:`.
    ///
    /// # Errors
    /// [`PatternError::Regex`] where it does not compile.
    pub fn regex(source: &str) -> Result<Self, PatternError> {
        TextRegex::new(source).map(Self::Regex)
    }

    /// Whether `path` (raw, without a query) is meant; then, how many of its bytes the pattern stands for:
    /// the prefix, all of an exact path, the leading slash for an expression.
    pub fn matches(&self, path: &str) -> Option<usize> {
        match self {
            Self::Exact(exact) => (**exact == *path).then_some(path.len()),
            Self::Prefix(prefix) => path.starts_with(&**prefix).then_some(prefix.len()),
            Self::Regex(regex) => regex.is_match(path.as_bytes()).then_some(1),
        }
    }
}

impl Default for PathPattern {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Prefix(text) => f.write_str(text),
            Self::Regex(regex) => f.write_str(regex.source()),
        }
    }
}

impl TextRegex {
    /// Compiles `source`; `\d`, `\w` and `\s` mean ASCII.
    ///
    /// # Errors
    /// [`PatternError::Regex`] where it does not compile or would take more than 256 KiB.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        // Compiled alone first: `a)|(b` must not become valid by our brackets.
        build(source)?;
        let regex = build(&format!("^(?:{source})$"))?;
        Ok(Self {
            source: source.into(),
            regex,
        })
    }

    /// Whether all of `text` matches.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// As it is written in the file.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for TextRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl ValueMatcher {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => text.as_bytes() == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    /// Whether some value is sure to satisfy both. Two different expressions are given the benefit of the doubt.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) | (_, Self::Present) => true,
            (Self::Exact(text), other) | (other, Self::Exact(text)) => {
                other.matches(text.as_bytes())
            }
            (Self::Regex(one), Self::Regex(two)) => one.source == two.source,
        }
    }
}

impl HeaderMatcher {
    /// Whether the header is there and as asked.
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        match headers.get(&self.name) {
            Some(value) => self.value.matches(value.as_bytes()),
            None => false,
        }
    }
}

impl QueryMatcher {
    /// Whether the parameter is there and as asked.
    pub fn matches(&self, query: Option<&str>) -> bool {
        let first = query.unwrap_or_default().split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(name) == self.name.as_bytes()).then_some(value)
        });
        match first {
            Some(value) => self.value.matches(&decode_form(value)),
            None => false,
        }
    }
}

/// Whether some request is sure to satisfy the methods, headers and query parameters of both.
pub(super) fn overlap(one: &Matcher, two: &Matcher) -> bool {
    let methods = one.methods.is_empty()
        || two.methods.is_empty()
        || one
            .methods
            .iter()
            .any(|method| two.methods.contains(method));
    let headers = one.headers.iter().all(|a| {
        let mut same = two.headers.iter().filter(|b| b.name == a.name);
        same.all(|b| a.value.overlaps(&b.value))
    });
    let query = one.query.iter().all(|a| {
        let mut same = two.query.iter().filter(|b| b.name == a.name);
        same.all(|b| a.value.overlaps(&b.value))
    });
    methods && headers && query
}

fn build(source: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(source)
        .unicode(false)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(4 * REGEX_BYTES)
        .build()
        .map_err(|error| PatternError::Regex(error.to_string()))
}

/// Far more than a path needs; little enough that thousands of routes can have one.
const REGEX_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests;
