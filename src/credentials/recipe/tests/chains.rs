//! Recipes that build on other credentials: who is renewed when a call is refused.

use super::*;
use crate::credentials::{
    CacheSettings, CredentialHandle, FailureKind, Retry,
    tests::fake::{Fake, Step, cache},
};

/// The slot of `source`, and the hold of another one on it.
fn linked(name: &str, source: &Arc<dyn Source>) -> (Linked, CredentialHandle) {
    let handle = cache().handle(name, Arc::clone(source), CacheSettings::default());
    let link = Linked::new(name, &**source);
    link.connect(handle.clone());
    (link, handle)
}

fn tokens() -> (Arc<Fake>, Linked, CredentialHandle) {
    let fake = Fake::new(Duration::ZERO, |n| Step::Token(format!("t{n}"), s(3600)));
    let (link, handle) = linked("base", &(Arc::clone(&fake) as Arc<dyn Source>));
    (fake, link, handle)
}

const ON_BASE: &str = "
use: { base: { credential: base } }
steps:
  - { name: s, request: { url: VENDOR/s, bearer: '{{ base.access_token }}' }, capture: { t: { json: /t } } }
outputs: { token: '{{ s.t }}' }";

#[tokio::test]
async fn a_401_to_a_call_that_sent_a_link_renews_it_once() {
    for (refusals, calls, good) in [(0, 1, true), (1, 2, true), (9, 2, false)] {
        let vendor = Vendor::start(move |request| match request.number < refusals {
            true => answer("401 Unauthorized", "", ""),
            false => json(&format!(
                r#"{{"t":"of-{}"}}"#,
                &request.header("authorization").unwrap()[7..]
            )),
        })
        .await;
        let (fake, link, _handle) = tokens();
        let source = built_on(&[link], &ON_BASE.replace("VENDOR", &vendor.url));
        let outcome = source.fetch(Fetch::FIRST).await;
        assert_eq!(fake.calls(), calls, "{refusals}");
        assert_eq!(vendor.seen().len(), calls, "{refusals}");
        match outcome {
            Ok(credential) => assert_eq!(part(&credential, "token"), format!("of-t{calls}")),
            Err(error) => {
                assert!(!good, "{error}");
                assert_eq!(error.kind, FailureKind::Rejected);
            }
        }
    }
}

#[tokio::test]
async fn a_401_to_a_call_that_sent_no_link_renews_none() {
    let vendor = Vendor::start(|request| match request.path() {
        "/s" => json(r#"{"t":"x"}"#),
        _ => answer("401 Unauthorized", "", ""),
    })
    .await;
    let (fake, link, _handle) = tokens();
    let recipe = "
use: { base: { credential: base } }
steps:
  - { name: s, request: { url: VENDOR/s, bearer: '{{ base.access_token }}' }, capture: { t: { json: /t } } }
  - { name: u, request: { url: VENDOR/u, bearer: '{{ s.t }}' } }
outputs: { token: '{{ s.t }}' }";
    let source = built_on(&[link], &recipe.replace("VENDOR", &vendor.url));
    let error = source.fetch(Fetch::FIRST).await.unwrap_err();
    assert!(error.detail.starts_with("step `u`: "), "{error}");
    assert_eq!((fake.calls(), vendor.seen().len()), (1, 2));
}

#[tokio::test]
async fn of_a_chain_the_last_link_is_renewed_first_and_the_first_only_where_that_does_not_help() {
    // `base`, a session that is bought with it, and a token that is bought with the session.
    for (session_dies, base_dies) in [(false, false), (true, false), (true, true)] {
        let vendor = Vendor::start(move |request| {
            let shown = request.header("authorization").unwrap_or_default();
            let old = |dies: bool| {
                dies && (shown.ends_with("session0") || shown.ends_with("t1") && request.number > 0)
            };
            match request.path() {
                "/session" if old(base_dies) => answer("401 Unauthorized", "", ""),
                "/session" => json(&format!(r#"{{"t":"session{}"}}"#, request.number)),
                _ if session_dies && shown.ends_with("session0") => {
                    answer("401 Unauthorized", "", "")
                }
                _ => json(r#"{"t":"end"}"#),
            }
        })
        .await;
        let (fake, base, _base) = tokens();
        let session = "
use: { base: { credential: base } }
steps: [{ name: s, request: { url: VENDOR/session, bearer: '{{ base.access_token }}' }, capture: { t: { json: /t } } }]
outputs: { token: '{{ s.t }}' }";
        let session = built_on(&[base], &session.replace("VENDOR", &vendor.url));
        let (link, _session) = linked("session", &session);
        let end = "
use: { session: { credential: session } }
steps: [{ name: s, request: { url: VENDOR/end, bearer: '{{ session.token }}' }, capture: { t: { json: /t } } }]
outputs: { token: '{{ s.t }}' }";
        let end = built_on(&[link], &end.replace("VENDOR", &vendor.url));
        end.fetch(Fetch::FIRST).await.unwrap();
        let paths = vendor.paths();
        let expected: &[&str] = match (session_dies, base_dies) {
            (false, _) => &["/session", "/end"],
            (true, false) => &["/session", "/end", "/session", "/end"],
            (true, true) => &["/session", "/end", "/session", "/session", "/end"],
        };
        assert_eq!(paths, expected);
        assert_eq!(
            fake.calls(),
            1 + usize::from(base_dies),
            "{session_dies} {base_dies}"
        );
    }
}

#[tokio::test]
async fn a_recipe_that_only_joins_ends_with_the_first_of_its_links_and_renews_all_of_them() {
    let short = Fake::known_as("short", Duration::ZERO, |n| {
        Step::Token(format!("s{n}"), s(60))
    });
    let long = Fake::known_as("long", Duration::ZERO, |n| {
        Step::Token(format!("l{n}"), s(3600))
    });
    let (one, _one) = linked("short", &(Arc::clone(&short) as Arc<dyn Source>));
    let (two, _two) = linked("long", &(Arc::clone(&long) as Arc<dyn Source>));
    let source = built_on(
        &[one, two],
        "{ use: { a: { credential: short }, b: { credential: long } }, outputs: { a: '{{ a.access_token }}', b: '{{ b.access_token }}' } }",
    );
    let first = source.fetch(Fetch::FIRST).await.unwrap();
    assert_eq!(
        (part(&first, "a"), part(&first, "b")),
        ("s1".into(), "l1".into())
    );
    assert!(first.life.unwrap() <= s(60));
    let ask = Fetch {
        previous: Some(&first),
        refused: true,
        ..Fetch::FIRST
    };
    let second = source.fetch(ask).await.unwrap();
    assert_eq!(
        (part(&second, "a"), part(&second, "b")),
        ("s2".into(), "l2".into())
    );
}

#[tokio::test]
async fn a_link_that_is_not_wanted_is_not_leased() {
    let (fake, link, _handle) = tokens();
    let source = built_on(
        &[link],
        "{ vars: { no: 'false' }, use: { base: { credential: base, when: '{{ no }}' } }, outputs: { a: x, b: { value: '{{ base.access_token }}', optional: true } } }",
    );
    let credential = source.fetch(Fetch::FIRST).await.unwrap();
    assert!(credential.part("b").is_none());
    assert_eq!(fake.calls(), 0);
}

#[tokio::test]
async fn a_link_that_can_t_be_had_is_named() {
    let fake = Fake::new(Duration::ZERO, |_| {
        Step::Fail(FailureKind::Unreachable, Retry::Permanent)
    });
    let (link, _handle) = linked("base", &(Arc::clone(&fake) as Arc<dyn Source>));
    let source = built_on(&[link], &ON_BASE.replace("VENDOR", "https://x.example"));
    let error = source.fetch(Fetch::FIRST).await.unwrap_err();
    assert_eq!(error.detail, "step `base`: credential base: no");
}
