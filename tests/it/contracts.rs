//! `docs/src/contracts.md` names tests that there are, for every row, and counts the rows that have none.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_row_of_the_contracts_names_a_test_that_there_is() {
    let text = fs::read_to_string(root().join("docs/src/contracts.md")).unwrap();
    let complaints = complaints(&text, &root());
    assert!(
        complaints.is_empty(),
        "docs/src/contracts.md:\n{}",
        complaints.join("\n")
    );
}

#[test]
fn every_vendor_has_its_rows() {
    let text = fs::read_to_string(root().join("docs/src/contracts.md")).unwrap();
    let vendors: BTreeSet<_> = rows(&text).map(|row| row.vendor).collect();
    let expected = [
        "AICrisk",
        "Bright Pattern",
        "Iceberg catalogs",
        "Symbl and JSON APIs",
        "Symphony",
    ];
    assert!(vendors.into_iter().eq(expected), "the sections");
}

#[test]
fn what_is_wrong_with_a_table_is_told() {
    let here = "`tests/it/contracts.rs::what_is_wrong_with_a_table_is_told`";
    for (rows, wrong) in [
        (format!("| a | b | {here} |"), None),
        (format!("| a | b | {here}, {here} |"), None),
        (
            format!("| a | b | {here} |\n| a | c | {here} |"),
            Some("there twice"),
        ),
        (format!("| a | | {here} |"), Some("3 cells")),
        (format!("| a | {here} |"), Some("3 cells")),
        ("| a | b | |".to_owned(), Some("3 cells")),
        ("| a | b | later |".to_owned(), Some("`file::name`")),
        (
            "| a | b | `tests/it/contracts.rs::root` |".to_owned(),
            Some("no such test"),
        ),
        (
            "| a | b | `tests/it/contracts.rs::what_is` |".to_owned(),
            Some("no such test"),
        ),
        (
            "| a | b | `tests/it/nowhere.rs::a` |".to_owned(),
            Some("no such test"),
        ),
        (
            "| a | b | `tests/interop/test_symbl.py::sdk` |".to_owned(),
            Some("no such test"),
        ),
        ("| a | b | none |".to_owned(), Some("rows without a test")),
    ] {
        let count = rows.lines().count();
        let text = format!("0 of {count} rows have no test.\n\n## Symphony\n\n{HEAD}\n{rows}\n");
        let found = complaints(&text, &root()).join("; ");
        match wrong {
            None => assert_eq!(found, "", "{rows}"),
            Some(wrong) => assert!(found.contains(wrong), "{rows}: {found}"),
        }
    }
    let table = format!("## Symphony\n\n{HEAD}\n| a | b | none |\n");
    for (top, good) in [
        ("1 of 1 rows have no test:\n\n* Symphony: a\n", true),
        ("1 of 1 rows have no test:\n\n* Symphony: b\n", false),
        ("1 of 2 rows have no test:\n\n* Symphony: a\n", false),
        ("2 of 1 rows have no test:\n\n* Symphony: a\n", false),
        ("1 of 1 rows have no test:\n", false),
        ("", false),
    ] {
        let found = complaints(&format!("{top}\n{table}"), &root());
        assert_eq!(found.is_empty(), good, "{top}: {found:?}");
    }
}

#[test]
fn a_test_is_known_by_its_attribute() {
    let text = "#[test]\nfn one() {}\n    #[tokio::test(start_paused = true)]\n    #[ignore = \"why\"]\n    \
                /// About it.\n    async fn two() {}\n#[test]\n\nfn three() {}\nfn four() {}\n#[cfg(test)]\nfn five() {}\n";
    for (name, is) in [
        ("one", true),
        ("two", true),
        ("three", false),
        ("four", false),
        ("five", false),
        ("on", false),
    ] {
        assert_eq!(is_rust_test(text, name), is, "{name}");
    }
    let text = "def test_one(a):\n    def test_two(self):\ndef test_three_more(): ...\n# def test_four():\n";
    for (name, is) in [
        ("test_one", true),
        ("test_two", true),
        ("test_three", false),
        ("test_four", false),
    ] {
        assert_eq!(is_python_test(text, name), is, "{name}");
    }
}

/// A row of a table, with the section that it stands in.
struct Row<'a> {
    vendor: &'a str,
    cells: Vec<&'a str>,
}

impl Row<'_> {
    fn is_without_a_test(&self) -> bool {
        self.cells.get(2) == Some(&NONE)
    }
}

fn rows(text: &str) -> impl Iterator<Item = Row<'_>> {
    let mut vendor = "";
    text.lines().filter_map(move |line| {
        if let Some(title) = line.strip_prefix("## ") {
            vendor = title;
        }
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        if line == HEAD || inner.bytes().all(|byte| b" -|".contains(&byte)) {
            return None;
        }
        let cells = inner.split('|').map(str::trim).collect();
        Some(Row { vendor, cells })
    })
}

/// Everything that is wrong with the page, each with its row.
fn complaints(text: &str, root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut asked = BTreeSet::new();
    for row in rows(text) {
        let Row { vendor, cells } = &row;
        let shown = format!("{vendor}: {}", cells.first().copied().unwrap_or_default());
        if cells.len() != 3 || cells.iter().any(|cell| cell.is_empty()) {
            wrong.push(format!(
                "{shown}: a row has 3 cells with something in each: {cells:?}"
            ));
            continue;
        }
        if !asked.insert(shown.clone()) {
            wrong.push(format!("{shown}: this row is there twice"));
        }
        if row.is_without_a_test() {
            continue;
        }
        for test in cells[2].split(", ") {
            let name = test
                .strip_prefix('`')
                .and_then(|test| test.strip_suffix('`')?.split_once("::"));
            match name {
                Some((file, name)) if is_there(&root.join(file), name) => {}
                Some(_) => wrong.push(format!("{shown}: no such test: {test}")),
                None => wrong.push(format!("{shown}: `file::name` or {NONE}, not {test}")),
            }
        }
    }
    wrong.extend(wrong_at_the_top(text));
    wrong
}

/// The page begins with how many rows have no test, and with each of them.
fn wrong_at_the_top(text: &str) -> Option<String> {
    let all = rows(text).count();
    let bare: Vec<String> = rows(text)
        .filter(Row::is_without_a_test)
        .map(|row| format!("* {}: {}", row.vendor, row.cells[0]))
        .collect();
    let counted = format!("{} of {all} rows have no test", bare.len());
    let top = text.split("\n## ").next().unwrap_or_default();
    let listed: Vec<&str> = top.lines().filter(|line| line.starts_with("* ")).collect();
    (!top.contains(&counted) || listed != bare).then(|| {
        format!(
            "the page has to begin with the rows without a test:\n{counted}\n{}",
            bare.join("\n")
        )
    })
}

/// Whether the file has a test of this name, which may begin with the module that it stands in.
pub fn is_there(file: &Path, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(file) else {
        return false;
    };
    let (text, name) = match name.split_once("::") {
        None => (&*text, name),
        Some((module, name)) => {
            let begin = format!("\nmod {module} {{\n");
            let Some((_, inside)) = text.split_once(&begin) else {
                return false;
            };
            (inside.split("\n}\n").next().unwrap_or_default(), name)
        }
    };
    let named = file.file_name().and_then(|name| name.to_str());
    match named {
        Some(named) if named.ends_with(".rs") => is_rust_test(text, name),
        // What pytest collects.
        Some(named) if named.starts_with("test_") => is_python_test(text, name),
        _ => false,
    }
}

/// Whether there is a function of this name with `#[test]` or `#[tokio::test]` right above it.
fn is_rust_test(text: &str, name: &str) -> bool {
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let mut attributed = false;
    for line in text.lines().map(str::trim) {
        if begins.iter().any(|begin| line.starts_with(begin)) && attributed {
            return true;
        }
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            attributed = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            attributed = false;
        }
    }
    false
}

fn is_python_test(text: &str, name: &str) -> bool {
    let begin = format!("def {name}(");
    let mut lines = text.lines().map(str::trim_start);
    name.starts_with("test_") && lines.any(|line| line.starts_with(&begin))
}

/// Where the source tree begins.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const HEAD: &str = "| what the contract asks | what bearerd does | test |";
const NONE: &str = "none";
