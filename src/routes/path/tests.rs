use proptest::prelude::*;

use super::*;

fn forms(rest: &str) -> Result<Vec<String>, PathRefused> {
    let mut forms = Vec::new();
    each_form(rest.as_bytes(), |form| {
        forms.push(String::from_utf8_lossy(form).into_owned());
        Ok(())
    })?;
    Ok(forms)
}

#[test]
fn a_plain_path_has_no_other_form() {
    for path in ["/", "/a/b", "/a.b/c..d", "/a/b.", "/x/"] {
        assert!(is_plain(path), "{path}");
        assert_eq!(forms(&path[1..]), Ok(vec![]), "{path}");
    }
    for path in [
        "//",
        "/a//b",
        "/./a",
        "/a/.hidden",
        "/a%20b",
        "/a;b",
        "/a\\b",
    ] {
        assert!(!is_plain(path), "{path}");
    }
}

#[test]
fn every_order_of_decoding_and_resolving_is_walked() {
    // Dots first: the slash in the first segment is not seen yet, and all of it goes.
    let both = forms("q%2fr/../%61dmin").unwrap();
    assert!(both.contains(&"admin".to_owned()), "{both:?}");
    assert!(both.contains(&"q/admin".to_owned()), "{both:?}");
    assert_eq!(forms("a%252fb").unwrap(), ["a%2fb", "a/b"]);
    assert_eq!(forms("a;x/b").unwrap(), ["a/b"]);
    assert_eq!(forms("a%5cb").unwrap(), ["a\\b", "a/b"]);
    assert_eq!(forms("/a//b/").unwrap(), ["a/b/"]);
    assert_eq!(forms("a%3fb").unwrap(), ["a?b", "a"]);
    assert_eq!(forms("a/b/..").unwrap(), ["a/"]);
    assert_eq!(forms("a/..").unwrap(), [""]);
    assert_eq!(forms("./a/.").unwrap(), ["a/"]);
}

#[test]
fn what_climbs_out_in_any_form_is_refused() {
    for rest in [
        "..",
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "%2E./x",
        "a%2f..%2f../x",
        "%252e%252e%252fx",
        "%25252e%25252e/x",
        "..%5cx",
        "/../x",
        "a//../../x",
        ".%2e;/x",
        "..%3b/x",
        "%2e%2e%3f",
    ] {
        assert_eq!(forms(rest), Err(PathRefused::Leaves), "{rest}");
    }
}

#[test]
fn disguised_bytes_are_refused() {
    for rest in ["%c0%ae%c0%ae/x", "%c0%af", "%C1%9c", "%2500", "%25c0%25ae"] {
        assert_eq!(forms(rest), Err(PathRefused::Disguised), "{rest}");
    }
    assert!(forms("caf%C3%A9").is_ok());
    assert!(forms("caf%E9").is_ok(), "Latin-1 is data");
}

#[test]
fn the_work_for_one_path_is_bounded() {
    let deep = format!("%{}41", "25".repeat(1000));
    assert_eq!(forms(&deep), Err(PathRefused::TooManyForms));
    let wild = "a%252f/;x%5c%255c//./b%253b;%3f/".repeat(200);
    assert_eq!(forms(&wild), Err(PathRefused::TooManyForms));
}

#[test]
fn data_that_real_apis_put_in_paths_keeps_few_forms() {
    for rest in [
        "projects/group%2Fsub%2Fname/repository/files/src%2Fmain.rs/raw",
        "v1/namespaces/a%1Fb/tables/t",
        "proxy/https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%23d",
        "entities/Person('J%C3%BCrgen')",
        "objects/a%252Fb%2520c",
        "matrix;v=1/x;w=2,3",
    ] {
        assert!(forms(rest).is_ok(), "{rest}: {:?}", forms(rest));
    }
}

#[test]
fn the_base_path_replaces_the_prefix() {
    assert_eq!(
        outgoing("/v2/", "invoices", Some("id=7")).as_deref(),
        Ok("/v2/invoices?id=7")
    );
    assert_eq!(outgoing("/v2/", "", None).as_deref(), Ok("/v2/"));
    assert_eq!(outgoing("/v2", "", Some("")).as_deref(), Ok("/v2?"));
    assert_eq!(outgoing("/v2", "x", None).as_deref(), Ok("/v2/x"));
    assert_eq!(outgoing("/", "a%2fb/..", None).as_deref(), Ok("/a%2fb/.."));
    assert_eq!(
        outgoing("/", "a?", Some("b=/../..")).as_deref(),
        Ok("/a??b=/../..")
    );
}

#[test]
fn nothing_sent_is_above_the_base_or_looks_like_an_authority() {
    assert_eq!(outgoing("/v2/", "../x", None), Err(PathRefused::Leaves));
    assert_eq!(outgoing("/v2/", "%2e%2e/x", None), Err(PathRefused::Leaves));
    assert_eq!(outgoing("/v2/", "/../x", None), Err(PathRefused::Leaves));
    assert_eq!(outgoing("/v2", "..", None), Err(PathRefused::Leaves));
    assert_eq!(
        outgoing("/", "/evil.example/x", None),
        Err(PathRefused::Authority)
    );
    assert_eq!(outgoing("//evil/", "x", None), Err(PathRefused::Authority));
    assert_eq!(outgoing("/v2/", "/x", None).as_deref(), Ok("/v2//x"));
}

#[test]
fn patterns_of_the_file_are_in_normal_form() {
    for path in ["/", "/a/", "/a/b", "/caf%C3%A9/", "/a%2fb/"] {
        assert!(is_normal(path), "{path}");
    }
    for path in [
        "//",
        "/a//",
        "/a/../",
        "/./",
        "/a/%2e%2e/b",
        "/a%2f/",
        "/a/%252e/",
    ] {
        assert!(!is_normal(path), "{path}");
    }
}

/// Reads a path as some server might: steps in any order, each written here a second time.
pub(in crate::routes) fn read_as(path: &str, steps: &[u8]) -> String {
    steps.iter().fold(path.to_owned(), |path, step| match step {
        0 => decode_once(&path),
        1 => remove_dot_segments(&path),
        2 => {
            let mut path = path;
            while path.contains("//") {
                path = path.replace("//", "/");
            }
            path
        }
        3 => path.replace('\\', "/"),
        4 => {
            let bare = |segment: &str| segment.split(';').next().unwrap().to_owned();
            path.split('/').map(bare).collect::<Vec<_>>().join("/")
        }
        _ => path.split(['?', '#']).next().unwrap().to_owned(),
    })
}

fn decode_once(path: &str) -> String {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        match rest
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

/// RFC 3986 5.2.4, to the letter.
fn remove_dot_segments(path: &str) -> String {
    let mut input = path.to_owned();
    let mut output = String::new();
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix("/./") {
            input = format!("/{rest}");
        } else if input == "/." {
            input = "/".to_owned();
        } else if let Some(rest) = input.strip_prefix("/../") {
            input = format!("/{rest}");
            output.truncate(output.rfind('/').unwrap_or(0));
        } else if input == "/.." {
            input = "/".to_owned();
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.push_str(&input[..end]);
            input = input[end..].to_owned();
        }
    }
    output
}

/// Paths full of what is read in several ways; they pass the target gate or are skipped.
pub(in crate::routes) fn odd_path() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "/", "/", "/", "a", "b", "..", ".", "%2e", "%2E.", "%2f", "%5c", "%252f", "%252e", ";",
        ";x", "//", "%61", "%62", "%3f", "%23", "%25", "%3b", "%2fa", "/..", "/../", "/a", "/b",
        "/a/", "/b/",
    ]);
    proptest::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_reading_of_what_is_sent_is_above_the_base(
        rest in odd_path(),
        base in proptest::sample::select(vec!["/", "/v2/", "/a/b/"]),
        steps in proptest::collection::vec(0u8..6, 0..7),
    ) {
        if let Ok(target) = outgoing(base, &rest[1..], None) {
            prop_assert!(!target.starts_with("//"));
            // One segment more above the base shows what a base of `/` would hide.
            let read = read_as(&format!("/base{target}"), &steps);
            prop_assert!(read.starts_with(&format!("/base{base}")), "{} is read as {}", target, read);
        }
    }
}
