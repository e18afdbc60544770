//! Every key of the file, from the tables that decode it: as Markdown and as a JSON Schema.

use std::collections::BTreeSet;

use super::{
    raw::{CredentialSettings, RawFile},
    table::{Field, Presence, Table, Type, Variant},
};

mod markdown;
mod schema;

pub use markdown::markdown;
pub use schema::schema;

/// Every table that the file's own can lead to, in the order of a first reading.
fn tables(kinds: &'static [Variant]) -> Vec<&'static Table> {
    fn add(table: &'static Table, kinds: &'static [Variant], found: &mut Vec<&'static Table>) {
        if found
            .iter()
            .any(|known| std::ptr::eq(*known, table) || known.name == table.name)
        {
            return;
        }
        found.push(table);
        let mut types: Vec<Type> = table.fields.iter().map(|field| (field.ty)()).collect();
        while let Some(ty) = types.pop() {
            match ty {
                Type::List(inner) | Type::OneOrList(inner) | Type::Map(inner) => types.push(*inner),
                Type::AnyOf(forms) => types.extend(forms),
                Type::Table(table) => add(table, kinds, found),
                Type::Tagged(table) => {
                    add(table, kinds, found);
                    kinds
                        .iter()
                        .for_each(|kind| add((kind.table)(), kinds, found));
                }
                Type::Scalar(..) | Type::Bool | Type::Integer | Type::Words(_) | Type::Any => {}
            }
        }
    }
    let mut found = Vec::new();
    add(RawFile::TABLE, kinds, &mut found);
    found
}

/// Every key of the file, sorted, each once; the user's own names are not among them.
pub fn key_names(kinds: &'static [Variant]) -> Vec<&'static str> {
    let names: BTreeSet<&'static str> = tables(kinds)
        .iter()
        .flat_map(|table| table.fields.iter().map(|field| field.name))
        .chain(kinds.iter().map(|kind| kind.name))
        .collect();
    names.into_iter().collect()
}

/// The doc comment's lines as one text.
fn text(doc: &[&str]) -> String {
    doc.iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether `table` is the one that has a kind besides its own keys.
fn has_kind(table: &Table) -> bool {
    table.name == CredentialSettings::TABLE.name
}

fn required(field: &Field) -> bool {
    field.presence == Presence::Required
}

#[cfg(test)]
mod tests;
