//! What befell others' proxies with paths, hosts and routing, each as one test named by its first number.

use http::{HeaderMap, HeaderValue, Method};

use super::{
    host::{Authority, HostPattern},
    path::{self, PathRefused},
    pattern::{Matcher, PathPattern},
    table::{Found, RequestView, Table, TableBuilder},
    target::{self, TargetRefused},
};

/// What becomes of a target: gate, table, and the bytes that would be sent.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Gate(TargetRefused),
    NotFound,
    Refused(PathRefused),
    Sent(&'static str, String),
}

/// `/public/` and `/` are for everyone, `/admin/` is not.
fn table() -> Table<&'static str> {
    let mut builder = TableBuilder::new();
    for (host, path) in [
        ("*", "/"),
        ("*", "/public/"),
        ("*", "/admin/"),
        ("*", "~/reports/[a-z]+\\.csv"),
        ("internal.example", "/"),
        ("[::1]", "/"),
    ] {
        let matcher = Matcher {
            host: HostPattern::parse(host).unwrap(),
            path: match path.strip_prefix('~') {
                Some(regex) => PathPattern::regex(regex).unwrap(),
                None => PathPattern::parse(path).unwrap(),
            },
            ..Matcher::default()
        };
        builder.add(matcher, if host == "*" { path } else { host });
    }
    builder.build().unwrap()
}

fn fate_with(host: Option<&str>, target: &str, headers: &HeaderMap) -> Fate {
    if let Err(reason) = target::check(target) {
        return Fate::Gate(reason);
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let table = table();
    let method = &Method::GET;
    match table.find(&RequestView {
        host,
        path,
        query,
        method,
        headers,
    }) {
        Found::NotFound => Fate::NotFound,
        Found::Refused(reason) => Fate::Refused(reason),
        Found::Match {
            value, prefix_len, ..
        } => match path::outgoing("/base/", &path[prefix_len..], query) {
            Ok(sent) => Fate::Sent(value, sent),
            Err(reason) => Fate::Refused(reason),
        },
    }
}

fn fate(target: &str) -> Fate {
    fate_with(None, target, &HeaderMap::new())
}

fn sent(route: &'static str, target: &str) -> Fate {
    Fate::Sent(route, target.to_owned())
}

#[test]
fn cve_2025_3454_a_double_slash_does_not_reach_another_route() {
    assert_eq!(fate("//admin/x"), Fate::Refused(PathRefused::OtherRoute));
    assert_eq!(
        fate("/public//..//admin/x"),
        Fate::Refused(PathRefused::Leaves)
    );
    assert_eq!(fate("/public//x"), sent("/public/", "/base//x"));
}

#[test]
fn cve_2025_47952_encoded_slashes_and_dots_do_not_reach_another_route() {
    assert_eq!(
        fate("/public%2f..%2fadmin/x"),
        Fate::Refused(PathRefused::OtherRoute)
    );
    assert_eq!(fate("/admin%2fx"), Fate::Refused(PathRefused::OtherRoute));
    assert_eq!(
        fate("/public/%2e%2e/admin/x"),
        Fate::Refused(PathRefused::Leaves)
    );
    assert_eq!(
        fate("/public/%252e%252e%252fadmin"),
        Fate::Refused(PathRefused::Leaves)
    );
    assert_eq!(fate("/public/a%2fb"), sent("/public/", "/base/a%2fb"));
}

#[test]
fn cve_2026_33494_what_is_sent_is_checked_after_the_prefix_is_replaced() {
    assert_eq!(
        fate("/public/../admin/x"),
        Fate::Refused(PathRefused::Leaves)
    );
    assert_eq!(
        fate("/public/..;/admin/x"),
        Fate::Gate(TargetRefused::DotParameters)
    );
    assert_eq!(
        path::outgoing("/base/", "../x", None),
        Err(PathRefused::Leaves)
    );
    assert_eq!(
        path::outgoing("/base/", "a/../../x", None),
        Err(PathRefused::Leaves)
    );
    assert_eq!(
        path::outgoing("/", "/evil.example", None),
        Err(PathRefused::Authority)
    );
}

#[test]
fn cve_2026_27587_an_encoded_letter_does_not_evade_the_stricter_route() {
    assert_eq!(fate("/%61dmin/x"), Fate::Refused(PathRefused::OtherRoute));
    assert_eq!(fate("/%2561dmin/x"), Fate::Refused(PathRefused::OtherRoute));
    assert_eq!(fate("/admi%6E/x"), Fate::Refused(PathRefused::OtherRoute));
}

#[test]
fn cve_2026_52844_a_backslash_is_never_taken_for_less_than_a_slash() {
    assert_eq!(
        fate("/public\\..\\admin/x"),
        Fate::Gate(TargetRefused::Backslash)
    );
    assert_eq!(
        fate("/public/..%5cadmin/x"),
        Fate::Refused(PathRefused::Leaves)
    );
    assert_eq!(fate("/admin%5cx"), Fate::Refused(PathRefused::OtherRoute));
    assert_eq!(fate("/public/a%5cb"), sent("/public/", "/base/a%5cb"));
}

#[test]
fn cve_2023_45539_a_fragment_in_the_target_is_refused() {
    assert_eq!(fate("/admin/#.png"), Fate::Gate(TargetRefused::Fragment));
    assert_eq!(fate("/public/x?a#b"), Fate::Gate(TargetRefused::Fragment));
    assert_eq!(fate("/admin/%23.png"), sent("/admin/", "/base/%23.png"));
}

#[test]
fn cve_2025_54576_an_expression_never_sees_the_query() {
    assert_eq!(
        fate("/reports/jan.csv?x=1"),
        sent("~/reports/[a-z]+\\.csv", "/base/reports/jan.csv?x=1")
    );
    assert_eq!(
        fate("/x?/reports/jan.csv"),
        sent("/", "/base/x?/reports/jan.csv")
    );
    assert_eq!(
        fate("/reports/jan.csv%3f"),
        Fate::Refused(PathRefused::OtherRoute)
    );
    assert_eq!(
        fate("/admin/x?../../public/"),
        sent("/admin/", "/base/x?../../public/")
    );
}

#[test]
fn cve_2026_40575_and_34457_no_unnamed_header_chooses_the_route() {
    let mut headers = HeaderMap::new();
    for name in [
        "x-forwarded-uri",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-prefix",
    ] {
        headers.insert(name, HeaderValue::from_static("/public/x"));
    }
    headers.insert(
        "x-forwarded-host",
        HeaderValue::from_static("internal.example"),
    );
    headers.insert("x-http-method-override", HeaderValue::from_static("POST"));
    headers.insert("user-agent", HeaderValue::from_static("GoogleHC/1.0"));
    assert_eq!(fate_with(None, "/admin/x", &headers), fate("/admin/x"));
}

#[test]
fn cve_2023_29406_odd_host_values_are_refused() {
    for host in [
        "a,b",
        "a b",
        "a\tb",
        "a@b",
        "a/../b",
        "a?b",
        "a#b",
        "a\\b",
        "a\r\nx: y",
        "",
        "a:",
        "a:x",
    ] {
        assert!(Authority::parse(host.as_bytes()).is_err(), "{host:?}");
    }
}

#[test]
fn cve_2022_24825_every_spelling_of_a_host_has_the_same_route() {
    let headers = HeaderMap::new();
    for host in [
        "internal.example",
        "INTERNAL.example",
        "internal.example.",
        "Internal.Example.:80",
    ] {
        let authority = Authority::parse(host.as_bytes()).unwrap();
        let found = fate_with(Some(authority.host()), "/x", &headers);
        assert_eq!(found, sent("internal.example", "/base/x"), "{host}");
    }
    for host in ["[::1]", "[0:0::1]:8080", "[0000::0001]"] {
        let authority = Authority::parse(host.as_bytes()).unwrap();
        assert_eq!(
            fate_with(Some(authority.host()), "/x", &headers),
            sent("[::1]", "/base/x"),
            "{host}"
        );
    }
    assert!(Authority::parse(b"[internal.example]").is_err());
}
