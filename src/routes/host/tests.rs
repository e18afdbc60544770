use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<String, AuthorityRefused> {
    Authority::parse(text.as_bytes()).map(|authority| authority.to_string())
}

#[test]
fn spellings_of_one_host_have_one_value() {
    for (text, canonical) in [
        ("example.com", "example.com"),
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("Example.Com.:8080", "example.com:8080"),
        ("my_service-1:80", "my_service-1:80"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:443", "[::1]:443"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
    ] {
        assert_eq!(parse(text).as_deref(), Ok(canonical), "{text}");
    }
}

#[test]
fn what_is_no_authority_is_refused() {
    use AuthorityRefused as R;
    for (text, reason) in [
        ("", R::Empty),
        (":80", R::Empty),
        ("user@example.com", R::Byte),
        ("a.example,b.example", R::Byte),
        ("exa mple.com", R::Byte),
        ("example.com ", R::Byte),
        ("example%2ecom", R::Byte),
        ("example.com/x", R::Byte),
        ("example.com\0", R::Byte),
        ("ex\u{e4}mple.com", R::Byte),
        ("*.example.com", R::Byte),
        ("example.com..", R::Name),
        (".", R::Name),
        (".example.com", R::Name),
        ("a..b", R::Name),
        ("example.com:", R::Port),
        ("example.com:0", R::Port),
        ("example.com:080", R::Port),
        ("example.com:+80", R::Port),
        ("example.com:65536", R::Port),
        ("example.com:80:80", R::Port),
        ("::1", R::Port),
        ("[example.com]", R::Brackets),
        ("[127.0.0.1]", R::Brackets),
        ("[::1", R::Brackets),
        ("[]", R::Brackets),
        ("[fe80::1%eth0]", R::Brackets),
        ("[::1]x", R::Byte),
        ("[::1]:", R::Port),
    ] {
        assert_eq!(parse(text), Err(reason), "{text:?}");
    }
    assert_eq!(Authority::parse(b"\xff"), Err(R::Byte));
    assert_eq!(parse(&"a".repeat(64)), Err(R::Name));
    assert_eq!(
        parse(&["a.".repeat(126), "aa".into()].concat()),
        Err(R::Name)
    );
    assert!(
        parse(&["a.".repeat(126), "a.".into()].concat()).is_ok(),
        "the root's dot does not count"
    );
}

#[test]
fn a_canonical_text_is_borrowed() {
    for text in ["example.com", "example.com.", "[::1]:80", "10.0.0.1"] {
        let authority = Authority::parse(text.as_bytes()).unwrap();
        assert!(matches!(authority.host, Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn only_ip_literals_are_addresses() {
    let ip = |text: &str| Authority::parse(text.as_bytes()).unwrap().ip();
    assert_eq!(ip("127.0.0.1:80"), Some("127.0.0.1".parse().unwrap()));
    assert_eq!(ip("[::1]"), Some("::1".parse().unwrap()));
    for name in [
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "localhost",
        "127.0.0.1.example.com",
    ] {
        assert_eq!(ip(name), None, "{name}");
    }
}

#[test]
fn a_wildcard_stands_for_one_or_more_labels() {
    let pattern = HostPattern::parse("*.Example.com.").unwrap();
    assert_eq!(pattern.to_string(), "*.example.com");
    assert!(pattern.matches(Some("a.example.com")));
    assert!(pattern.matches(Some("a.b.example.com")));
    assert!(!pattern.matches(Some("example.com")));
    assert!(!pattern.matches(Some(".example.com")));
    assert!(!pattern.matches(Some("badexample.com")));
    assert!(!pattern.matches(None));
}

#[test]
fn a_host_pattern_is_a_name_an_address_or_a_leading_star() {
    assert_eq!(HostPattern::parse("*"), Ok(HostPattern::Any));
    assert_eq!(
        HostPattern::parse("API.example.com"),
        Ok(HostPattern::Exact("api.example.com".into()))
    );
    assert_eq!(
        HostPattern::parse("[::1]"),
        Ok(HostPattern::Exact("[::1]".into()))
    );
    assert_eq!(
        HostPattern::parse("example.com:80"),
        Err(HostPatternError::Port)
    );
    for text in ["a.*.com", "*a.com", "*.*.com", "*.10.0.0.1"] {
        assert_eq!(
            HostPattern::parse(text),
            Err(HostPatternError::Star),
            "{text}"
        );
    }
    assert!(HostPattern::parse("").is_err());
    assert!(HostPattern::parse("http://x").is_err());
}

proptest! {
    #[test]
    fn canonicalising_twice_changes_nothing(text in r"([a-zA-Z0-9._-]{1,20}|\[[0-9a-fA-F:.]{2,20}\])(:[0-9]{1,5})?") {
        if let Ok(authority) = Authority::parse(text.as_bytes()) {
            let canonical = authority.to_string();
            let again = Authority::parse(canonical.as_bytes()).map(Authority::into_owned);
            prop_assert_eq!(again, Ok(authority.into_owned()));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(authority) = Authority::parse(&bytes) {
            prop_assert!(authority.host().bytes().all(|byte| !byte.is_ascii_uppercase()));
        }
    }
}
