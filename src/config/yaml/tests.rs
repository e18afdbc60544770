use super::*;

fn tree(text: &str) -> Node {
    let mut decoder = Decoder::default();
    let node = parse(text, &mut decoder);
    assert!(decoder.diagnostics.is_empty(), "{decoder:?}");
    node.unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let mut decoder = Decoder::default();
    parse(text, &mut decoder);
    decoder
        .diagnostics
        .iter()
        .map(|d| d.message.clone())
        .collect()
}

fn scalar<'n>(node: &'n Node, key: &str) -> &'n Scalar {
    match &node.get(key).unwrap().kind {
        Kind::Scalar(scalar) => scalar,
        other => panic!("{other:?}"),
    }
}

#[test]
fn scalars_keep_their_spelling() {
    let root = tree(
        "a: 0123\nb: 1.10\nc: 0x1F\nd: yes\ne: TRUE\nf: 1e3\ng: +5\nh: 2024-01-01\ni: 1_000\nj: -0\n",
    );
    for (key, text) in [
        ("a", "0123"),
        ("b", "1.10"),
        ("c", "0x1F"),
        ("d", "yes"),
        ("e", "TRUE"),
        ("f", "1e3"),
        ("g", "+5"),
        ("h", "2024-01-01"),
        ("i", "1_000"),
        ("j", "-0"),
    ] {
        assert_eq!(scalar(&root, key).text, text);
        assert!(
            scalar(&root, key).typed || ["yes", "2024-01-01", "1_000"].contains(&text),
            "{key}"
        );
    }
}

#[test]
fn quoted_and_block_scalars_are_text() {
    let root = tree("a: '5'\nb: \"true\"\nc: |\n  7\nd: >-\n  8\n");
    for (key, text) in [("a", "5"), ("b", "true"), ("c", "7\n"), ("d", "8")] {
        assert_eq!(scalar(&root, key).text, text);
        assert!(!scalar(&root, key).typed, "{key}");
    }
}

#[test]
fn every_key_and_value_knows_its_bytes() {
    let text = "é: 'ü'\nlist:\n  - {k: 12, l: \"x y\"}\n";
    let root = tree(text);
    let Kind::Map(entries) = &root.kind else {
        panic!()
    };
    assert_eq!(&text[entries[0].key_span.range()], "é");
    assert_eq!(&text[entries[0].value.span.range()], "'ü'");
    let Kind::List(items) = &root.get("list").unwrap().kind else {
        panic!()
    };
    let Kind::Map(entries) = &items[0].kind else {
        panic!()
    };
    assert_eq!(&text[entries[0].value.span.range()], "12");
    assert_eq!(&text[entries[1].value.span.range()], "\"x y\"");
    assert_eq!(&text[entries[1].key_span.range()], "l");
}

#[test]
fn merge_keys_are_resolved_and_own_keys_win() {
    let root = tree("d: &d {a: 1, b: 2}\nx:\n  <<: *d\n  b: 3\n");
    let x = root.get("x").unwrap();
    assert_eq!(scalar(x, "a").text, "1");
    assert_eq!(scalar(x, "b").text, "3");
    assert!(x.get("<<").is_none());
}

#[test]
fn all_duplicate_keys_are_reported() {
    assert_eq!(
        errors("a: 1\na: 2\nb: {c: 1, c: 2}\n"),
        ["`a` is given twice", "`c` is given twice"]
    );
}

#[test]
fn what_yaml_refuses_is_explained_without_its_text() {
    for (text, message) in [
        (
            "a: 1\n---\nb: 2\n",
            "the file has more than one YAML document",
        ),
        ("a: *nowhere\n", "this alias refers to nothing"),
        ("a:\n\tb: 1\n", "a tab can't indent in YAML"),
        ("a: !secret x\n", "YAML tags have no meaning here"),
        ("a: [1\n", "this is not valid YAML"),
        ("", "the file is empty"),
        ("a: 1\n\tb: 2\n", "a tab can't indent in YAML"),
        ("<<: 5\n", "`<<` can only merge mappings"),
    ] {
        assert_eq!(errors(text), [message], "{text}");
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{items}]\n"));
    }
    let found = errors(&text);
    assert!(
        found[0].contains("too large once its aliases are expanded"),
        "{found:?}"
    );
}

#[test]
fn ten_thousand_routes_share_one_merge() {
    let mut text = String::from("d: &d {timeouts: {connect: 1s}, upstream: http://u}\nroutes:\n");
    for n in 0..10_000 {
        text.push_str(&format!("- <<: *d\n  match: /r{n}/\n"));
    }
    let root = tree(&text);
    let Kind::List(routes) = &root.get("routes").unwrap().kind else {
        panic!()
    };
    assert_eq!(routes.len(), 10_000);
    assert_eq!(scalar(&routes[9_999], "upstream").text, "http://u");
}

#[test]
fn windows_line_ends_do_not_move_places() {
    let text = "a: 1\r\nb: 22\r\n";
    let root = tree(text);
    assert_eq!(&text[root.get("b").unwrap().span.range()], "22");
    assert_eq!(scalar(&root, "b").text, "22");
}
