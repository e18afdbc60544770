use super::*;

const NO_KINDS: &[Variant] = &[];

#[test]
fn reference_and_schema_name_every_key() {
    let markdown = markdown(NO_KINDS);
    let schema = schema(NO_KINDS);
    let defs = schema["$defs"].as_object().unwrap();
    for table in tables(NO_KINDS) {
        assert!(
            markdown.contains(&format!("\n## {}\n", table.name)),
            "{}",
            table.name
        );
        let def = &defs[&table.name.replace(' ', "_")];
        let properties = def
            .get("properties")
            .unwrap_or(&def["anyOf"][1]["properties"]);
        for field in table.fields {
            assert!(
                markdown.contains(&format!("| `{}` |", field.name)),
                "{}",
                field.name
            );
            assert!(
                properties.get(field.name).is_some(),
                "{} in {}",
                field.name,
                table.name
            );
            assert!(!text(field.doc).is_empty(), "{} has no words", field.name);
        }
    }
}

#[test]
fn every_reference_within_the_schema_leads_somewhere() {
    let schema = schema(NO_KINDS);
    let text = schema.to_string();
    for target in text
        .split("\"#/$defs/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        assert!(schema["$defs"].get(target).is_some(), "{target}");
    }
}

#[test]
fn every_default_can_be_read() {
    use crate::config::{Decode, Decoder, Node, Span};
    for table in tables(NO_KINDS) {
        for field in table.fields {
            if let Presence::Default(default) = field.presence {
                let node = Node::implied(default, Span::default());
                let mut decoder = Decoder::default();
                let read = match (field.ty)() {
                    Type::Bool => bool::decode(&node, &mut decoder).is_some(),
                    Type::Integer => u64::decode(&node, &mut decoder).is_some(),
                    Type::Words(words) => words.contains(&default),
                    Type::Scalar("duration", _) => {
                        std::time::Duration::decode(&node, &mut decoder).is_some()
                    }
                    _ => true,
                };
                assert!(read, "{} of {}", field.name, table.name);
            }
        }
    }
}
