use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::callers::Identity;

const X_USER: HeaderName = HeaderName::from_static("x-user");

fn portal(may_name_users: bool) -> Caller {
    Caller::Known(Arc::new(Identity {
        may_name_users,
        ..Identity::named("portal")
    }))
}

fn ada() -> Caller {
    Caller::Known(Arc::new(Identity {
        subject: Some("ada".into()),
        claims: vec![("uid".into(), "4711".into()), ("none".into(), "".into())],
        ..Identity::named("people")
    }))
}

fn headers(values: &[&str]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for value in values {
        map.append(X_USER, value.parse().unwrap());
    }
    map
}

#[track_caller]
fn subject(from: &SubjectFrom, caller: &Caller, headers: &HeaderMap) -> Subject {
    match whose(from, caller, headers) {
        Ok(Whose::Known(subject)) => subject,
        Ok(Whose::Later(_)) => panic!("nothing to wait for"),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn code(from: &SubjectFrom, caller: &Caller, headers: &HeaderMap) -> (&'static str, u16) {
    let Err(error) = whose(from, caller, headers) else {
        panic!("it was accepted");
    };
    let look = error.appearance();
    (look.code, look.status.as_u16())
}

fn user(name: &str) -> Subject {
    Subject::user(name).unwrap()
}

#[test]
fn a_caller_stands_for_its_tokens_subject_else_for_itself() {
    let none = HeaderMap::new();
    assert_eq!(subject(&SubjectFrom::Caller, &ada(), &none), user("ada"));
    assert_eq!(
        subject(&SubjectFrom::Caller, &portal(false), &none),
        user("portal")
    );
    let anonymous = code(&SubjectFrom::Caller, &Caller::Anonymous, &none);
    assert_eq!(anonymous, ("caller_denied", 403));
}

#[test]
fn a_claim_names_the_user_or_nobody_does() {
    let none = HeaderMap::new();
    let claim = |name: &str| SubjectFrom::Claim(name.into());
    assert_eq!(subject(&claim("uid"), &ada(), &none), user("4711"));
    assert_eq!(code(&claim("other"), &ada(), &none), ("caller_denied", 403));
    assert_eq!(
        code(&claim("uid"), &portal(true), &none),
        ("caller_denied", 403)
    );
    assert_eq!(
        code(&claim("none"), &ada(), &none),
        ("request_invalid", 400)
    );
}

#[test]
fn only_who_may_name_users_names_them() {
    let from = SubjectFrom::Header(X_USER);
    let one = headers(&["bob"]);
    assert_eq!(subject(&from, &portal(true), &one), user("bob"));
    for caller in [portal(false), ada(), Caller::Anonymous] {
        assert_eq!(code(&from, &caller, &one), ("caller_denied", 403));
    }
    for bad in [
        &[][..],
        &[""],
        &[" "],
        &["bob", "bob"],
        &["bob", "eve"],
        &["a\tb"],
    ] {
        let refused = code(&from, &portal(true), &headers(bad));
        assert_eq!(refused, ("request_invalid", 400), "{bad:?}");
    }
    let long = "x".repeat(2000);
    let refused = code(&from, &portal(true), &headers(&[&long]));
    assert_eq!(refused, ("request_invalid", 400));
}

fn tokens(danger_unverified: bool) -> SubjectFrom {
    SubjectFrom::Tokens {
        from: TokensFrom {
            subject: X_USER,
            actor: None,
            danger_unverified,
        },
        jwts: Arc::default(),
    }
}

fn unsigned(exp: u64) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.x", part("{}"), part(&format!(r#"{{"exp":{exp}}}"#)))
}

#[test]
fn a_subject_token_that_nobody_verifies_is_refused() {
    let exp = clock::unix_time().as_secs() + 600;
    for token in ["opaque", &unsigned(exp)] {
        let refused = code(&tokens(false), &portal(true), &headers(&[token]));
        assert_eq!(refused, ("caller_unknown", 401));
    }
}

#[test]
fn a_danger_that_was_allowed_still_ends_with_the_token() {
    let nobody = Caller::Anonymous;
    let from = tokens(true);
    let now = clock::unix_time().as_secs();
    assert_eq!(
        subject(&from, &nobody, &headers(&["opaque"])).expires(),
        None
    );
    let ends = subject(&from, &nobody, &headers(&[&unsigned(now + 600)])).expires();
    let left = ends.unwrap().saturating_duration_since(clock::now());
    assert!((598..=600).contains(&left.as_secs()), "{left:?}");
    let dead = code(&from, &nobody, &headers(&[&unsigned(now - 1)]));
    assert_eq!(dead, ("caller_unknown", 401));
    let same = subject(&from, &nobody, &headers(&["Bearer opaque"]));
    assert_eq!(same, subject(&from, &nobody, &headers(&["opaque"])));
    assert_eq!(
        code(&from, &nobody, &headers(&[])),
        ("request_invalid", 400)
    );
    assert_eq!(
        code(&from, &nobody, &headers(&["Bearer "])),
        ("request_invalid", 400)
    );
}
