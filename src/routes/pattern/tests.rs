use super::*;

#[test]
fn a_path_that_ends_in_a_slash_is_a_prefix() {
    let prefix = PathPattern::parse("/api/").unwrap();
    assert_eq!(prefix.matches("/api/"), Some(5));
    assert_eq!(prefix.matches("/api/x/y"), Some(5));
    assert_eq!(prefix.matches("/api"), None);
    assert_eq!(prefix.matches("/apis/"), None);
    let exact = PathPattern::parse("/api").unwrap();
    assert_eq!(exact.matches("/api"), Some(4));
    assert_eq!(exact.matches("/api/"), None);
}

#[test]
fn patterns_that_nothing_safe_could_match_are_errors() {
    assert!(matches!(
        PathPattern::parse("api/"),
        Err(PatternError::Path(..))
    ));
    assert!(matches!(
        PathPattern::parse(""),
        Err(PatternError::Path(..))
    ));
    assert!(matches!(
        PathPattern::parse("/a b/"),
        Err(PatternError::Path(..))
    ));
    assert!(matches!(
        PathPattern::parse("/a?b=c"),
        Err(PatternError::Query(_))
    ));
    assert!(matches!(
        PathPattern::parse("/a/../b/"),
        Err(PatternError::NotNormal(_))
    ));
    assert!(matches!(
        PathPattern::parse("/a//"),
        Err(PatternError::NotNormal(_))
    ));
}

#[test]
fn an_expression_matches_the_whole_text() {
    let regex = TextRegex::new("/a|/b/\\d+").unwrap();
    assert!(regex.is_match(b"/a"));
    assert!(regex.is_match(b"/b/12"));
    assert!(!regex.is_match(b"/ab"));
    assert!(!regex.is_match(b"x/b/12"));
    assert!(!regex.is_match(b"/b/12\n"));
}

#[test]
fn an_expression_can_neither_break_out_nor_grow_without_bound() {
    assert!(TextRegex::new("a)|(b").is_err());
    assert!(TextRegex::new("(?:a{1000}){1000}").is_err());
    assert!(TextRegex::new("(").is_err());
}

#[test]
fn the_first_of_repeated_parameters_counts() {
    let matcher = |name: &str, value| QueryMatcher {
        name: name.to_owned(),
        value,
    };
    let exact = |text: &str| ValueMatcher::Exact(text.to_owned());
    assert!(matcher("a", exact("1")).matches(Some("b=2&a=1&a=3")));
    assert!(!matcher("a", exact("3")).matches(Some("b=2&a=1&a=3")));
    assert!(matcher("a b", exact("c d")).matches(Some("a+b=c%20d")));
    assert!(matcher("a", ValueMatcher::Present).matches(Some("x&a")));
    assert!(!matcher("a", ValueMatcher::Present).matches(Some("A=1")));
    assert!(!matcher("a", ValueMatcher::Present).matches(None));
    let regex = TextRegex::new("v[12]").unwrap();
    assert!(matcher("a", ValueMatcher::Regex(regex.clone())).matches(Some("a=v2")));
    assert!(!matcher("a", ValueMatcher::Regex(regex)).matches(Some("a=v23")));
}
