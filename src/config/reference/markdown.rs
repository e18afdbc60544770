//! The reference of every key, for people.

use std::fmt::Write;

use super::{has_kind, tables, text};
use crate::config::table::{Field, Presence, Table, Type, Variant};

/// The reference of every key as Markdown.
pub fn markdown(kinds: &'static [Variant]) -> String {
    let mut out = String::from(
        "# Every key of routes.yaml\n\n\
         Generated from the types that read the file. Durations are written `250ms`, `30s`, `5m`, `1h`; sizes `64KiB`, `1MiB`. \
         Every value may hold `${NAME}` or `${NAME:-default}`; a literal `$` before `{` is `$$`. \
         Top-level keys that begin with `x-` are left alone: a place for YAML anchors.\n",
    );
    for table in tables(kinds) {
        section(&mut out, table, kinds);
    }
    out
}

fn section(out: &mut String, table: &Table, kinds: &'static [Variant]) {
    // Writing to a String can't fail.
    let _ = write!(out, "\n## {}\n\n{}\n", table.name, text(table.doc));
    if let Some(short) = table.short {
        let _ = write!(out, "\nShort form: a bare value stands for `{short}`.\n");
    }
    if has_kind(table) {
        out.push_str("\nExactly one of these keys is its kind:\n\n");
        for kind in kinds {
            let kind_table = (kind.table)();
            let _ = writeln!(
                out,
                "* `{}`: {} See {}.",
                kind.name,
                text(kind_table.doc),
                link(kind_table)
            );
        }
    }
    out.push_str("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for field in table.fields {
        row(out, field);
    }
    if !table.unavailable.is_empty() {
        let _ = write!(
            out,
            "\nNot available in this version: `{}`.\n",
            table.unavailable.join("`, `")
        );
    }
}

fn row(out: &mut String, field: &Field) {
    let default = match field.presence {
        Presence::Required => "**required**".to_owned(),
        Presence::Optional => String::new(),
        Presence::Default(value) => format!("`{value}`"),
    };
    let ty = describe(&(field.ty)());
    let meaning = text(field.doc).replace('|', "\\|");
    let _ = writeln!(out, "| `{}` | {ty} | {default} | {meaning} |", field.name);
}

fn describe(ty: &Type) -> String {
    match ty {
        Type::Scalar(name, _) => (*name).to_owned(),
        Type::Any => "anything".into(),
        Type::Bool => "`true` or `false`".into(),
        Type::Integer => "number".into(),
        Type::Words(words) => format!("`{}`", words.join("`, `")),
        Type::List(item) => format!("list of: {}", describe(item)),
        Type::OneOrList(item) => format!("one or a list of: {}", describe(item)),
        Type::Map(value) => format!("mapping from names to: {}", describe(value)),
        Type::Table(table) | Type::Tagged(table) => link(table),
        Type::AnyOf(forms) => forms.iter().map(describe).collect::<Vec<_>>().join(" or "),
    }
}

fn link(table: &Table) -> String {
    format!(
        "[{}](#{})",
        table.name,
        table.name.to_lowercase().replace(' ', "-").replace('`', "")
    )
}
