//! `docs/src/faults.md` says for each fault what becomes of five things, and names tests that there are.

use std::{fs, path::Path};

use crate::contracts::{is_there, root};

#[test]
fn every_cell_of_the_page_names_a_test_or_says_why_there_is_none() {
    let text = fs::read_to_string(root().join("docs/src/faults.md")).unwrap();
    let complaints = complaints(&text, &root());
    assert!(
        complaints.is_empty(),
        "docs/src/faults.md:\n{}",
        complaints.join("\n")
    );
    assert!(text.matches("\n## ").count() > 30, "the faults");
}

#[test]
fn what_is_wrong_with_the_page_is_told() {
    let here = "`tests/it/faults/page.rs::what_is_wrong_with_the_page_is_told`";
    let good: Vec<String> = ROWS
        .iter()
        .map(|row| format!("| {row} | a | {here} |"))
        .collect();
    let page =
        |rows: &[String]| format!("{TOP}\n\n## One\n\n{HEAD}\n{RULE}\n{}\n", rows.join("\n"));
    assert_eq!(complaints(&page(&good), &root()), [""; 0]);
    for (row, wrong) in [
        ("| attempts | | here |".to_owned(), "something in each"),
        (format!("| attempts | {here} |"), "something in each"),
        (format!("| kept | a | {here} |"), "the rows are"),
        ("| attempts | a | none |".to_owned(), "not none"),
        ("| attempts | a | none: |".to_owned(), "not none:"),
        ("| attempts | a | later |".to_owned(), "not later"),
        (
            "| attempts | a | `tests/it/faults/page.rs::good` |".to_owned(),
            "no such test",
        ),
        (
            format!("| attempts | a | {here}, `tests/it/faults/bounds.rs::clients::page` |"),
            "no such test",
        ),
    ] {
        let mut rows = good.clone();
        rows[2] = row;
        let found = complaints(&page(&rows), &root()).join("; ");
        assert!(found.contains(wrong), "{}: {found}", rows[2]);
    }
    let short = complaints(&page(&good[..4]), &root()).join("; ");
    assert!(short.contains("the rows are"), "{short}");
    let mut bare = good;
    bare[4] = "| bound | a | none: it can't be counted |".to_owned();
    let untold = complaints(&page(&bare), &root()).join("; ");
    assert!(untold.contains("1 of 5 promises"), "{untold}");
    let told = page(&bare).replace("0 of 5", "1 of 5");
    assert_eq!(complaints(&told, &root()), [""; 0]);
}

#[test]
fn a_test_is_looked_for_in_the_module_that_is_named() {
    let file = root().join("tests/it/faults/bounds.rs");
    let name = "the_next_one_waits_until_one_leaves_and_is_then_served";
    assert!(is_there(&file, name));
    assert!(is_there(&file, &format!("clients::{name}")));
    assert!(!is_there(&file, &format!("descriptors::{name}")));
}

/// Everything that is wrong with the page, each with its place.
fn complaints(text: &str, root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut all, mut bare) = (0, 0);
    for section in text.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        let rows = section
            .lines()
            .filter(|line| line.starts_with('|') && *line != HEAD && *line != RULE);
        let mut names = Vec::new();
        for row in rows {
            all += 1;
            let inner = row.trim_matches('|');
            let cells: Vec<_> = inner.split('|').map(str::trim).collect();
            let ([name, _, tests], false) = (&cells[..], cells.contains(&"")) else {
                wrong.push(format!(
                    "{title}: a row has 3 cells with something in each: {row}"
                ));
                continue;
            };
            names.push(*name);
            if tests
                .strip_prefix("none: ")
                .is_some_and(|why| why.len() > 10)
            {
                bare += 1;
                continue;
            }
            for test in tests.split(", ") {
                let found = test
                    .strip_prefix('`')
                    .and_then(|test| test.strip_suffix('`')?.split_once("::"));
                match found {
                    Some((file, name)) if is_there(&root.join(file), name) => {}
                    Some(_) => wrong.push(format!("{title}, {name}: no such test: {test}")),
                    None => wrong.push(format!(
                        "{title}, {name}: `file::name`, or `none: ` and why, not {test}"
                    )),
                }
            }
        }
        if names != ROWS {
            wrong.push(format!("{title}: the rows are {ROWS:?}, not {names:?}"));
        }
    }
    let counted = format!("{bare} of {all} promises have no test");
    if !text.contains(&counted) {
        wrong.push(format!("the page has to say: {counted}"));
    }
    wrong
}

const HEAD: &str = "| | promise | test |";
const RULE: &str = "| --- | --- | --- |";
const TOP: &str = "0 of 5 promises have no test";
/// What the client is told; how often anybody is asked; what is never lost or leaked; the figure.
const ROWS: [&str; 5] = ["client", "code", "attempts", "kept", "bound"];
