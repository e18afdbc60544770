use http::header::PROXY_AUTHORIZATION;

use super::*;
use crate::secret::Secret;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn key(name: &str, header: HeaderName, key: &str) -> ApiKey {
    ApiKey {
        name: name.into(),
        header,
        hash: KeyHash::of(&Secret::new(key)),
        may_name_users: false,
    }
}

fn callers() -> Callers {
    Callers::new(
        vec![
            key("batch", X_API_KEY, "batch-key"),
            key("web", X_API_KEY, "web-key"),
            key("legacy", PROXY_AUTHORIZATION, "legacy-key"),
        ],
        Vec::new(),
    )
}

fn who(headers: &[(HeaderName, &str)]) -> Result<Caller, CallerUnknown> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value.parse().unwrap());
    }
    told(&callers(), &map)
}

fn named(name: &str) -> Result<Caller, CallerUnknown> {
    Ok(Caller::Known(Arc::new(Identity::named(name))))
}

fn told(callers: &Callers, headers: &HeaderMap) -> Result<Caller, CallerUnknown> {
    match callers.authenticate(headers, Shown::default()) {
        Verdict::Known(caller) => Ok(caller),
        Verdict::Unknown(why) => Err(why),
        Verdict::Later(_) => panic!("no key is fetched here"),
    }
}

const UNKNOWN: CallerUnknown = CallerUnknown::Absent { bearer: false };

#[test]
fn without_callers_everybody_is_anonymous() {
    let nobody = Callers::default();
    assert_eq!(told(&nobody, &HeaderMap::new()), Ok(Caller::Anonymous));
    assert_eq!(nobody.header_names().count(), 0);
}

#[test]
fn a_key_names_its_caller() {
    assert_eq!(who(&[(X_API_KEY, "batch-key")]), named("batch"));
    assert_eq!(who(&[(X_API_KEY, "web-key")]), named("web"));
}

#[test]
fn no_key_a_wrong_key_and_an_empty_key_are_unknown() {
    assert_eq!(who(&[]), Err(UNKNOWN));
    assert_eq!(who(&[(X_API_KEY, "other")]), Err(UNKNOWN));
    assert_eq!(who(&[(X_API_KEY, "")]), Err(UNKNOWN));
}

#[test]
fn a_key_in_another_callers_header_is_unknown() {
    assert_eq!(who(&[(X_API_KEY, "legacy-key")]), Err(UNKNOWN));
}

#[test]
fn a_header_that_comes_twice_is_refused_even_with_a_right_key() {
    assert_eq!(
        who(&[(X_API_KEY, "web-key"), (X_API_KEY, "web-key")]),
        Err(UNKNOWN)
    );
    assert_eq!(
        who(&[(X_API_KEY, "web-key"), (X_API_KEY, "x")]),
        Err(UNKNOWN)
    );
}

#[test]
fn two_callers_in_one_request_are_refused() {
    let both = [
        (X_API_KEY, "web-key"),
        (PROXY_AUTHORIZATION, "Bearer legacy-key"),
    ];
    assert_eq!(who(&both), Err(UNKNOWN));
}

#[test]
fn proxy_authorization_takes_bearer_and_the_password_of_basic() {
    assert_eq!(
        who(&[(PROXY_AUTHORIZATION, "Bearer legacy-key")]),
        named("legacy")
    );
    // anything:legacy-key
    let basic = "basic YW55dGhpbmc6bGVnYWN5LWtleQ==";
    assert_eq!(who(&[(PROXY_AUTHORIZATION, basic)]), named("legacy"));
    for bad in [
        "legacy-key",
        "Basic ????",
        "Basic bGVnYWN5LWtleQ==",
        "Digest legacy-key",
    ] {
        assert_eq!(who(&[(PROXY_AUTHORIZATION, bad)]), Err(UNKNOWN), "{bad}");
    }
}

#[test]
fn each_header_is_listed_once() {
    let callers = callers();
    let names: Vec<_> = callers.header_names().collect();
    assert_eq!(names, [&X_API_KEY, &PROXY_AUTHORIZATION]);
}

#[test]
fn hashes_are_read_from_text_and_never_shown() {
    // printf abc | sha256sum
    let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let hash = KeyHash::parse(text).unwrap();
    let callers = Callers::new(
        vec![ApiKey {
            name: "c".into(),
            header: X_API_KEY,
            hash,
            may_name_users: false,
        }],
        Vec::new(),
    );
    let headers = [(X_API_KEY, "abc".parse().unwrap())].into_iter().collect();
    assert_eq!(told(&callers, &headers), named("c"));
    assert!(!format!("{callers:?}").contains("ba7816"));
    for bad in [
        "abc",
        "sha256:",
        "sha256:zz",
        &text[7..],
        &format!("{text}0"),
    ] {
        assert_eq!(KeyHash::parse(bad).unwrap_err(), KeyHashError, "{bad}");
    }
}
