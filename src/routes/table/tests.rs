use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue};
use proptest::{prelude::*, sample::select};

use super::*;
use crate::routes::{
    path::tests::{odd_path, read_as},
    pattern::{HeaderMatcher, QueryMatcher, ValueMatcher},
    target,
    trace::Verdict,
};

fn matcher(host: &str, path: &str) -> Matcher {
    Matcher {
        host: HostPattern::parse(host).unwrap(),
        path: match path.strip_prefix('~') {
            Some(regex) => PathPattern::regex(regex).unwrap(),
            None => PathPattern::parse(path).unwrap(),
        },
        ..Matcher::default()
    }
}

fn methods(mut matcher: Matcher, methods: &[Method]) -> Matcher {
    matcher.methods = methods.to_vec();
    matcher
}

fn header(mut matcher: Matcher, name: &'static str, value: &str) -> Matcher {
    matcher.headers.push(HeaderMatcher {
        name: HeaderName::from_static(name),
        value: value_matcher(value),
    });
    matcher
}

fn query(mut matcher: Matcher, name: &str, value: &str) -> Matcher {
    matcher.query.push(QueryMatcher {
        name: name.to_owned(),
        value: value_matcher(value),
    });
    matcher
}

/// `*` is any value, `~x` an expression.
fn value_matcher(text: &str) -> ValueMatcher {
    match text.strip_prefix('~') {
        Some(regex) => ValueMatcher::Regex(TextRegex::new(regex).unwrap()),
        None if text == "*" => ValueMatcher::Present,
        None => ValueMatcher::Exact(text.to_owned()),
    }
}

fn build(matchers: impl IntoIterator<Item = Matcher>) -> Result<Table<()>, Vec<Ambiguous>> {
    let mut builder = TableBuilder::new();
    matchers
        .into_iter()
        .for_each(|matcher| builder.add(matcher, ()));
    builder.build()
}

#[derive(Clone, Debug)]
struct Request {
    host: Option<String>,
    path: String,
    query: Option<String>,
    method: Method,
    headers: HeaderMap,
}

fn get(host: &str, target: &str) -> Request {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Request {
        host: (!host.is_empty()).then(|| host.to_owned()),
        path: path.to_owned(),
        query,
        method: Method::GET,
        headers: HeaderMap::new(),
    }
}

impl Request {
    fn view(&self) -> RequestView<'_> {
        RequestView {
            host: self.host.as_deref(),
            path: &self.path,
            query: self.query.as_deref(),
            method: &self.method,
            headers: &self.headers,
        }
    }
}

fn index(table: &Table<()>, request: &Request) -> Option<usize> {
    match table.find(&request.view()) {
        Found::Match { index, .. } => Some(index),
        Found::NotFound => None,
        Found::Refused(reason) => panic!("refused: {reason}"),
    }
}

fn refusal(table: &Table<()>, path: &str) -> Option<PathRefused> {
    match table.find(&get("", path).view()) {
        Found::Refused(reason) => Some(reason),
        _ => None,
    }
}

#[test]
fn an_exact_host_comes_before_a_wildcard_before_any() {
    let table = build([
        matcher("*", "/a/b/c"),
        matcher("*.com", "/"),
        matcher("*.example.com", "/"),
        matcher("api.example.com", "/"),
    ])
    .unwrap();
    assert_eq!(index(&table, &get("api.example.com", "/a/b/c")), Some(3));
    assert_eq!(index(&table, &get("x.example.com", "/a/b/c")), Some(2));
    assert_eq!(index(&table, &get("x.y.example.com", "/")), Some(2));
    assert_eq!(index(&table, &get("example.com", "/")), Some(1));
    assert_eq!(index(&table, &get("example.org", "/a/b/c")), Some(0));
    assert_eq!(index(&table, &get("", "/a/b/c")), Some(0));
    assert_eq!(
        index(&table, &get(".com", "/")),
        None,
        "the star stands for one label at least"
    );
    assert_eq!(index(&table, &get("example.org", "/a/b")), None);
}

#[test]
fn an_exact_path_comes_before_an_expression_before_the_longest_prefix() {
    let table = build([
        matcher("*", "/"),
        matcher("*", "/a/"),
        matcher("*", "/a/b/"),
        matcher("*", "~/a/x.*"),
        matcher("*", "~/a/xy.*"),
        matcher("*", "/a/xyz"),
    ])
    .unwrap();
    for (path, expected) in [
        ("/a/xyz", 5),
        ("/a/xy", 3),
        ("/a/b/c/d/e/f", 2),
        ("/a/b/", 2),
        ("/a/b", 1),
        ("/a/c", 1),
        ("/a/", 1),
        ("/a", 0),
        ("/", 0),
        ("/ab/", 0),
    ] {
        assert_eq!(index(&table, &get("", path)), Some(expected), "{path}");
    }
}

#[test]
fn method_then_headers_then_query_decide_among_equals() {
    let base = || matcher("*", "/a/");
    let table = build([
        base(),
        query(base(), "q", "1"),
        header(base(), "x-a", "1"),
        query(header(base(), "x-a", "1"), "q", "1"),
        header(header(base(), "x-a", "1"), "x-b", "1"),
        methods(base(), &[Method::POST]),
    ])
    .unwrap();
    let mut request = get("", "/a/?q=1");
    assert_eq!(index(&table, &request), Some(1));
    request.headers.insert("x-a", HeaderValue::from_static("1"));
    assert_eq!(index(&table, &request), Some(3));
    request.headers.insert("x-b", HeaderValue::from_static("1"));
    assert_eq!(index(&table, &request), Some(4));
    request.method = Method::POST;
    assert_eq!(index(&table, &request), Some(5));
    assert_eq!(index(&table, &get("", "/a/?q=2")), Some(0));
}

#[test]
fn a_route_that_fails_on_its_conditions_gives_way_to_a_shorter_prefix_then_a_wider_host() {
    let table = build([
        methods(matcher("api.example.com", "/a/b/"), &[Method::POST]),
        header(matcher("api.example.com", "/a/"), "x-a", "1"),
        matcher("*.example.com", "/a/"),
        methods(matcher("*", "/a/b/c"), &[Method::GET]),
        methods(matcher("*.example.com", "/a/b/c"), &[Method::PUT]),
    ])
    .unwrap();
    let mut request = get("api.example.com", "/a/b/c");
    assert_eq!(index(&table, &request), Some(2));
    request.headers.insert("x-a", HeaderValue::from_static("1"));
    assert_eq!(index(&table, &request), Some(1));
    request.method = Method::POST;
    assert_eq!(index(&table, &request), Some(0));
    request.host = Some("other".to_owned());
    assert_eq!(index(&table, &request), None);
    request.method = Method::GET;
    assert_eq!(index(&table, &request), Some(3));
}

#[test]
fn how_much_of_the_path_the_pattern_stands_for_is_told() {
    let table = build([
        matcher("*", "/a/"),
        matcher("*", "/a/b"),
        matcher("*", "~/r/.*"),
    ])
    .unwrap();
    for (path, expected) in [("/a/x", 3), ("/a/b", 4), ("/r/x", 1)] {
        match table.find(&get("", path).view()) {
            Found::Match { prefix_len, .. } => assert_eq!(prefix_len, expected, "{path}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn routes_that_some_request_cannot_tell_apart_are_named() {
    let ambiguous = |one, two| build([matcher("*", "/other"), one, two]).err();
    let pair = Some(vec![Ambiguous {
        first: 1,
        second: 2,
    }]);
    let base = || matcher("*", "/a/");
    assert_eq!(ambiguous(base(), base()), pair);
    assert_eq!(
        ambiguous(matcher("A.com", "/"), matcher("a.com.", "/")),
        pair
    );
    assert_eq!(
        ambiguous(matcher("*", "~/x.*"), matcher("*", "~/x.*")),
        pair
    );
    let get_or_post = methods(base(), &[Method::GET, Method::POST]);
    assert_eq!(
        ambiguous(get_or_post, methods(base(), &[Method::POST])),
        pair
    );
    assert_eq!(
        ambiguous(header(base(), "x-a", "1"), header(base(), "x-b", "1")),
        pair
    );
    assert_eq!(
        ambiguous(header(base(), "x-a", "1"), header(base(), "x-a", "*")),
        pair
    );
    assert_eq!(
        ambiguous(header(base(), "x-a", "1"), header(base(), "x-a", "~[0-9]")),
        pair
    );

    assert_eq!(ambiguous(base(), matcher("a.com", "/a/")), None);
    assert_eq!(ambiguous(base(), matcher("*", "/a")), None);
    assert_eq!(ambiguous(base(), methods(base(), &[Method::GET])), None);
    assert_eq!(
        ambiguous(
            methods(base(), &[Method::PUT]),
            methods(base(), &[Method::GET])
        ),
        None
    );
    assert_eq!(
        ambiguous(header(base(), "x-a", "1"), header(base(), "x-a", "2")),
        None
    );
    assert_eq!(
        ambiguous(query(base(), "a", "1"), query(base(), "a", "2")),
        None
    );
    assert_eq!(
        ambiguous(matcher("*", "~/x.*"), matcher("*", "~/xy.*")),
        None
    );
}

#[test]
fn all_ambiguous_pairs_are_reported_at_once() {
    let pairs =
        build(["/a/", "/b", "/a/", "/b", "/a/"].map(|path| matcher("*", path))).unwrap_err();
    let pairs: BTreeSet<_> = pairs.iter().map(|pair| (pair.first, pair.second)).collect();
    assert_eq!(pairs, BTreeSet::from([(0, 2), (0, 4), (2, 4), (1, 3)]));
}

#[test]
fn harmless_encoded_data_passes_and_what_another_route_might_claim_does_not() {
    let table = build([
        matcher("*", "/gitlab/"),
        matcher("*", "/gitlab/admin/"),
        matcher("*", "/iceberg/"),
        matcher("*", "/exact%2fid"),
        matcher("*", "/caf%C3%A9/"),
        matcher("*", "~/files/[a-z%0-9.]+"),
        methods(matcher("*", "/iceberg/write/"), &[Method::POST]),
    ])
    .unwrap();
    for (path, route) in [
        ("/gitlab/projects/group%2fname/issues", 0),
        ("/gitlab/a/../b", 0),
        ("/gitlab/a//b;v=1", 0),
        ("/iceberg/ns/a%1Fb", 2),
        ("/iceberg/a%5cb%20c", 2),
        ("/iceberg/%77rite/x", 2),
        ("/exact%2fid", 3),
        ("/caf%C3%A9/x%20y", 4),
        ("/files/a%61", 5),
    ] {
        let found = match table.find(&get("", path).view()) {
            Found::Match { index, .. } => Some(index),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(found, Some(route), "{path}");
    }
    for (path, reason) in [
        ("/gitlab/%61dmin/x", PathRefused::OtherRoute),
        ("/gitlab/x/../admin/x", PathRefused::OtherRoute),
        ("/gitlab/x%2f..%2fadmin/x", PathRefused::OtherRoute),
        ("/gitlab//admin/x", PathRefused::OtherRoute),
        ("/gitlab/admin;x/y", PathRefused::OtherRoute),
        ("/gitlab/admin%5cy", PathRefused::OtherRoute),
        ("/gitlab/../iceberg/", PathRefused::Leaves),
        ("/gitlab/%2e%2e/iceberg/", PathRefused::Leaves),
        ("/files/a%2fb", PathRefused::OtherRoute),
    ] {
        assert_eq!(refusal(&table, path), Some(reason), "{path}");
    }
    // The same path, where its reading is the same route: the other one is for POST alone.
    let mut post = get("", "/iceberg/%77rite/x");
    post.method = Method::POST;
    assert_eq!(
        table.find(&post.view()),
        Found::Refused(PathRefused::OtherRoute)
    );
}

#[test]
fn trace_says_why_each_route_was_not_taken() {
    let table = build([
        matcher("*", "/"),
        methods(matcher("*", "/a/"), &[Method::POST]),
        header(matcher("*", "/a/"), "x-a", "1"),
        query(matcher("*", "/a/"), "q", "1"),
        matcher("*", "/a/"),
        matcher("*", "/b/"),
        matcher("other", "/a/"),
    ])
    .unwrap();
    let traced = table.trace(&get("", "/a/x").view());
    let verdicts: Vec<_> = traced
        .into_iter()
        .map(|route| (route.index, route.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            (6, Verdict::Host),
            (1, Verdict::Method),
            (2, Verdict::Header("x-a".to_owned())),
            (3, Verdict::Query("q".to_owned())),
            (4, Verdict::Chosen),
            (5, Verdict::Path),
            (0, Verdict::ShadowedBy(4)),
        ]
    );
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let hosts = select(vec!["*", "*", "a.com", "*.com", "b.a.com", "*.a.com"]);
    let paths = select(vec![
        "/", "/a/", "/a", "/b/", "/a/b/", "/a/b", "/a/b/a/", "/a%2fb/", "~/a.*", "~/.*b", "~/a/b.*",
    ]);
    let methods_of = select(vec![
        vec![],
        vec![],
        vec![Method::GET],
        vec![Method::GET, Method::PUT],
    ]);
    let values = || proptest::option::weighted(0.2, select(vec!["1", "2", "*", "~[12]"]));
    (hosts, paths, methods_of, values(), values(), values()).prop_map(
        |(host, path, verbs, x, y, q)| {
            let mut made = methods(matcher(host, path), &verbs);
            for (name, value) in [("x-a", x), ("x-b", y)] {
                made = value
                    .into_iter()
                    .fold(made, |made, value| header(made, name, value));
            }
            q.into_iter()
                .fold(made, |made, value| query(made, "q", value))
        },
    )
}

fn any_request() -> impl Strategy<Value = Request> {
    let hosts = select(vec!["", "a.com", "b.a.com", "c.b.a.com", "d.com", "com"]);
    let plain = select(vec![
        "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/a/b", "/b/x", "/c", "/ab", "/a%2fb/x",
    ]);
    let paths = prop_oneof![plain.prop_map(str::to_owned), odd_path()];
    let queries = select(vec![
        None,
        Some("q=1"),
        Some("x&q=2"),
        Some("%71=1&q=2"),
        Some("Q=1"),
    ]);
    let values = || proptest::option::of(select(vec!["1", "2", "3"]));
    let verbs = select(vec![Method::GET, Method::PUT, Method::POST]);
    (hosts, paths, queries, verbs, values(), values()).prop_map(
        |(host, path, query, method, x, y)| {
            let mut request = Request {
                method,
                query: query.map(str::to_owned),
                ..get(host, "/")
            };
            request.path = path;
            for (name, value) in [("x-a", x), ("x-b", y)] {
                if let Some(value) = value {
                    request
                        .headers
                        .insert(name, HeaderValue::from_static(value));
                }
            }
            request
        },
    )
}

/// The precedence of the documentation, written as a comparison of all routes with each other.
fn reference(matchers: &[Matcher], request: &Request, path: &str) -> Option<usize> {
    let fits = |matcher: &Matcher| {
        let host = match (matcher.host.to_string().as_str(), request.host.as_deref()) {
            ("*", _) => true,
            (pattern, Some(host)) => match pattern.strip_prefix('*') {
                Some(suffix) => host
                    .strip_suffix(suffix)
                    .is_some_and(|label| !label.is_empty()),
                None => pattern == host,
            },
            (_, None) => false,
        };
        let path_fits = match &matcher.path {
            PathPattern::Exact(exact) => **exact == *path,
            PathPattern::Prefix(prefix) => path.get(..prefix.len()) == Some(prefix),
            PathPattern::Regex(regex) => regex.is_match(path.as_bytes()),
        };
        host && path_fits
            && (matcher.methods.is_empty() || matcher.methods.contains(&request.method))
            && matcher
                .headers
                .iter()
                .all(|header| header.matches(&request.headers))
            && matcher
                .query
                .iter()
                .all(|query| query.matches(request.query.as_deref()))
    };
    let specific = |index: usize| {
        let matcher = &matchers[index];
        let host = match &matcher.host {
            HostPattern::Any => 0,
            HostPattern::Wildcard(suffix) => suffix.len(),
            HostPattern::Exact(_) => usize::MAX,
        };
        let path = match &matcher.path {
            PathPattern::Prefix(prefix) => prefix.len() as isize,
            PathPattern::Regex(regex) => {
                let same = |other: &Matcher| {
                    other.host == matcher.host && other.path.to_string() == regex.source()
                };
                isize::MAX - 1 - matchers.iter().position(same).unwrap() as isize
            }
            PathPattern::Exact(_) => isize::MAX,
        };
        let methods = !matcher.methods.is_empty();
        (
            host,
            path,
            methods,
            matcher.headers.len(),
            matcher.query.len(),
            usize::MAX - index,
        )
    };
    (0..matchers.len())
        .filter(|&index| fits(&matchers[index]))
        .max_by_key(|&index| specific(index))
}

/// Builds what can be built: a route that is ambiguous with an earlier one is left out.
fn without_ambiguous(matchers: Vec<Matcher>) -> (Vec<Matcher>, Table<()>) {
    let mut kept: Vec<Matcher> = Vec::new();
    for matcher in matchers {
        kept.push(matcher);
        if build(kept.clone()).is_err() {
            kept.pop();
        }
    }
    let table = build(kept.clone()).unwrap();
    (kept, table)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_table_finds_what_comparing_all_routes_finds(
        matchers in proptest::collection::vec(any_matcher(), 1..9),
        request in any_request(),
    ) {
        let (matchers, table) = without_ambiguous(matchers);
        let expected = reference(&matchers, &request, &request.path);
        match table.find(&request.view()) {
            Found::Match { index, prefix_len, .. } => {
                prop_assert_eq!(Some(index), expected);
                prop_assert_eq!(matchers[index].path.matches(&request.path), Some(prefix_len));
            }
            Found::NotFound => prop_assert_eq!(None, expected),
            Found::Refused(_) => prop_assert!(expected.is_some()),
        }
        let traced = table.trace(&request.view());
        let chosen = traced.iter().find(|route| route.verdict == Verdict::Chosen);
        prop_assert_eq!(chosen.map(|route| route.index), expected);
        prop_assert_eq!(traced.len(), matchers.len());
    }

    #[test]
    fn the_order_of_the_file_does_not_matter_without_expressions(
        matchers in proptest::collection::vec(any_matcher(), 1..9),
        request in any_request(),
    ) {
        let hashed = |matcher: &Matcher| !matches!(matcher.path, PathPattern::Regex(_));
        let (matchers, table) = without_ambiguous(matchers.into_iter().filter(hashed).collect());
        let unsure = |value: &ValueMatcher| matches!(value, ValueMatcher::Regex(_));
        prop_assume!(!matchers.iter().any(|matcher| {
            matcher.headers.iter().any(|header| unsure(&header.value))
                || matcher.query.iter().any(|query| unsure(&query.value))
        }));
        let count = matchers.len();
        let reversed = build(matchers.into_iter().rev()).unwrap();
        match (table.find(&request.view()), reversed.find(&request.view())) {
            (Found::Match { index: one, .. }, Found::Match { index: two, .. }) => {
                prop_assert_eq!(one, count - 1 - two);
            }
            (one, two) => prop_assert_eq!(one, two),
        }
    }

    #[test]
    fn no_reading_of_an_accepted_path_belongs_to_another_route(
        matchers in proptest::collection::vec(any_matcher(), 1..9),
        request in any_request(),
        steps in proptest::collection::vec(0u8..6, 0..7),
    ) {
        prop_assume!(target::check(&request.path).is_ok());
        let (matchers, table) = without_ambiguous(matchers);
        if let Found::Match { index, prefix_len, .. } = table.find(&request.view())
            && matches!(matchers[index].path, PathPattern::Prefix(_))
            // Elsewhere the reading of the prefix itself, which the file names, differs.
            && path::is_plain(&request.path[..prefix_len])
        {
            let read = read_as(&request.path, &steps);
            prop_assert!(read.starts_with(&request.path[..prefix_len]), "read as {}", read);
            prop_assert_eq!(reference(&matchers, &request, &read), Some(index), "read as {}", read);
        }
    }
}
