//! The logins of each vendor, as its preset knows them: no spelling leads there, and what they are answered with
//! is worth nothing elsewhere.

use std::collections::BTreeSet;

use crate::{
    presets::Key,
    support::{Answer, TestProxy, Upstream},
};

/// A preset, its parameters, and where its vendor hands out tokens.
struct Vendor {
    preset: &'static str,
    with: String,
    logins: &'static [&'static str],
}

fn vendors(key: &Key) -> Vec<Vendor> {
    let bot = format!(
        "pod_url: VENDOR, username: robot, key: {{ file: {} }}",
        key.file.path()
    );
    let client = "url: VENDOR, client_id: etl, client_secret: { env: SECRET }";
    let with = [
        ("symphony", bot.clone(), SYMPHONY),
        ("symphony_oauth", bot, SYMPHONY),
        (
            "symbl",
            "url: VENDOR, app_id: app, app_secret: { env: SECRET }".into(),
            SYMBL,
        ),
        ("iceberg", client.into(), ICEBERG),
        (
            "iceberg",
            format!("{client}, token_url: 'http://127.0.0.1:9/token'"),
            ICEBERG,
        ),
    ];
    with.map(|(preset, with, logins)| Vendor {
        preset,
        with,
        logins,
    })
    .into()
}

/// `main` at the vendor for the callers `batch` and `web`, and another credential of the same kind at `/other/`.
fn start(vendor: &Vendor, at: &Upstream, emulate: bool) -> TestProxy {
    let url = format!("http://{}", at.address());
    let with = vendor.with.replace("VENDOR", &url);
    let credential = format!("preset: {}, with: {{ {with} }}", vendor.preset);
    TestProxy::start(&format!(
        "callers:\n  batch: {{ api_key: {{ header: X-Caller, key: batch-key }} }}\n  \
         web: {{ api_key: {{ header: X-Caller, key: web-key }} }}\n\
         credentials:\n  main: {{ {credential} }}\n  other: {{ {credential} }}\n\
         routes:\n  - {{ match: /, upstream: '{url}/', credential: main, emulate: {emulate} }}\n  \
         - {{ match: /other/, upstream: '{url}/x/', credential: other, emulate: {emulate} }}\n  \
         - {{ match: /open/, upstream: '{url}/open/' }}\n  \
         - {{ match: {{ host: api.example.com, path: / }}, upstream: '{url}/', credential: main, emulate: {emulate} }}\n"
    ))
}

fn ask(proxy: &TestProxy, caller: &str, line: &str, field: &str) -> Answer {
    proxy.send(format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nX-Caller: {caller}-key\r\n{field}\r\nContent-Length: 2\r\n\r\n{{}}"
    ))
}

#[test]
fn no_spelling_of_a_vendor_s_login_reaches_it() {
    let key = Key::new();
    for vendor in vendors(&key) {
        let at = Upstream::ok();
        for emulate in [false, true] {
            let proxy = start(&vendor, &at, emulate);
            for target in vendor.logins.iter().flat_map(|login| spellings(login)) {
                let answer = ask(&proxy, "batch", &format!("POST {target}"), "X-A: b");
                let what = format!("{} {target}: {answer:?}", vendor.preset);
                match answer.status() {
                    200 => assert!(emulate, "{what}"),
                    403 => assert_eq!(answer.code(), "token_endpoint_denied", "{what}"),
                    _ => assert_eq!(answer.status(), 400, "{what}"),
                }
                assert_eq!(at.count(), 0, "{what}");
            }
        }
    }
}

#[test]
fn what_a_vendor_s_login_is_answered_with_is_worth_nothing_elsewhere() {
    let key = Key::new();
    for vendor in vendors(&key) {
        let at = Upstream::ok();
        let proxy = start(&vendor, &at, true);
        let answers = vendor
            .logins
            .iter()
            .map(|login| ask(&proxy, "batch", &format!("POST {login}"), "X-A: b"))
            .filter(|answer| answer.status() == 200);
        let placeholders: BTreeSet<String> = answers
            .filter_map(|answer| placeholder(&answer.text()))
            .collect();
        assert!(!placeholders.is_empty(), "{}", vendor.preset);
        for good in placeholders {
            let (signed, signature) = good.rsplit_once('.').unwrap();
            let other = if signature.starts_with('A') { "B" } else { "A" };
            let altered = format!("{signed}.{other}{}", &signature[1..]);
            for (caller, target, token, status) in [
                ("web", "/pod/x", &good, 403),
                ("web", "/agent/x", &good, 403),
                ("batch", "/other/x", &good, 403),
                ("batch", "/other/agent/x", &good, 403),
                ("batch", "/open/x", &good, 403),
                ("batch", "/pod/x", &format!("{good}x"), 401),
                ("batch", "/agent/x", &altered, 401),
            ] {
                let in_query = format!("GET {target}?access_token={token}");
                let line = format!("GET {target}");
                let asked = [
                    (&in_query, "X-A: b".to_owned()),
                    (&line, format!("Authorization: Bearer {token}")),
                    (&line, format!("sessionToken: {token}")),
                    (&line, format!("keyManagerToken: {token}")),
                    (&line, format!("x-api-key: {token}")),
                ];
                for (line, field) in asked {
                    let answer = ask(&proxy, caller, line, &field);
                    let what = format!("{} {caller} {line} {field}", vendor.preset);
                    assert_eq!(answer.status(), status, "{what}: {answer:?}");
                    assert_eq!(at.count(), 0, "{what}");
                }
            }
        }
    }
}

/// A path in all the ways that some server takes for it.
fn spellings(path: &str) -> Vec<String> {
    let (parent, last) = path.rsplit_once('/').unwrap();
    let below = &path[1..];
    let (first, rest) = last.split_at(1);
    let digits = format!("{:02x}", first.as_bytes()[0]);
    let mut all = vec![
        path.to_uppercase(),
        path.replace(':', "%3a"),
        path.replace('/', "//"),
        format!("{parent}/%{digits}{rest}"),
        format!("{parent}/%25{digits}{rest}"),
        format!("{parent}/./{last}"),
        format!("{parent}/%2e/{last}"),
        format!("{parent}/x/../{last}"),
        format!("{parent}/x/%2e%2e/{last}"),
        format!("{parent};a=b/{last};c"),
    ];
    all.extend(["%2f", "%2F", "%5c", "\\", "%252f"].map(|slash| {
        let spelled = below.replace('/', slash);
        format!("/{spelled}")
    }));
    all.extend(
        [
            "", "/", "//", "/.", ";", ";x=y", "%3bx", ".", ".json", "%20", "%3fx", "%23x",
        ]
        .map(|end| format!("{path}{end}")),
    );
    all.extend(
        ["?", "?scope=sym-files", "?x=/../..", "?/pod/v1/x"].map(|query| format!("{path}{query}")),
    );
    // The preset's families have routes of their own; a gateway may have a context.
    all.extend(
        [
            "/",
            "/agent/..",
            "/files/%2e%2e",
            "/agent/..;",
            "/context",
            "/agent/%2f",
        ]
        .map(|before| format!("{before}{path}")),
    );
    // What a client sends that takes us for its proxy.
    let servers = [
        "http://localhost",
        "HTTP://LOCALHOST",
        "http://API.example.com:80",
    ];
    all.extend(servers.map(|server| format!("{server}{path}")));
    all.push(format!(
        "http://api.example.com/{}",
        path.replace('/', "%2f")
    ));
    all
}

/// The first one in an answer.
fn placeholder(text: &str) -> Option<String> {
    let from = text.find("eyJ")?;
    let rest = &text[from..];
    Some(rest[..rest.find('"')?].to_owned())
}

const SYMPHONY: &[&str] = &[
    "/login/pubkey/authenticate",
    "/relay/pubkey/authenticate",
    "/sessionauth/v1/authenticate",
    "/keyauth/v1/authenticate",
    "/login/pubkey/app/authenticate",
    "/login/pubkey/app/username/alice/authenticate",
    "/login/pubkey/app/user/77/authenticate",
    "/sessionauth/v1/app/authenticate",
    "/sessionauth/v1/app/username/alice/authenticate",
    "/sessionauth/v1/app/user/77/authenticate",
    "/login/v1/pubkey/app/authenticate/extensionApp",
    "/sessionauth/v1/authenticate/extensionApp",
    "/login/idm/tokens",
    "/sessionauth/v1/logout",
];
const SYMBL: &[&str] = &[
    "/oauth2/token:generate",
    "/oauth2/token:refresh",
    "/oauth2/token:revoke",
];
const ICEBERG: &[&str] = &[
    "/v1/oauth/tokens",
    "/api/catalog/v1/oauth/tokens",
    "/api/management/v1/principals/etl/rotate",
    "/api/management/v1/principals/etl/reset",
];
