//! The JSON Schema (draft 2020-12) of the file, for completion in editors.

use serde_json::{Map, Value, json};

use super::{has_kind, required, tables, text};
use crate::config::{
    raw::RawFile,
    table::{Field, Presence, Table, Type, Variant},
};

/// The schema of the file.
pub fn schema(kinds: &'static [Variant]) -> Value {
    let defs: Map<String, Value> = tables(kinds)
        .into_iter()
        .map(|table| (slug(table), definition(table, kinds)))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:bearerd:routes.yaml",
        "title": "routes.yaml of bearerd",
        "$ref": reference(RawFile::TABLE),
        "$defs": defs,
    })
}

fn definition(table: &'static Table, kinds: &'static [Variant]) -> Value {
    let mut properties: Map<String, Value> = table
        .fields
        .iter()
        .map(|field| (field.name.to_owned(), property(field)))
        .collect();
    let needed: Vec<&str> = table
        .fields
        .iter()
        .filter(|f| required(f))
        .map(|f| f.name)
        .collect();
    let mut one_of = Vec::new();
    if has_kind(table) {
        for kind in kinds {
            properties.insert(
                kind.name.to_owned(),
                json!({ "$ref": reference((kind.table)()) }),
            );
            one_of.push(json!({ "required": [kind.name] }));
        }
    }
    let mut object = json!({
        "type": "object",
        "description": text(table.doc),
        "properties": properties,
        "additionalProperties": false,
    });
    if !needed.is_empty() {
        object["required"] = json!(needed);
    }
    if !one_of.is_empty() {
        object["oneOf"] = json!(one_of);
    }
    if let Some(start) = table.extensions {
        object["patternProperties"] = json!({ format!("^{start}"): true });
    }
    let short = table
        .short
        .and_then(|key| table.fields.iter().find(|field| field.name == key));
    match short {
        Some(field) => json!({ "anyOf": [value(&(field.ty)()), object] }),
        None => object,
    }
}

fn property(field: &Field) -> Value {
    let mut property = value(&(field.ty)());
    property["description"] = json!(text(field.doc));
    if let Presence::Default(default) = field.presence {
        property["default"] = match default {
            "true" => json!(true),
            "false" => json!(false),
            text => text
                .parse::<u64>()
                .map_or_else(|_| json!(text), |number| json!(number)),
        };
    }
    property
}

fn value(ty: &Type) -> Value {
    match ty {
        Type::Scalar(_, Some(pattern)) => {
            json!({ "anyOf": [{ "type": "string", "pattern": pattern }, { "type": "number" }] })
        }
        // `1.10` is text to us where text is wanted, a number to an editor.
        Type::Scalar(_, None) => json!({ "type": ["string", "number", "boolean"] }),
        Type::Bool => json!({ "anyOf": [{ "type": "boolean" }, variable()] }),
        Type::Any => json!({}),
        Type::Integer => json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, variable()] }),
        Type::Words(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
        Type::List(item) => json!({ "type": "array", "items": value(item) }),
        Type::OneOrList(item) => {
            json!({ "anyOf": [value(item), { "type": "array", "items": value(item) }] })
        }
        Type::Map(item) => json!({ "type": "object", "additionalProperties": value(item) }),
        Type::Table(table) | Type::Tagged(table) => json!({ "$ref": reference(table) }),
        Type::AnyOf(forms) => json!({ "anyOf": forms.iter().map(value).collect::<Vec<_>>() }),
    }
}

/// A value that a variable fills in.
fn variable() -> Value {
    json!({ "type": "string", "pattern": r"\$\{" })
}

fn reference(table: &Table) -> String {
    format!("#/$defs/{}", slug(table))
}

fn slug(table: &Table) -> String {
    table.name.replace(' ', "_")
}
