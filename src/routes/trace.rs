//! Says of each route why it was or was not taken: the order of precedence written out, for `explain`.

use std::cmp::Reverse;

use super::{
    host::HostPattern,
    pattern::{Matcher, PathPattern},
    table::RequestView,
};

/// One route and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Its index in the order of adding.
    pub index: usize,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is the request's route.
    Chosen,
    /// It is for another host.
    Host,
    /// It is for other paths.
    Path,
    /// It is for other methods.
    Method,
    /// This header is not there or not as asked.
    Header(String),
    /// This query parameter is not there or not as asked.
    Query(String),
    /// It would do, but the route of this index comes first.
    ShadowedBy(usize),
}

/// Why, of two routes that would both do, `first` comes first.
pub fn reason(first: &Matcher, second: &Matcher) -> &'static str {
    if first.host != second.host {
        return "its host is more specific";
    }
    match (&first.path, &second.path) {
        (PathPattern::Exact(_), PathPattern::Regex(_) | PathPattern::Prefix(_)) => {
            "its path is exact"
        }
        (PathPattern::Regex(_), PathPattern::Prefix(_)) => "an expression comes before a prefix",
        (PathPattern::Prefix(one), PathPattern::Prefix(two)) if one != two => {
            "its prefix is longer"
        }
        (PathPattern::Regex(one), PathPattern::Regex(two)) if one.source() != two.source() => {
            "its expression comes first in the file"
        }
        _ if first.methods.is_empty() != second.methods.is_empty() => "it names methods",
        _ if first.headers.len() != second.headers.len() => "it asks for more headers",
        _ if first.query.len() != second.query.len() => "it asks for more query parameters",
        _ => "it comes first in the file",
    }
}

/// Considers every route in the order of precedence, by the letter and without an index.
pub(super) fn consider(matchers: &[Matcher], request: &RequestView<'_>) -> Vec<Considered> {
    let mut order: Vec<usize> = (0..matchers.len()).collect();
    order.sort_by_key(|&index| precedence(matchers, index));
    let mut chosen = None;
    let mut considered = Vec::with_capacity(order.len());
    for index in order {
        let verdict = match (fault(&matchers[index], request), chosen) {
            (Some(fault), _) => fault,
            (None, Some(first)) => Verdict::ShadowedBy(first),
            (None, None) => {
                chosen = Some(index);
                Verdict::Chosen
            }
        };
        considered.push(Considered { index, verdict });
    }
    considered
}

/// Among routes of one host and path, less comes first: those with methods, with more headers, with more
/// query parameters.
pub(super) fn rank(matcher: &Matcher) -> (bool, Reverse<usize>, Reverse<usize>) {
    (
        matcher.methods.is_empty(),
        Reverse(matcher.headers.len()),
        Reverse(matcher.query.len()),
    )
}

fn precedence(matchers: &[Matcher], index: usize) -> impl Ord + use<> {
    let matcher = &matchers[index];
    let host = match &matcher.host {
        HostPattern::Exact(_) => (0, Reverse(0)),
        HostPattern::Wildcard(suffix) => (1, Reverse(suffix.len())),
        HostPattern::Any => (2, Reverse(0)),
    };
    let path = match &matcher.path {
        PathPattern::Exact(_) => (0, Reverse(0), 0),
        // Routes with the same expression stand where the first of them stands.
        PathPattern::Regex(regex) => {
            let same = |other: &Matcher| {
                matches!(&other.path, PathPattern::Regex(text) if text.source() == regex.source())
                    && other.host == matcher.host
            };
            let first = matchers.iter().position(same).unwrap_or(index);
            (1, Reverse(0), first)
        }
        PathPattern::Prefix(prefix) => (2, Reverse(prefix.len()), 0),
    };
    (host, path, rank(matcher), index)
}

fn fault(matcher: &Matcher, request: &RequestView<'_>) -> Option<Verdict> {
    if !matcher.host.matches(request.host) {
        return Some(Verdict::Host);
    }
    matcher
        .path
        .matches(request.path)
        .is_none()
        .then_some(Verdict::Path)
        .or_else(|| {
            let methods = &matcher.methods;
            (!methods.is_empty() && !methods.contains(request.method)).then_some(Verdict::Method)
        })
        .or_else(|| {
            let header = matcher
                .headers
                .iter()
                .find(|header| !header.matches(request.headers))?;
            Some(Verdict::Header(header.name.to_string()))
        })
        .or_else(|| {
            let parameter = matcher
                .query
                .iter()
                .find(|parameter| !parameter.matches(request.query))?;
            Some(Verdict::Query(parameter.name.clone()))
        })
}
