//! A vendor that means harm, and a file that holds anything: nothing panics, nothing grows without bound, and no value
//! changes what stands around it.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

use super::*;
use crate::{
    clock,
    config::{Decode, Decoder, yaml},
    credentials::{
        FailureKind,
        endpoint::{Answer, Landing},
        grants::tests::Loader,
        recipe::{
            Recipe, build,
            cookies::{self, Cookies},
            expiry::{self, ExpiryKind},
            extract::{Extract, Read},
            json::Parsed,
            keys::Config,
            step::{Request, Work},
            template::{Holds, Place, Scope, Template, Values},
        },
    },
    secret::Secret,
};

fn recipe(text: &str) -> Option<Recipe> {
    let mut decoder = Decoder::default();
    let node = yaml::parse(text, &mut decoder)?;
    let config = Config::decode(&node, &mut decoder)?;
    build::recipe(&config, &node, &mut Loader::default())
}

fn call(recipe: &Recipe) -> &Request {
    let mut calls = recipe.steps.iter().filter_map(|step| match &step.work {
        Work::Call(request) => Some(&**request),
        _ => None,
    });
    calls.next_back().unwrap()
}

/// The values of a run in which step `a` captured these as `v` and `w`.
fn captured(v: &str, w: &str) -> Values {
    let mut values = Values::default();
    let parts = [("v", v), ("w", w)].map(|(name, text)| (name.to_owned(), Secret::new(text)));
    values.parts.insert("a".into(), parts.into());
    values
}

fn scope() -> Scope {
    let holds = Holds::Parts(Some(vec!["v".into(), "w".into()]));
    Scope([("a".into(), holds), ("id".into(), Holds::Text)].into())
}

fn answered(headers: HeaderMap, body: &[u8]) -> Answer {
    let location = headers.get(LOCATION).and_then(|it| it.to_str().ok());
    Answer {
        status: http::StatusCode::OK,
        landing: location.and_then(Landing::of),
        headers,
        body: body.to_vec().into(),
        sent: clock::now(),
        wall: clock::unix_time(),
    }
}

/// Pieces of which something that looks like a template can be made.
fn template() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        " a.v ",
        "id",
        "a",
        "|",
        "upper",
        "base64",
        "is",
        "not",
        "defined",
        "if ",
        "else",
        "endif",
        "for x in ",
        "endfor",
        "set x = ",
        "filter ",
        "endfilter",
        "(",
        ")",
        "[",
        "]",
        "~",
        "==",
        "'",
        "\"",
        "\\",
        ".",
        ",",
        " ",
        "-",
        "é",
        "\0",
        "\n",
        "1",
        "raw",
        "endraw",
    ]);
    vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

const KINDS: [ExpiryKind; 7] = [
    ExpiryKind::Seconds,
    ExpiryKind::Millis,
    ExpiryKind::EpochSeconds,
    ExpiryKind::EpochMillis,
    ExpiryKind::Rfc3339,
    ExpiryKind::JwtExp,
    ExpiryKind::None,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_a_template_is_it_is_read_or_refused(
        source in prop_oneof![template(), any::<String>()],
        v in any::<String>(),
        place in select(vec![Place::Text, Place::Path, Place::Query]),
    ) {
        if let Ok(template) = Template::new(&source, place, &scope()) {
            let _ = (template.is_ready(&captured(&v, "w")), template.render(&captured(&v, "w")));
        }
    }

    #[test]
    fn whatever_an_end_is_it_is_a_life_or_an_error(
        kind in select(KINDS.to_vec()),
        text in prop_oneof![
            any::<String>(),
            any::<f64>().prop_map(|number| number.to_string()),
            any::<i128>().prop_map(|number| number.to_string()),
            "[0-9]{0,6}-?[0-9]{0,2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{0,3}(\\.[0-9]{0,12})?(Z|[+-][0-9]{2}:?[0-9]{0,3})?",
            "[A-Za-z0-9_-]{0,9}\\.[A-Za-z0-9_=-]{0,40}\\.[a-z]{0,3}",
        ],
        date in any::<Option<u64>>(),
        wall in any::<u64>(),
    ) {
        let life = expiry::life(kind, &text, date.map(Duration::from_secs), Duration::from_secs(wall));
        if let Ok(Some(life)) = life {
            prop_assert!(life > Duration::ZERO && life <= s(366 * 86_400));
        }
    }

    #[test]
    fn whatever_an_answer_is_it_is_searched(
        body in prop_oneof![vec(any::<u8>(), 0..200), "[\\[\\]{}:,\"a0e. \\\\-]{0,60}".prop_map(String::into_bytes)],
        pointer in "(/[a~01]{0,3}){0,4}",
        location in any::<Vec<u8>>(),
        cookie in any::<Vec<u8>>(),
    ) {
        if let Some(parsed) = Parsed::read(&body) {
            let _ = parsed.text(&pointer);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in [(LOCATION, location), (SET_COOKIE, cookie)] {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(name, value);
            }
        }
        let values = captured("h.e30.s", "w");
        let token = Template::new("{{ a.v }}", Place::Text, &scope()).unwrap();
        let answer = answered(headers, &body);
        for place in [
            Extract::Json(pointer.clone()),
            Extract::Location { parameter: "a".into(), to: None },
            Extract::Cookie("a".into()),
            Extract::Header(LOCATION),
            Extract::Jwt { token, pointer },
        ] {
            let _ = place.find(&Read::new(&answer), &values);
        }
    }

    #[test]
    fn whatever_cookies_are_set_one_line_goes_back_to_their_origin_alone(
        lines in vec(prop_oneof![any::<Vec<u8>>(), "[ -~\t]{0,60}".prop_map(String::into_bytes)], 0..6),
    ) {
        let mut set = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                set.append(SET_COOKIE, value);
            }
        }
        let mut cookies = Cookies::default();
        cookies.keep("https://a.example/", &set);
        let _ = cookies::find(&set, "a");
        let (mut own, mut other) = (HeaderMap::new(), HeaderMap::new());
        cookies.add("https://a.example/", &mut own);
        cookies.add("https://b.example/", &mut other);
        prop_assert!(other.is_empty());
        prop_assert!(own.len() <= 1 && own.keys().all(|name| name == COOKIE));
    }
}

fn is_fit(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

fn pairs(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

#[test]
fn no_captured_value_changes_host_path_headers_or_fields_of_a_request() {
    let request = |keys: &str| {
        recipe(&format!(
            "{{ steps: [{{ name: a, request: {{ url: 'https://x.example/a' }}, capture: {{ v: {{ json: /v }}, w: {{ json: /w }} }} }}, \
             {{ name: b, request: {{ url: 'https://x.example/p/{{{{ a.v }}}}-{{{{ a.w }}}}/q?v={{{{ a.v }}}}&w=1', query: {{ w: '{{{{ a.w }}}}' }}, {keys} }} }}], outputs: {{ t: t }} }}"
        ))
        .unwrap()
    };
    let form = request(
        "form: { v: '{{ a.v }}', f: x }, headers: { X-V: '{{ a.v }}' }, bearer: '{{ a.w }}'",
    );
    let body = request("json: { v: '{{ a.v }}', l: ['{{ a.w }}', 1] }");
    let nasty = prop_oneof![
        any::<String>(),
        "[./%\\\\?#&=;@:\r\n\t \"'{}0-9a-f]{0,12}",
        select(vec![
            "..", ".", "%2e", "%2E%2e", "", " ", "//", "\\", "{{ id }}"
        ])
        .prop_map(str::to_owned),
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(3000));
    runner
        .run(&(nasty.clone(), nasty), |(v, w)| {
            let values = captured(&v, &w);
            let headers = is_fit(&v) && is_fit(&w) && !w.is_empty();
            let path = !v.is_empty() && !w.is_empty();
            let made = call(&form).prepare(&values, &Cookies::default());
            prop_assert_eq!(made.is_ok(), headers && path, "{:?} {:?}", v, w);
            if let Ok(ready) = made {
                let mut names: Vec<&HeaderName> = ready.headers.keys().collect();
                names.sort_by_key(|name| name.as_str());
                let expected = ["accept", "authorization", "content-type", "x-v"];
                prop_assert_eq!(names, expected.iter().collect::<Vec<_>>());
                prop_assert_eq!(pairs(&ready.body.unwrap()), owned(&[("v", &v), ("f", "x")]));
            }
            let made = call(&body).prepare(&values, &Cookies::default());
            prop_assert_eq!(made.is_ok(), path);
            if let Ok(ready) = made {
                let mut url = reqwest::Url::parse("https://x.example/").unwrap();
                url.set_path(&ready.path);
                url.set_query(ready.query.as_ref().map(|query| query.as_str()));
                prop_assert_eq!(url.host_str(), Some("x.example"));
                prop_assert_eq!(url.path(), ready.path.as_str(), "nothing is normalised");
                let segments: Vec<&str> = url.path().split('/').collect();
                prop_assert_eq!((segments.len(), segments[1], segments[3]), (4, "p", "q"));
                let decoded = crate::percent::decode(segments[2].as_bytes());
                let decoded = decoded.unwrap_or_else(|| segments[2].as_bytes().to_vec());
                prop_assert_eq!(String::from_utf8(decoded).unwrap(), format!("{v}-{w}"));
                let query = pairs(url.query().unwrap());
                prop_assert_eq!(query, owned(&[("v", &v), ("w", "1"), ("w", &w)]));
                let sent: serde_json::Value = serde_json::from_str(&ready.body.unwrap()).unwrap();
                prop_assert_eq!(sent, json!({"v": v, "l": [w, 1]}));
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn whatever_stands_in_a_recipe_it_is_taken_or_refused() {
    let nasty = || {
        prop_oneof![
            any::<String>(),
            template(),
            "[/~01a]{0,6}",
            "[()\\[\\]a*+?{}|\\\\^$dws.]{0,12}",
            select(vec![
                "a",
                "b",
                "{{ a.t }}",
                "{{ id }}",
                "now",
                "/t",
                "(x)",
                ""
            ])
            .prop_map(str::to_owned),
        ]
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    runner
        .run(&(nasty(), nasty(), nasty(), nasty(), nasty(), nasty()), |(one, two, three, four, five, six)| {
            // As JSON, which YAML reads as well.
            let text = json!({
                "vars": { "id": one },
                "steps": [
                    { "name": "a", "request": { "url": format!("https://x.example/{two}"), "json": { &six: [&one, { "in": &two }] } },
                      "when": &three, "capture": { "t": [{ "json": &four }, { "regex": &five }] } },
                    { "name": two, "request": { "url": format!("https://{one}/"), "headers": { &three: &two } }, "after": six },
                    { "name": "c", "jwt": { "alg": "HS256", "key": "a-secret-of-thirty-two-characters", "claims": { "a": &one, "b": { "ago": &two } } } },
                ],
                "expires": { "from": three },
                "retry_from_start": [{ "step": four, "contains": five }],
                "outputs": { "t": one, six: "x" },
            });
            let _ = recipe(&text.to_string());
            Ok(())
        })
        .unwrap();
}

/// An answer, what it is called, and what is said of it.
async fn bomb(body: String, recipe: &str, expected: Option<&str>) {
    let length = body.len();
    let begins: String = body.chars().take(20).collect();
    let vendor = Vendor::saying(body).await;
    let began = clock::now();
    let outcome = vendor.obtain(recipe).await;
    let took = clock::now() - began;
    assert!(took < s(8), "{begins} of {length}: {took:?}");
    match (outcome, expected) {
        (Ok(credential), None) => assert_eq!(part(&credential, "t"), "x"),
        (Err(error), Some(why)) => {
            assert_eq!(error.kind, FailureKind::Malformed, "{begins}: {error}");
            assert!(error.detail.contains(why), "{begins}: {error}");
            assert!(error.detail.len() < 500, "{begins}: {}", error.detail.len());
        }
        (outcome, _) => panic!("{begins} of {length}: {outcome:?}"),
    }
}

#[tokio::test]
async fn bombs_are_answers_that_can_t_be_used() {
    const RECIPE: &str = "{ timeout: 8s, steps: [{ name: s, request: { url: VENDOR/ }, capture: { t: { json: /t } } }], outputs: { t: '{{ s.t }}' } }";
    let much = 1024 * 1024 - 64;
    let no = Some("no /t in the answer");
    let fill = |piece: &str, around: (&str, &str)| {
        format!(
            "{}{}{}",
            around.0,
            piece.repeat(much / piece.len()),
            around.1
        )
    };
    for (body, expected) in [
        ("[".repeat(much), no),
        (fill("{\"t\":", ("", "")), no),
        (fill("[],", (r#"{"a":["#, "[]]}")), no),
        (fill(r#"{"":0},"#, (r#"{"a":["#, r#"0],"t":"x"}"#)), None),
        (fill(r#""t":"y","#, ("{", r#""t":"x"}"#)), None),
        (fill("9", (r#"{"t":1"#, "}")), no),
        (r#"{"t":1e999999999}"#.into(), no),
        (
            fill(r#""x","#, (r#"{"t":["#, r#""x"]}"#)),
            Some("longer than 64 KiB"),
        ),
        (
            fill("x", (r#"{"t":""#, r#""}"#)),
            Some("longer than 64 KiB"),
        ),
        (fill(", ", (r#"{"t":"x""#, "}")), no),
        (
            fill("\\u0000", (r#"{"t":""#, r#""}"#)),
            Some("longer than 64 KiB"),
        ),
        (" ".repeat(much + 1000), Some("longer than 1 MiB")),
    ] {
        bomb(body, RECIPE, expected).await;
    }
    // An expression of which others would never see the end, and values that a template multiplies.
    let looping = RECIPE.replace("json: /t", "regex: '((a*)*b)'");
    bomb("a".repeat(much), &looping, Some("regular expression")).await;
    let multiplied = RECIPE.replace(
        "'{{ s.t }}'",
        "'{% for a in s.t %}{% for b in s.t %}{{ s.t }}{% endfor %}{% endfor %}'",
    );
    let value = format!(r#"{{"t":"{}"}}"#, "x".repeat(60_000));
    bomb(value, &multiplied, Some("`outputs.t`")).await;
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let vendor =
        Vendor::start(|_| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Fill: x\r\n".repeat(2000))).await;
    let recipe = "{ steps: [{ name: s, request: { url: VENDOR/ } }], outputs: { t: t } }";
    let error = vendor.obtain(recipe).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Interrupted, "{error}");
}

#[tokio::test]
async fn a_redirect_that_is_expected_is_read_and_never_followed() {
    let evil = Vendor::saying(r#"{"t":"evil"}"#).await;
    let location = format!("Location: {}/?code=c\r\n", evil.url);
    let vendor = Vendor::start(move |_| answer("307 Temporary", &location, "")).await;
    let recipe = "{ steps: [{ name: s, status: 307, request: { url: VENDOR/, form: { secret: hush } }, capture: { t: { location_query: code } } }], outputs: { t: '{{ s.t }}' } }";
    let credential = vendor.obtain(recipe).await.unwrap();
    assert_eq!(part(&credential, "t"), "c");
    assert!(evil.seen().is_empty(), "not a byte");
}
