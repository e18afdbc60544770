//! The source tree keeps to its own map: who may import whom, how long a file is, how it begins.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// No source file is longer than this, tests not counted.
const MOST_LINES: usize = 400;

#[test]
fn modules_import_only_from_the_rows_above_their_own() {
    let table = Table::of_this_crate();
    let mut broken = Vec::new();
    for file in sources("src").iter().filter(|file| !is_test(file)) {
        let Some(module) = top_module(file) else {
            continue;
        };
        for import in imports(without_tests(&read(file))) {
            broken.extend(
                table
                    .complaint(&module, &import)
                    .map(|why| format!("{}: {why}", file.display())),
            );
        }
    }
    assert!(
        broken.is_empty(),
        "imports against the table in src/lib.rs:\n{}",
        broken.join("\n")
    );
}

#[test]
fn every_module_has_a_row() {
    let table = Table::of_this_crate();
    let homeless: Vec<_> = sources("src")
        .into_iter()
        .filter(|file| top_module(file).is_some_and(|module| !table.rows.contains_key(&module)))
        .collect();
    assert!(
        homeless.is_empty(),
        "not in the table in src/lib.rs: {homeless:?}"
    );
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources("src")
        .iter()
        .filter(|file| !is_test(file))
        .map(|file| {
            (
                without_tests(&read(file)).lines().count(),
                file.display().to_string(),
            )
        })
        .filter(|(lines, _)| *lines > MOST_LINES)
        .collect();
    assert!(
        long.is_empty(),
        "over {MOST_LINES} lines without their tests: {long:?}"
    );
}

#[test]
fn every_file_begins_with_what_it_is() {
    let silent: Vec<_> = ["src", "benches"]
        .into_iter()
        .flat_map(sources)
        .filter(|file| !is_test(file) && !read(file).starts_with("//! "))
        .collect();
    assert!(
        silent.is_empty(),
        "no `//!` sentence in the first line: {silent:?}"
    );
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let text = "
        use crate::secret::Secret;
        use crate::{clock, config::{self, scalars::Size}, layers};
        pub(crate) fn f(_: &crate::routes::Route) {} // not crate::comments
        const URL: &str = \"http://localhost\"; pub(in crate::upstream) struct S;
    ";
    assert_eq!(
        imports(text),
        ["secret", "clock", "config", "layers", "routes", "upstream"]
    );
}

#[test]
fn a_break_is_reported() {
    let table =
        Table::parse("//! ```text\n//! 0 secret clock\n//! 1 config\n//! 12 cli\n//! ```\n");
    assert_eq!(table.complaint("config", "secret"), None);
    assert_eq!(table.complaint("config", "config"), None);
    assert_eq!(table.complaint("cli", "config"), None);
    assert!(table.complaint("config", "cli").is_some(), "a row below");
    assert!(table.complaint("secret", "clock").is_some(), "its own row");
    assert!(
        table.complaint("config", "nowhere").is_some(),
        "not in the table"
    );
    assert!(
        table.complaint("nowhere", "config").is_some(),
        "not in the table"
    );
}

/// Who may import whom, as the crate docs have it.
struct Table {
    /// Module -> row.
    rows: BTreeMap<String, usize>,
    /// Macro -> its module: an exported macro is imported as `crate::name`.
    macros: BTreeMap<String, String>,
}

impl Table {
    fn of_this_crate() -> Self {
        let mut table = Self::parse(&read(&root().join("src/lib.rs")));
        assert!(
            table.rows.len() > 10,
            "the table in src/lib.rs was not found"
        );
        for file in sources("src") {
            let Some(module) = top_module(&file) else {
                continue;
            };
            let text = read(&file);
            let names = text.split("macro_rules! ").skip(1).map(head);
            table
                .macros
                .extend(names.map(|name| (name, module.clone())));
        }
        table
    }

    /// Rows are doc lines that begin with a number: `//! 3 credentials injectors`.
    fn parse(docs: &str) -> Self {
        let row = |line: &str| {
            let (number, modules) = line.strip_prefix("//! ")?.split_once(' ')?;
            Some((number.parse().ok()?, modules.to_owned()))
        };
        let mut rows = BTreeMap::new();
        for (number, modules) in docs.lines().filter_map(row) {
            rows.extend(
                modules
                    .split_whitespace()
                    .map(|module| (module.to_owned(), number)),
            );
        }
        Self {
            rows,
            macros: BTreeMap::new(),
        }
    }

    fn complaint(&self, from: &str, to: &str) -> Option<String> {
        let to = self.macros.get(to).map_or(to, String::as_str);
        if from == to {
            return None;
        }
        match (self.rows.get(from), self.rows.get(to)) {
            (Some(from_row), Some(to_row)) if to_row < from_row => None,
            (Some(from_row), Some(to_row)) => Some(format!(
                "`{from}` (row {from_row}) imports `{to}` (row {to_row})"
            )),
            _ => Some(format!(
                "`{from}` imports `{to}`: not both are in the table"
            )),
        }
    }
}

/// The first segments of all `crate::` paths in `text`, groups opened.
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(without_comment)
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.push(head(rest)),
        }
    }
    found
}

/// The first segment of each entry of a `use` group whose opening brace was taken off.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0_u32;
    let mut heads = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            c => {
                if let Some(entry) = heads.last_mut().filter(|_| depth == 0) {
                    entry.push(c);
                }
            }
        }
    }
    heads
        .iter()
        .map(|entry| head(entry))
        .filter(|name| !name.is_empty())
        .collect()
}

fn head(path: &str) -> String {
    path.trim_start()
        .chars()
        .take_while(|c| *c == '_' || c.is_alphanumeric())
        .collect()
}

/// `http://` in a string is no comment; a `//` after anything but a colon is.
fn without_comment(line: &str) -> &str {
    let comment = line
        .match_indices("//")
        .find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// What stands before the test module, which is the last thing in a file.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn is_test(file: &Path) -> bool {
    file.iter()
        .any(|part| part == "tests" || part == "tests.rs")
}

/// `credentials` for `src/credentials/cache.rs`; none for the roots of library and program.
fn top_module(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root().join("src")).ok()?;
    let first = inside.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
