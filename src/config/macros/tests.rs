use std::time::Duration;

use crate::config::{Decode, Decoder, SourceMap, mask::Mask, scalars::OneOrList, yaml};

crate::config_struct! {
    /// A thing.
    pub(crate) struct Thing = "a thing", short = "path", unavailable = ["subject"] {
        /// Where.
        required path: String,
        /// Kind of match.
        optional r#match as "match": OneOrList<String>,
        /// How long.
        default("10s") wait: Duration,
        /// A count.
        optional count: u64,
    }
}

crate::config_struct! {
    /// A thing that says whose it is.
    pub(crate) struct Owned = "an owned thing", flatten = [thing: Thing] {
        /// Whose.
        required owner: String,
    }
}

fn decode(text: &str) -> (Option<Thing>, String) {
    decode_as(text)
}

fn decode_as<T: Decode>(text: &str) -> (Option<T>, String) {
    let mut decoder = Decoder::default();
    let mut source = SourceMap::new("routes.yaml", text);
    let root = yaml::parse(text, &mut decoder);
    let thing = root.as_ref().and_then(|root| T::decode(root, &mut decoder));
    source.set_mask(match &root {
        Some(root) => Mask::of_tree(root, &decoder.marks, text),
        None => Mask::of_broken(vec!["path", "match"]),
    });
    (thing, source.render(&decoder.diagnostics, false))
}

#[test]
fn reads_required_optional_and_default_keys() {
    let (thing, text) = decode("path: /x\nmatch: [a, b]\n");
    let thing = thing.expect(&text);
    assert_eq!(thing.path.value, "/x");
    assert_eq!(thing.wait.value, Duration::from_secs(10));
    assert_eq!(
        thing
            .r#match
            .unwrap()
            .iter()
            .map(|m| m.value.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(thing.count.is_none() && thing.failed.is_empty());
}

#[test]
fn a_bare_value_is_the_short_form() {
    assert_eq!(decode("/x").0.unwrap().path.value, "/x");
}

#[test]
fn every_error_is_reported_at_once_with_its_place() {
    let (thing, text) = decode("pat: hunter2\nwait: 10 s\nsubject: {x: 1}\ncount: -1 # hunter3\n");
    assert!(thing.is_none());

    for expected in [
        "unknown key `pat`",
        "did you mean `path`?",
        "routes.yaml:2:7",
        "this is no duration",
        "`subject` is not available in this version",
        "routes.yaml:4:8",
    ] {
        assert!(text.contains(expected), "{expected} not in\n{text}");
    }
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn a_broken_file_shows_known_keys_only() {
    let (_, text) = decode("path: [hunter2\nmatch: }hunter3\n");

    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn flattened_keys_stand_beside_the_own_ones() {
    let names: Vec<_> = Owned::TABLE.fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["owner", "path", "match", "wait", "count"]);
    let (owned, text) = decode_as::<Owned>("{owner: me, path: /x, count: 3}");
    let owned = owned.expect(&text);
    assert_eq!(owned.owner.value, "me");
    assert_eq!(owned.thing.path.value, "/x");
    assert_eq!(owned.thing.count.map(|count| count.value), Some(3));
}

#[test]
fn errors_in_flattened_keys_name_the_whole_mapping() {
    let (owned, text) = decode_as::<Owned>("{owner: me, count: x, cuont: 1}");
    assert!(owned.is_none());
    for expected in [
        "`path` is missing in an owned thing",
        "unknown key `cuont` in an owned thing",
        "did you mean `count`?",
    ] {
        assert!(text.contains(expected), "{expected} not in\n{text}");
    }
    let (owned, _) = decode_as::<Owned>("{owner: me, path: /x, count: x}");
    assert_eq!(owned.map(|owned| owned.failed), Some(vec!["count"]));
}
