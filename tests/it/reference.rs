//! The handbook says what the code does: keys, codes, names of metrics.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bearerd::{
    config::reference,
    credentials::{grants::KINDS, presets::PRESETS},
};

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
    for page in [
        "operations",
        "codes",
        "credentials",
        "listeners",
        "security",
    ] {
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

#[test]
fn the_handbook_has_every_command() {
    let program = env!("CARGO_BIN_EXE_bearerd");
    let help = Command::new(program).arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, rest) = help.split_once("Commands:\n").expect("commands");
    let (commands, _) = rest.split_once("\n\n").expect("more than commands");
    // What goes on below is indented further.
    let names = commands.lines().filter_map(|line| line.strip_prefix("  "));
    let names: Vec<_> = names.filter(|line| !line.starts_with(' ')).collect();
    assert!(names.len() > 5, "{help}");
    let handbook = read("docs/src/operations.md");
    for name in names.iter().filter_map(|line| line.split(' ').next()) {
        let there = [' ', '`'].map(|next| handbook.contains(&format!("\n| `bearerd {name}{next}")));
        assert!(name == "help" || there.contains(&true), "{name}");
    }
}

#[test]
fn the_handbook_has_every_preset_and_no_other() {
    let handbook = read("docs/src/presets.md");
    let (_, rest) = handbook.split_once("| preset | what it does |").unwrap();
    let (table, _) = rest.split_once("\n\n").expect("the end of the table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let in_handbook: BTreeSet<_> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let in_code: BTreeSet<_> = PRESETS.iter().map(|preset| preset.name).collect();
    assert_eq!(in_code, in_handbook);
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
