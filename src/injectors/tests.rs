use std::collections::HashMap;

use super::*;

fn parts(pairs: &[(&'static str, &str)]) -> HashMap<&'static str, Secret> {
    pairs
        .iter()
        .map(|&(name, value)| (name, Secret::new(value)))
        .collect()
}

fn header_place(name: &'static str) -> Place {
    Place::Header(HeaderName::from_static(name))
}

fn one(place: Place, template: &str) -> Injection {
    Injection::new(vec![Injector::new(place, template, None).unwrap()]).unwrap()
}

fn render(
    injection: &Injection,
    pairs: &[(&'static str, &str)],
) -> Result<Arc<Rendered>, RenderError> {
    let parts = parts(pairs);
    injection.render(1, |name| parts.get(name))
}

#[test]
fn the_default_is_a_sensitive_bearer_header() {
    let injection = Injection::bearer();
    assert!(injection.is_prebuilt());
    assert!(one(header_place("authorization"), BEARER).is_prebuilt());
    assert!(!one(header_place("authorization"), "Token {{ access_token }}").is_prebuilt());
    let rendered = render(&injection, &[("access_token", "abc")]).unwrap();
    let (name, value) = &rendered.headers[0];
    assert_eq!(
        (name.as_str(), value.as_bytes()),
        ("authorization", &b"Bearer abc"[..])
    );
    assert!(value.is_sensitive());
    assert!(!format!("{rendered:?}{injection:?}").contains("abc"));
}

#[test]
fn the_default_of_a_bound_token_is_prebuilt_too_but_not_where_the_file_says_the_same() {
    let injection = Injection::dpop();
    assert!(injection.is_prebuilt() && injection.header_names().eq([&header::AUTHORIZATION]));
    // The credential of such a file may be one that is not bound.
    assert!(!one(header_place("authorization"), DPOP).is_prebuilt());
    let rendered = render(&injection, &[("access_token", "abc")]).unwrap();
    assert_eq!(rendered.headers[0].1, "DPoP abc");
}

#[test]
fn values_are_encoded_for_their_place() {
    let injection = Injection::new(vec![
        Injector::new(header_place("x-session"), "{{ id }}:{{ token }}", None).unwrap(),
        Injector::new(Place::Query("access token".into()), "{{ token }}", None).unwrap(),
        Injector::new(Place::Query("id".into()), "{{ id }}", None).unwrap(),
        Injector::new(Place::Cookie("sid".into()), "{{ id }}", None).unwrap(),
        Injector::new(Place::Cookie("tok".into()), "{{ token }}", None).unwrap(),
    ])
    .unwrap();
    let rendered = render(&injection, &[("id", "7"), ("token", "a+b/c&d={}")]).unwrap();
    assert_eq!(rendered.headers[0].1, "7:a+b/c&d={}");
    assert_eq!(rendered.query, "access%20token=a%2Bb%2Fc%26d%3D%7B%7D&id=7");
    assert_eq!(rendered.cookies, "sid=7; tok=a+b/c&d={}");
    assert_eq!(injection.header_names().count(), 1);
    assert_eq!(
        injection.query_names().collect::<Vec<_>>(),
        ["access token", "id"]
    );
    assert_eq!(injection.cookie_names().collect::<Vec<_>>(), ["sid", "tok"]);
}

#[test]
fn a_value_that_its_place_cannot_hold_is_an_error_without_the_value() {
    for (place, value) in [
        (header_place("x-a"), "a\r\nx-b: c"),
        (header_place("x-a"), "caf\u{e9}"),
        (header_place("x-a"), "a\0"),
        (header_place("x-a"), " a"),
        (header_place("x-a"), ""),
        (Place::Cookie("c".into()), "a;b=c"),
        (Place::Cookie("c".into()), "a b"),
        (Place::Cookie("c".into()), "a\"b"),
        (Place::Query("q".into()), ""),
    ] {
        let injection = one(place.clone(), "{{ v }}");
        let error = render(&injection, &[("v", value)]).unwrap_err();
        assert_eq!(error, RenderError::Unsendable { place }, "{value:?}");
    }
}

#[test]
fn an_unknown_part_is_an_error_at_load_where_the_parts_are_known_else_at_render() {
    let known: &[&str] = &["access_token", "id_token"];
    let error = Injector::new(header_place("x-a"), "{{ acces_token }}", Some(known)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the credential has no part `acces_token`: it has access_token, id_token"
    );
    assert!(Injector::new(header_place("x-a"), "{{ id_token }}", Some(known)).is_ok());
    let error = render(&one(header_place("x-a"), "a{{ nope }}"), &[("v", "1")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "header `x-a`: the credential has no part `nope`"
    );
}

#[test]
fn templates_that_do_not_parse_or_compute_are_errors_at_load() {
    for template in [
        "{{ a",
        "{% if %}",
        "{{ a | upper }}",
        "{{ f(a) }}",
        "{{ a b }}",
    ] {
        let made = Injector::new(header_place("x-a"), template, None);
        let failed = match made {
            Err(InjectorError::Template(
                TemplateError::Syntax(_) | TemplateError::UnknownPart { .. },
            )) => true,
            Ok(injector) => {
                let injection = Injection::new(vec![injector]).unwrap();
                render(&injection, &[("a", "CANARY"), ("f", "CANARY")])
                    .is_err_and(|error| !format!("{error} {error:?}").contains("CANARY"))
            }
            Err(_) => false,
        };
        assert!(failed, "{template}");
    }
}

#[test]
fn what_frames_or_routes_the_message_cannot_be_injected() {
    for name in [
        "host",
        "content-length",
        "content_length",
        "transfer-encoding",
        "connection",
        "proxy-authorization",
        "cookie",
    ] {
        let made = Injector::new(header_place(name), "{{ a }}", None);
        assert!(matches!(made, Err(InjectorError::Reserved(_))), "{name}");
    }
    for name in ["", "a b", "a;b", "a=b"] {
        let made = Injector::new(Place::Cookie(name.into()), "{{ a }}", None);
        assert!(matches!(made, Err(InjectorError::Name(_))), "{name}");
    }
    assert!(Injector::new(Place::Query("\n".into()), "{{ a }}", None).is_err());
}

#[test]
fn the_same_name_in_two_spellings_is_injected_twice() {
    let injector = |place| Injector::new(place, "{{ a }}", None).unwrap();
    let twice = Injection::new(vec![
        injector(header_place("x-session-token")),
        injector(Place::Query("x-session-token".into())),
        injector(header_place("x_sessiontoken")),
    ])
    .unwrap_err();
    assert_eq!((twice.first, twice.second), (0, 2));
    assert_eq!(
        twice.to_string(),
        "header `x_sessiontoken` is injected twice"
    );
}

#[test]
fn one_lease_is_rendered_once() {
    let injection = one(header_place("x-a"), "{{ a }}");
    let secret = Secret::new("1");
    let asked = std::cell::Cell::new(0);
    let part = |_: &str| {
        asked.set(asked.get() + 1);
        Some(&secret)
    };
    let first = injection.render(7, part).unwrap();
    let again = injection.render(7, part).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(asked.get(), 1);
    let other = injection.render(8, part).unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
    assert_eq!(asked.get(), 2);
}
