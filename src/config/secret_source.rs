//! Where a secret comes from: an environment variable, a file, a program, or (with a warning) the file itself.
//!
//! Decoding does no I/O; [`SecretSource::resolve`] does all of it.

use std::path::PathBuf;

use super::{
    decode::{Decode, Decoder},
    diagnostic::{Diagnostic, nearest},
    node::{Kind, Node},
    span::Sp,
    table::{Field, Presence, Table, Type},
};
use crate::secret::Secret;

mod resolve;

pub use resolve::{Resolver, SecretError, read_file};

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Written in the file.
    Literal(Secret),
    /// The environment variable of this name.
    Env(String),
    /// A file, without the line break at its end; relative to the configuration file.
    File(PathBuf),
    /// What this program prints, without the line break at its end.
    Exec(Vec<String>),
}

const KEYS: [&str; 3] = ["env", "file", "exec"];

/// The long form's keys, for the reference and the schema.
static TABLE: Table = Table {
    name: "a secret",
    doc: &[" Exactly one of these keys."],
    fields: &[
        Field {
            name: "env",
            doc: &[" The name of the environment variable that holds it."],
            presence: Presence::Optional,
            ty: String::ty,
        },
        Field {
            name: "file",
            doc: &[
                " The file that holds it, without the line break at its end; read again when it changes.",
            ],
            presence: Presence::Optional,
            ty: PathBuf::ty,
        },
        Field {
            name: "exec",
            doc: &[" The program (and its arguments) that prints it within 10 s."],
            presence: Presence::Optional,
            ty: Vec::<Sp<String>>::ty,
        },
    ],
    short: None,
    unavailable: &["vault"],
    extensions: None,
};

impl Decode for SecretSource {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let hint = "write `{ env: NAME }`, `{ file: /path }` or `{ exec: [program, argument] }`";
        match &node.kind {
            Kind::Scalar(scalar) => {
                decoder.marks.hide(node.span);
                if scalar.text.is_empty() {
                    return decoder.fail(node.span, "this secret is empty");
                }
                if !scalar.filled {
                    let warning =
                        Diagnostic::warning(node.span, "this secret is written in the file itself");
                    decoder.push(warning.hint(hint));
                }
                Some(Self::Literal(Secret::new(scalar.text.clone())))
            }
            Kind::Map(entries) => {
                // Keys that are none of ours may be secrets themselves: none is quoted or shown.
                let [entry] = entries.as_slice() else {
                    decoder.push(
                        Diagnostic::error(node.span, "a secret has exactly one source").hint(hint),
                    );
                    return None;
                };
                let Some(key) = KEYS.into_iter().find(|key| *key == entry.key) else {
                    decoder.push(unknown(&entry.key, entry.key_span, hint));
                    return None;
                };
                decoder.marks.show(entry.key_span);
                Self::decode_long(key, &entry.value, decoder)
            }
            Kind::Faulty => None,
            Kind::Null => {
                decoder.push(
                    Diagnostic::error(node.span, "expected a secret, found nothing").hint(hint),
                );
                None
            }
            Kind::List(_) => {
                decoder.push(
                    Diagnostic::error(node.span, "expected a secret, found a list").hint(hint),
                );
                None
            }
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Table(&TABLE),
            Type::Scalar("literal secret (warned about)", None),
        ])
    }
}

impl SecretSource {
    /// Whether it stands in the configuration itself.
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    fn decode_long(key: &str, node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match key {
            "env" => {
                // A secret put here by mistake must not show: only what looks like a variable's name does.
                let text = &decoder
                    .hidden_scalar(node, "the name of an environment variable")?
                    .text;
                let name_like = text
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
                if name_like && !text.is_empty() {
                    decoder.marks.show(node.span);
                }
                if text.is_empty() || text.contains(['=', '\0']) {
                    return decoder.fail(node.span, "this is no name of an environment variable");
                }
                Some(Self::Env(text.clone()))
            }
            "file" => PathBuf::decode(node, decoder).map(Self::File),
            _ => {
                let Kind::List(items) = &node.kind else {
                    let error = Diagnostic::error(
                        node.span,
                        format!("expected a list, found {}", node.describe()),
                    );
                    decoder.push(error.hint(
                        "write the program and its arguments as a list; no shell is involved",
                    ));
                    return None;
                };
                // Arguments stay masked: people pass secrets there.
                let mut command = Vec::with_capacity(items.len());
                for item in items {
                    command.push(decoder.hidden_scalar(item, "an argument")?.text.clone());
                }
                if command.first().is_none_or(String::is_empty) {
                    return decoder.fail(node.span, "there is no program to run");
                }
                Some(Self::Exec(command))
            }
        }
    }
}

fn unknown(key: &str, span: super::span::Span, hint: &str) -> Diagnostic {
    let error = Diagnostic::error(span, "this is no source of a secret");
    match nearest(key, KEYS) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if key == "vault" => {
            Diagnostic::error(span, "`vault` is not available in this version").hint(hint)
        }
        None => error.hint(hint),
    }
}
