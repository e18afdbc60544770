//! The handbook says what the code does: keys, codes, names of metrics.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use bearerd::{config::reference, credentials::grants::KINDS};

#[test]
fn the_reference_of_every_key_is_current() {
    let committed = root().join("docs/src/configuration.md");
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration.md");
    let text = reference::markdown(KINDS);
    fs::write(&fresh, &text).unwrap();
    assert!(
        fs::read_to_string(&committed).is_ok_and(|old| old == text),
        "out of date; to renew it: cp {} {}",
        fresh.display(),
        committed.display()
    );
}

#[test]
fn the_handbook_has_every_code_and_no_other() {
    let source = read("src/layers/error.rs");
    let rows = source.split("row(\"").skip(1);
    let in_code: BTreeSet<_> = rows
        .map(|row| row.split('"').next().unwrap().to_owned())
        .collect();
    assert!(in_code.len() > 15, "the rows of error.rs were not found");

    let handbook = read("docs/src/codes.md");
    let rows = handbook.lines().filter_map(|line| line.strip_prefix("| `"));
    let in_handbook: BTreeSet<_> = rows
        .map(|row| row.split('`').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        in_code, in_handbook,
        "left: src/layers/error.rs; right: docs/src/codes.md"
    );
}

#[test]
fn the_handbook_names_only_metrics_that_there_are() {
    let table = read("src/telemetry/metrics/table.rs");
    for page in ["operations", "codes", "credentials", "security"] {
        let text = read(&format!("docs/src/{page}.md"));
        for (at, prefix) in text.match_indices("bearerd_") {
            let rest = text[at + prefix.len()..].chars();
            let name: String = rest
                .take_while(|c| *c == '_' || c.is_alphanumeric())
                .collect();
            let name = name.strip_suffix("_count").unwrap_or(&name);
            assert!(
                table.contains(&format!("\"bearerd_{name}\"")),
                "{page}.md: bearerd_{name}"
            );
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
