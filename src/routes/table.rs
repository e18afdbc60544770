//! Finds the one route of a request: Gateway API precedence, at a cost that does not grow with the routes.
//!
//! Hosts and paths are looked up by hash: exact, then each segment border from the longest prefix of the
//! table to the shortest. What can't be hashed (expressions) is tried one after the other.

use http::{HeaderMap, Method};

use super::{
    hash::FastMap,
    host::HostPattern,
    path::{self, PathRefused},
    pattern::{self, Matcher, PathPattern, TextRegex},
    trace::{self, Considered},
};

/// What of a request decides its route.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Canonical host without a port, see [`Authority`](super::host::Authority).
    pub host: Option<&'a str>,
    /// Raw path; it has passed [`target::check`](super::target::check).
    pub path: &'a str,
    /// Raw query.
    pub query: Option<&'a str>,
    /// Method.
    pub method: &'a Method,
    /// Header fields.
    pub headers: &'a HeaderMap,
}

/// What the table says about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a, T> {
    /// Its route.
    Match {
        /// What was added with the matcher.
        value: &'a T,
        /// Its index in the order of adding.
        index: usize,
        /// How many bytes of the path the upstream's base path replaces: the prefix, all of an exact path,
        /// the leading slash for an expression.
        prefix_len: usize,
    },
    /// No route is for it.
    NotFound,
    /// It has a route, but may be read as something else.
    Refused(PathRefused),
}

/// Two routes that some request can't tell apart, by the order of adding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// The one added first.
    pub first: usize,
    /// The one added later.
    pub second: usize,
}

/// Gathers routes.
#[derive(Debug)]
pub struct TableBuilder<T> {
    matchers: Vec<Matcher>,
    values: Vec<T>,
}

/// All routes, ready to be found. Immutable.
#[derive(Debug)]
pub struct Table<T> {
    exact_hosts: FastMap<Paths>,
    /// By suffix with its leading dot.
    wildcard_hosts: FastMap<Paths>,
    any_host: Paths,
    /// In the order of adding.
    values: Vec<T>,
    matchers: Vec<Matcher>,
}

/// The routes of one host pattern.
#[derive(Debug, Default)]
struct Paths {
    exact: FastMap<Chain>,
    regexes: Vec<(TextRegex, Chain)>,
    prefixes: FastMap<Chain>,
    /// How many slashes the deepest prefix has.
    depth: usize,
}

/// Routes of one host and path, first come first served.
type Chain = Vec<Link>;

#[derive(Clone, Copy, Debug)]
struct Link {
    index: u32,
    /// Asks for no method, header or query parameter.
    unconditional: bool,
}

impl<T> TableBuilder<T> {
    /// An empty table to be.
    pub fn new() -> Self {
        Self {
            matchers: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Adds a route. The order counts among `path_regex` routes only.
    pub fn add(&mut self, matcher: Matcher, value: T) {
        self.matchers.push(matcher);
        self.values.push(value);
    }

    /// Makes the table.
    ///
    /// # Errors
    /// All pairs of routes of equal precedence that some request would satisfy both of.
    pub fn build(self) -> Result<Table<T>, Vec<Ambiguous>> {
        let mut table = Table {
            exact_hosts: FastMap::default(),
            wildcard_hosts: FastMap::default(),
            any_host: Paths::default(),
            values: self.values,
            matchers: Vec::new(),
        };
        for (index, matcher) in self.matchers.iter().enumerate() {
            let link = Link {
                index: u32::try_from(index).expect("a file of 2^32 routes does not fit in memory"),
                unconditional: matcher.methods.is_empty()
                    && matcher.headers.is_empty()
                    && matcher.query.is_empty(),
            };
            table
                .paths_of(&matcher.host)
                .chain_of(&matcher.path)
                .push(link);
        }
        let mut ambiguous = Vec::new();
        for chain in table.chains() {
            order(chain, &self.matchers, &mut ambiguous);
        }
        if !ambiguous.is_empty() {
            ambiguous.sort_by_key(|pair| (pair.second, pair.first));
            return Err(ambiguous);
        }
        table.matchers = self.matchers;
        Ok(table)
    }
}

impl<T> Default for TableBuilder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Table<T> {
    /// Finds the route of a request.
    ///
    /// A path that nothing reads in two ways costs one look-up. Any other one is looked up in each form that
    /// a server might make of it, and refused unless all have the same route.
    pub fn find(&self, request: &RequestView<'_>) -> Found<'_, T> {
        let Some((index, prefix_len)) = self.lookup(request, request.path.as_bytes()) else {
            return Found::NotFound;
        };
        if !path::is_plain(request.path)
            && let Err(reason) = self.check_forms(request, index, prefix_len)
        {
            return Found::Refused(reason);
        }
        Found::Match {
            value: &self.values[index],
            index,
            prefix_len,
        }
    }

    /// Every route in the order in which it is considered for this request, and what became of it. Slow.
    pub fn trace(&self, request: &RequestView<'_>) -> Vec<Considered> {
        trace::consider(&self.matchers, request)
    }

    /// What was added, in the order of adding.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// What each route asks, in the order of adding.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn check_forms(
        &self,
        request: &RequestView<'_>,
        index: usize,
        prefix_len: usize,
    ) -> Result<(), PathRefused> {
        // A path that the file names byte for byte is what its author meant.
        if matches!(self.matchers[index].path, PathPattern::Exact(_)) {
            return Ok(());
        }
        let (prefix, rest) = request.path.as_bytes().split_at(prefix_len);
        path::each_form(rest, |form| {
            let path = [prefix, form].concat();
            match self.lookup(request, &path) {
                Some((other, _)) if other == index => Ok(()),
                _ => Err(PathRefused::OtherRoute),
            }
        })
    }

    fn lookup(&self, request: &RequestView<'_>, path: &[u8]) -> Option<(usize, usize)> {
        let in_paths = |paths: &Paths| paths.lookup(path, |link| self.accepts(link, request));
        if let Some(host) = request.host {
            if let Some(paths) = self.exact_hosts.get(host.as_bytes())
                && let Some(found) = in_paths(paths)
            {
                return Some(found);
            }
            if !self.wildcard_hosts.is_empty() {
                // From the second byte on: the star stands for one label at least.
                let dots = host
                    .bytes()
                    .enumerate()
                    .skip(1)
                    .filter(|(_, byte)| *byte == b'.');
                for (at, _) in dots {
                    if let Some(paths) = self.wildcard_hosts.get(&host.as_bytes()[at..])
                        && let Some(found) = in_paths(paths)
                    {
                        return Some(found);
                    }
                }
            }
        }
        in_paths(&self.any_host)
    }

    fn accepts(&self, link: &Link, request: &RequestView<'_>) -> bool {
        link.unconditional || {
            let matcher = &self.matchers[link.index as usize];
            (matcher.methods.is_empty() || matcher.methods.contains(request.method))
                && matcher
                    .headers
                    .iter()
                    .all(|header| header.matches(request.headers))
                && matcher
                    .query
                    .iter()
                    .all(|parameter| parameter.matches(request.query))
        }
    }

    fn paths_of(&mut self, host: &HostPattern) -> &mut Paths {
        match host {
            HostPattern::Any => &mut self.any_host,
            HostPattern::Exact(name) => self.exact_hosts.entry(name.as_bytes().into()).or_default(),
            HostPattern::Wildcard(suffix) => self
                .wildcard_hosts
                .entry(suffix.as_bytes().into())
                .or_default(),
        }
    }

    fn chains(&mut self) -> impl Iterator<Item = &mut Chain> {
        let hosts = self
            .exact_hosts
            .values_mut()
            .chain(self.wildcard_hosts.values_mut());
        hosts.chain([&mut self.any_host]).flat_map(|paths| {
            let regexes = paths.regexes.iter_mut().map(|(_, chain)| chain);
            paths
                .exact
                .values_mut()
                .chain(regexes)
                .chain(paths.prefixes.values_mut())
        })
    }
}

impl Paths {
    fn lookup(&self, path: &[u8], accepts: impl Fn(&Link) -> bool) -> Option<(usize, usize)> {
        let first = |chain: &Chain| {
            chain
                .iter()
                .find(|link| accepts(link))
                .map(|link| link.index as usize)
        };
        if let Some(index) = self.exact.get(path).and_then(first) {
            return Some((index, path.len()));
        }
        for (regex, chain) in &self.regexes {
            if regex.is_match(path)
                && let Some(index) = first(chain)
            {
                return Some((index, 1));
            }
        }
        // Borders deeper than the deepest prefix are never probed, however long the path.
        let borders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut end = borders.take(self.depth).last()?.0 + 1;
        loop {
            let prefix = &path[..end];
            if let Some(index) = self.prefixes.get(prefix).and_then(first) {
                return Some((index, end));
            }
            end = prefix[..end - 1].iter().rposition(|byte| *byte == b'/')? + 1;
        }
    }

    fn chain_of(&mut self, path: &PathPattern) -> &mut Chain {
        match path {
            PathPattern::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default(),
            PathPattern::Prefix(prefix) => {
                let depth = prefix.bytes().filter(|byte| *byte == b'/').count();
                self.depth = self.depth.max(depth);
                self.prefixes.entry(prefix.as_bytes().into()).or_default()
            }
            PathPattern::Regex(regex) => {
                let mut known = self.regexes.iter();
                let at = known.position(|(known, _)| known.source() == regex.source());
                let at = at.unwrap_or_else(|| {
                    self.regexes.push((regex.clone(), Chain::new()));
                    self.regexes.len() - 1
                });
                &mut self.regexes[at].1
            }
        }
    }
}

/// Puts routes of one host and path in their order; notes those that have none.
fn order(chain: &mut Chain, matchers: &[Matcher], ambiguous: &mut Vec<Ambiguous>) {
    let rank = |link: &Link| trace::rank(&matchers[link.index as usize]);
    chain.sort_by_key(rank);
    for equals in chain.chunk_by(|one, two| rank(one) == rank(two)) {
        for (at, first) in equals.iter().enumerate() {
            for second in &equals[at + 1..] {
                let (first, second) = (first.index as usize, second.index as usize);
                if pattern::overlap(&matchers[first], &matchers[second]) {
                    ambiguous.push(Ambiguous { first, second });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
