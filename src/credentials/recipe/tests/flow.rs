//! Which steps run, when, how often, and what is made of their failures.

use super::*;
use crate::{
    clock,
    credentials::{FailureKind, Retry},
};

#[tokio::test]
async fn steps_that_do_not_wait_for_one_another_run_at_the_same_time() {
    // Nobody is answered before all three have come.
    let vendor = Vendor::meeting(3, |_| json(r#"{"t":"x"}"#)).await;
    let recipe = "
timeout: 3s
steps:
  - { name: a, request: { url: VENDOR/a }, capture: { t: { json: /t } } }
  - { name: b, request: { url: VENDOR/b }, capture: { t: { json: /t } } }
  - { name: c, request: { url: VENDOR/c }, capture: { t: { json: /t } } }
outputs: { token: '{{ a.t }}{{ b.t }}{{ c.t }}' }";
    let credential = vendor.obtain(recipe).await.unwrap();
    assert_eq!(part(&credential, "token"), "xxx");
}

#[tokio::test]
async fn what_waited_for_a_step_that_is_skipped_waits_for_nothing_else() {
    // `first` stands before what it waits for; both calls must come together.
    let vendor = Vendor::meeting(2, |_| json(r#"{"t":"x"}"#)).await;
    let recipe = "
timeout: 3s
vars: { no: 'false' }
steps:
  - { name: first, request: { url: VENDOR/first }, after: never, capture: { t: { json: /t } } }
  - { name: other, request: { url: VENDOR/other }, capture: { t: { json: /t } } }
  - { name: never, request: { url: VENDOR/never }, when: '{{ no }}' }
outputs: { token: '{{ first.t }}{{ other.t }}' }";
    let credential = vendor.obtain(recipe).await.unwrap();
    assert_eq!(part(&credential, "token"), "xx");
}

#[tokio::test]
async fn a_step_waits_for_those_whose_values_it_uses_and_for_those_that_it_names() {
    let vendor = Vendor::saying(r#"{"t":"x"}"#).await;
    // In the order of the file they would run the other way round.
    let recipe = "
steps:
  - { name: last, request: { url: VENDOR/last }, after: [middle], capture: { t: { json: /t } } }
  - { name: middle, request: { url: VENDOR/middle, query: { t: '{{ first.t }}' } } }
  - { name: first, request: { url: VENDOR/first }, capture: { t: { json: /t } } }
outputs: { token: '{{ last.t }}' }";
    vendor.obtain(recipe).await.unwrap();
    assert_eq!(vendor.paths(), ["/first", "/middle", "/last"]);
}

#[tokio::test]
async fn a_step_runs_only_where_its_condition_renders_to_true() {
    for (when, runs) in [
        ("'true'", true),
        ("\" true\\n\"", true),
        ("'True'", false),
        ("'1'", false),
        ("''", false),
        ("\"{{ flag == 'yes' }}\"", true),
        ("\"{{ flag != 'yes' }}\"", false),
        ("\"{{ 'true' if flag else 'false' }}\"", true),
        ("'{{ a.absent }}'", false),
        ("'{{ a.absent is defined }}'", false),
        ("'{{ a.t is defined }}'", true),
        ("'{{ not a.absent is defined }}'", true),
    ] {
        let vendor = Vendor::saying(r#"{"t":"x"}"#).await;
        let recipe = format!(
            "
vars: {{ flag: 'yes' }}
steps:
  - {{ name: a, request: {{ url: VENDOR/a }}, capture: {{ t: {{ json: /t }}, absent: {{ json: /absent, optional: true }} }} }}
  - {{ name: b, request: {{ url: VENDOR/b }}, when: {when}, after: a, capture: {{ t: {{ json: /t }} }} }}
outputs: {{ token: '{{{{ a.t }}}}', more: {{ value: '{{{{ b.t }}}}', optional: true }} }}"
        );
        let credential = vendor.obtain(&recipe).await.expect(when);
        assert_eq!(vendor.seen().len(), 1 + usize::from(runs), "{when}");
        assert_eq!(credential.part("more").is_some(), runs, "{when}");
    }
}

#[tokio::test]
async fn an_output_of_a_jwt_that_was_skipped_is_left_out_where_it_may_be() {
    let vendor = Vendor::saying("{}").await;
    let recipe = "
steps:
  - { name: proof, when: 'false', jwt: { alg: HS256, key: a-secret-of-thirty-two-characters, claims: { a: b } } }
  - { name: call, request: { url: VENDOR/ } }
outputs: { token: t, proof: { value: '{{ proof }}', optional: true } }";
    let credential = vendor.obtain(recipe).await.unwrap();
    assert!(credential.part("proof").is_none());
}

#[tokio::test]
async fn the_first_failure_ends_the_run() {
    let vendor = Vendor::start(|request| match request.path() {
        "/a" => answer("503 Busy", "Retry-After: 9\r\n", ""),
        _ => json("{}"),
    })
    .await;
    let recipe = "
steps:
  - { name: a, request: { url: VENDOR/a } }
  - { name: b, request: { url: VENDOR/b }, after: a }
outputs: { token: t }";
    let error = vendor.obtain(recipe).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Failing);
    assert_eq!(error.retry, Retry::Transient { after: Some(s(9)) });
    assert_eq!(
        error.detail,
        format!("step `a`: {}/a: answered 503", vendor.url)
    );
    assert_eq!(vendor.paths(), ["/a"]);
}

#[tokio::test]
async fn statuses_that_are_said_are_the_only_good_ones() {
    for (status, said, good) in [
        ("200 OK", "", true),
        ("201 Created", "", true),
        ("204 No Content", "", true),
        ("302 Found", "", false),
        ("200 OK", "status: 302,", false),
        ("302 Found", "status: [200, 302],", true),
        ("404 Not Found", "status: 404,", true),
        ("201 Created", "status: [200],", false),
    ] {
        let line = answer(status, "Location: /x\r\n", "{}");
        let vendor = Vendor::start(move |_| line.clone()).await;
        let recipe = format!(
            "{{ steps: [{{ name: s, {said} request: {{ url: VENDOR/ }} }}], outputs: {{ token: t }} }}"
        );
        let outcome = vendor.obtain(&recipe).await;
        assert_eq!(outcome.is_ok(), good, "{status} {said}: {outcome:?}");
        assert_eq!(vendor.seen().len(), 1, "{status}: nothing is followed");
    }
}

#[tokio::test]
async fn a_failure_that_a_new_run_may_mend_is_met_by_one_new_run() {
    let recipe = "
steps:
  - { name: code, request: { url: VENDOR/code }, capture: { code: { json: /code } } }
  - { name: token, request: { url: VENDOR/token, form: { code: '{{ code.code }}' } }, capture: { t: { json: /t } } }
outputs: { token: '{{ token.t }}' }
retry_from_start: [{ step: token, status: 400, contains: Invalid Code }]";
    let failing = |times: usize, status: &'static str, body: &'static str| {
        Vendor::start(move |request| match request.path() {
            "/code" => json(&format!(r#"{{"code":"c{}"}}"#, request.number)),
            _ if request.number < 2 * times => answer(status, "", body),
            _ => json(r#"{"t":"x"}"#),
        })
    };
    let once = failing(1, "400 Bad", "Invalid Code").await;
    once.obtain(recipe).await.unwrap();
    let bodies: Vec<String> = once.seen().iter().map(|it| it.body.clone()).collect();
    assert_eq!(bodies, ["", "code=c0", "", "code=c2"], "everything anew");

    let always = failing(9, "400 Bad", "Invalid Code").await;
    let error = always.obtain(recipe).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Rejected);
    assert_eq!(always.seen().len(), 4);

    for (status, body) in [("400 Bad", "Invalid client_id"), ("401 No", "Invalid Code")] {
        let other = failing(1, status, body).await;
        other.obtain(recipe).await.unwrap_err();
        assert_eq!(other.seen().len(), 2, "{status} {body}");
    }
}

#[tokio::test]
async fn a_new_run_starts_from_what_an_answer_lacks_too() {
    let recipe = "
steps:
  - { name: s, request: { url: VENDOR/ }, success: { json: /ok }, capture: { t: { json: /t } } }
outputs: { token: '{{ s.t }}' }
retry_from_start: [{ step: s }]";
    for first in [r#"{"ok":false}"#, r#"{"ok":true}"#] {
        let vendor = Vendor::start(move |request| match request.number {
            0 => json(first),
            _ => json(r#"{"ok":true,"t":"x"}"#),
        })
        .await;
        vendor.obtain(recipe).await.expect(first);
        assert_eq!(vendor.seen().len(), 2, "{first}");
    }
}

#[tokio::test]
async fn a_silent_vendor_is_left_after_the_time_that_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for recipe in [
        format!(
            "{{ timeout: 200ms, steps: [{{ name: s, request: {{ url: {url}/ }} }}], outputs: {{ token: t }} }}"
        ),
        format!(
            "{{ steps: [{{ name: s, request: {{ url: {url}/, timeout: 200ms }} }}], outputs: {{ token: t }} }}"
        ),
    ] {
        let began = clock::now();
        let error = built(&recipe).fetch(Fetch::FIRST).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Timeout);
        assert_eq!(error.detail, format!("step `s`: {url}/: no answer in time"));
        assert!(clock::now() - began < s(5));
    }
}

#[tokio::test]
async fn a_user_s_recipe_is_each_user_s_own() {
    let vendor = Vendor::start(|request| json(&format!(r#"{{"t":"of-{}"}}"#, request.body))).await;
    let source = vendor.recipe(
        "{ steps: [{ name: s, request: { url: VENDOR/, text: '{{ subject }}' }, capture: { t: { json: /t } } }], outputs: { token: '{{ s.t }}' } }",
    );
    assert!(source.per_subject());
    let jo = Subject::user("jo").unwrap();
    let credential = source.fetch(as_user(&jo)).await.unwrap();
    assert_eq!(part(&credential, "token"), "of-jo");
    let error = source.fetch(Fetch::FIRST).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Malformed);
    assert_eq!(vendor.seen().len(), 1, "nothing is sent for nobody");
}
