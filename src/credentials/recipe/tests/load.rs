//! What is refused when the file is loaded, so that no run has to find it out.

use http::HeaderName;

use super::*;
use crate::credentials::{BoxFuture, Fingerprint, FingerprintBuilder, TokensFrom};

/// A recipe of one call with this template in its text body.
fn with(template: &str) -> String {
    format!(
        "
vars: {{ id: abc }}
steps:
  - {{ name: a, request: {{ url: 'https://x.example/' }}, capture: {{ t: {{ json: /t }} }} }}
  - {{ name: b, request: {{ url: 'https://x.example/', text: \"{template}\" }} }}
outputs: {{ token: '{{{{ a.t }}}}' }}"
    )
}

#[test]
fn a_filter_or_test_that_is_not_there_is_refused_wherever_it_stands() {
    for template in [
        "{{ id | urlencode }}",
        "{{ id|upper|first }}",
        "{{ 'x' if id == 'y' else id | nothing }}",
        "{% if id == 'y' %}{{ id | nothing }}{% endif %}",
        "{%- filter title -%}x{% endfilter %}",
        "{{ id is string }}",
        "{{ id is not string }}",
    ] {
        let why = refused(&with(template));
        assert!(
            why.contains("filter or test that is not there"),
            "{template}: {why}"
        );
    }
    for template in [
        "{{ id | upper | lower }}",
        "{{ ' | nothing' ~ id }}",
        "{{ ' it\\\\'s | nothing' ~ id | trim }}",
        "{{ a.t is defined }} is | nothing",
        "{{ a.t is not defined }}",
        "{% filter upper %}{{ id }}{% endfilter %}",
        "{% set x = id %}{{ x }}",
        "{% for c in id %}{{ c }}{% endfor %}",
    ] {
        built(&with(template));
    }
}

#[test]
fn what_no_text_can_be_worked_out_to_is_refused() {
    for template in [
        "{{ now + 300 }}",
        "{{ a }}",
        "{{ [id] }}",
        "{{ id | upper(1) }}",
        "{{ none }}",
        "{{ -id }}",
    ] {
        let why = refused(&with(template));
        assert!(why.contains("can't be worked out"), "{template}: {why}");
    }
}

#[test]
fn a_name_that_is_not_there_is_refused() {
    for template in [
        "{{ c }}",
        "{{ a.u }}",
        "{{ a.t.x }}",
        "{{ id.x }}",
        "{{ range(3) }}",
        "{{ id.strip() }}",
        "{{ b.x }}",
    ] {
        let why = refused(&with(template));
        assert!(
            why.contains("names something that is not there"),
            "{template}: {why}"
        );
    }
}

#[test]
fn a_circle_is_named_from_step_to_step() {
    let step = |name: &str, after: &str| {
        format!("{{ name: {name}, request: {{ url: 'https://x.example/' }}, after: {after} }}")
    };
    let of = |steps: &[String]| {
        refused(&format!(
            "{{ steps: [{}], outputs: {{ t: t }} }}",
            steps.join(", ")
        ))
    };
    assert_eq!(
        of(&[
            step("x", "a"),
            step("a", "b"),
            step("b", "c"),
            step("c", "[a]")
        ]),
        "`a` waits for `b` waits for `c` waits for `a`: a circle"
    );
    assert_eq!(of(&[step("a", "a")]), "`a` waits for `a`: a circle");
}

/// A credential that is told by tokens of a request, by a user's name, or by nothing.
#[derive(Debug)]
struct Other(Option<TokensFrom>, bool);

impl Source for Other {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("other").finish()
    }

    fn per_subject(&self) -> bool {
        self.1
    }

    fn tokens_from(&self) -> Option<&TokensFrom> {
        self.0.as_ref()
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        unreachable!("nothing is fetched")
    }
}

fn exchanged(header: &'static str) -> Other {
    let tokens = TokensFrom {
        subject: HeaderName::from_static(header),
        actor: None,
        danger_unverified: false,
    };
    Other(Some(tokens), true)
}

#[test]
fn a_recipe_is_for_the_user_of_a_name_or_of_a_token_and_never_for_both() {
    let shared = || Other(None, false);
    let named = || Other(None, true);
    for (one, other, output, good) in [
        (exchanged("x-token"), shared(), "{{ id }}", true),
        (exchanged("x-token"), exchanged("x-token"), "{{ id }}", true),
        (named(), shared(), "{{ subject }}", true),
        (exchanged("x-token"), shared(), "{{ subject }}", false),
        (
            exchanged("x-token"),
            exchanged("x-other"),
            "{{ id }}",
            false,
        ),
        (named(), exchanged("x-token"), "{{ id }}", false),
    ] {
        let links = [Linked::new("one", &one), Linked::new("two", &other)];
        let recipe = format!(
            "{{ vars: {{ id: x }}, use: {{ a: {{ credential: one }}, b: {{ credential: two }} }}, \
             outputs: {{ a: '{{{{ a.access_token }}}}', b: '{{{{ b.access_token }}}}', c: '{output}' }} }}"
        );
        let built = try_build(&links, &recipe);
        assert_eq!(built.is_ok(), good, "{one:?} {other:?} {output}");
        if let Err(why) = built {
            assert!(why.contains("is told by the token in `x-token`"), "{why}");
        }
    }
}

#[test]
fn a_subject_is_looked_for_in_every_step() {
    for (step, uses) in [
        ("request: { url: 'https://x.example/{{ subject }}' }", true),
        (
            "request: { url: 'https://x.example/' }, when: '{{ subject }}'",
            true,
        ),
        (
            "request: { url: 'https://x.example/' }, capture: { t: { jwt: '{{ subject }}', json: /x } }",
            true,
        ),
        (
            "request: { url: 'https://x.example/' }, success: { json: /x, equals: '{{ subject }}' }",
            true,
        ),
        (
            "jwt: { alg: HS256, key: a-secret-of-thirty-two-characters, claims: { sub: '{{ subject }}' } }",
            true,
        ),
        (
            "request: { url: 'https://x.example/' }, capture: { subject: { json: /s }, t: { json: /t, default: '{{ subject }}' } }",
            false,
        ),
    ] {
        let source = built(&format!(
            "{{ steps: [{{ name: s, {step} }}], outputs: {{ t: t }} }}"
        ));
        assert_eq!(source.per_subject(), uses, "{step}");
    }
}

#[test]
fn everything_in_the_file_tells_one_recipe_from_another() {
    let base = "
vars: { id: abc }
steps:
  - { name: proof, jwt: { alg: HS256, key: a-secret-of-thirty-two-characters, claims: { a: b } } }
  - { name: s, request: { url: 'https://x.example/a', json: { p: '{{ proof }}' } }, capture: { t: { json: /t } } }
outputs: { token: '{{ s.t }}' }";
    let of = |text: &str| built(text).fingerprint();
    assert_eq!(of(base), of(base));
    for (from, to) in [
        ("id: abc", "id: abd"),
        ("a-secret", "b-secret"),
        ("a: b", "a: c"),
        ("x.example/a", "y.example/a"),
        ("x.example/a", "x.example/b"),
        ("p: ", "q: "),
        ("json: /t", "json: /u"),
        ("{{ s.t }}", "{{ s.t }}x"),
    ] {
        let other = base.replacen(from, to, 1);
        assert_ne!(of(base), of(&other), "{from} {to}");
    }
}
