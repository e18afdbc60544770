//! The file as an untyped tree: every key and value with its place, every scalar as it was spelled.

use super::span::Span;

/// One value of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands. A mapping or list spans only where it begins.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// The shapes a value can have.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: `key:` alone, `~` or `null`.
    Null,
    /// Something that was wrong and has its diagnostic already: nobody reports it again.
    Faulty,
    /// Text, or what YAML would take for a number or a boolean.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the file's order; merge keys are already resolved.
    Map(Vec<Entry>),
}

/// A scalar as it was spelled: `0123` and `1.10` stay so.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, unquoted and with variables filled in.
    pub text: String,
    /// Whether YAML may take it for a number or a boolean: not quoted, or filled in from a variable.
    pub typed: bool,
    /// Whether a variable was filled in.
    pub filled: bool,
}

/// A key and its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// A plain scalar that stands for a default written nowhere but in our tables.
    pub(crate) fn implied(text: &str, span: Span) -> Self {
        let scalar = Scalar {
            text: text.to_owned(),
            typed: true,
            filled: false,
        };
        Self {
            span,
            kind: Kind::Scalar(scalar),
        }
    }

    /// What a person would call it.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null | Kind::Faulty => "nothing",
            Kind::Scalar(scalar) => match scalar.text.as_str() {
                _ if !scalar.typed => "text",
                "true" | "false" => "a boolean",
                text if text.parse::<f64>().is_ok() => "a number",
                _ => "text",
            },
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The value under `key`, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// Calls `f` with this node and all below it.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Node)) {
        f(self);
        match &self.kind {
            Kind::List(items) => items.iter().for_each(|item| item.visit(f)),
            Kind::Map(entries) => entries.iter().for_each(|entry| entry.value.visit(f)),
            Kind::Null | Kind::Faulty | Kind::Scalar(_) => {}
        }
    }
}

/// Shows the shape only: a scalar may be a secret.
impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("span", &self.span)
            .field("kind", &self.kind)
            .finish()
    }
}

/// Shows the shape only: a scalar may be a secret.
impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Faulty => f.write_str("Faulty"),
            Self::Scalar(_) => f.write_str("Scalar(****)"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|e| (&e.key, &e.value)))
                .finish(),
        }
    }
}
