//! Parameters put into a preset's tree: `$(name)`, `if:` and `unless:`.

use super::parameters::Parameters;
use crate::config::{
    diagnostic::Diagnostic,
    node::{Entry, Kind, Node, Scalar},
    span::Span,
};

/// Fills one tree; everything that it makes stands where the preset is used.
pub(super) struct Filler<'p> {
    parameters: &'p Parameters,
    span: Span,
    pub(super) problems: Vec<Diagnostic>,
}

/// What a scalar became.
enum Filled {
    /// Where it has a part that the user wrote, what is wrong with it is shown there.
    Text(String, Span),
    /// All of it was one parameter: the user's own node, at its own place.
    Whole(Node),
    /// It names a parameter that is absent.
    Absent,
}

impl<'p> Filler<'p> {
    pub(super) fn new(parameters: &'p Parameters, span: Span) -> Self {
        Self {
            parameters,
            span,
            problems: Vec::new(),
        }
    }

    /// The tree with its parameters; none where a condition or an absent parameter takes it away.
    pub(super) fn fill(&mut self, node: &Node) -> Option<Node> {
        let kind = match &node.kind {
            Kind::Null | Kind::Faulty => node.kind.clone(),
            Kind::Scalar(scalar) => match self.text(&scalar.text) {
                Filled::Whole(node) => return Some(node),
                Filled::Absent => return None,
                Filled::Text(text, span) => {
                    let scalar = Scalar {
                        text,
                        typed: scalar.typed,
                        // A constant of the preset is no secret in the user's file.
                        filled: true,
                    };
                    return Some(Node {
                        span,
                        kind: Kind::Scalar(scalar),
                    });
                }
            },
            Kind::List(items) => {
                Kind::List(items.iter().filter_map(|item| self.fill(item)).collect())
            }
            Kind::Map(entries) => {
                let conditions = entries.iter().filter(|entry| is_condition(entry));
                let conditional = conditions.clone().next().is_some();
                let mut held = true;
                for condition in conditions {
                    held &= self.holds(&condition.value) == (condition.key == IF);
                }
                let other = entries.iter().find(|entry| entry.key == ELSE);
                if !held {
                    return self.fill(&other?.value);
                }
                let rest = entries
                    .iter()
                    .filter(|entry| !is_condition(entry) && (!conditional || entry.key != ELSE));
                let rest: Vec<Entry> = rest.filter_map(|entry| self.entry(entry)).collect();
                // `{ if: x, value: y, else: z }` is y where x is given, and z where it is not.
                if conditional
                    && let [only] = rest.as_slice()
                    && only.key == VALUE
                {
                    return Some(only.value.clone());
                }
                // Its `value` was an absent parameter.
                if conditional && rest.is_empty() {
                    return None;
                }
                Kind::Map(rest)
            }
        };
        Some(Node {
            span: self.span,
            kind,
        })
    }

    fn entry(&mut self, entry: &Entry) -> Option<Entry> {
        let Filled::Text(key, _) = self.text(&entry.key) else {
            // A key that is one parameter and nothing else.
            let name = only_name(&entry.key)?;
            let Kind::Scalar(scalar) = &self.parameters.get(name)?.kind else {
                return None;
            };
            return Some(Entry {
                key: scalar.text.clone(),
                key_span: self.span,
                value: self.fill(&entry.value)?,
            });
        };
        Some(Entry {
            key,
            key_span: self.span,
            value: self.fill(&entry.value)?,
        })
    }

    fn text(&mut self, text: &str) -> Filled {
        if let Some(name) = only_name(text) {
            return match self.parameters.get(name) {
                Some(node) => Filled::Whole(node.clone()),
                None => Filled::Absent,
            };
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut span = self.span;
        while let Some((before, name, after)) = next_name(rest) {
            out.push_str(before);
            let Some(given) = self.parameters.get(name) else {
                return Filled::Absent;
            };
            let Some(value) = flat(given) else {
                let message = format!("`{name}` becomes a part of a text here");
                let hint = "write it as text; `${NAME}` takes it from an environment variable";
                self.problems
                    .push(Diagnostic::error(given.span, message).hint(hint));
                return Filled::Absent;
            };
            if span == self.span {
                span = given.span;
            }
            // `https://host/` and `https://host` are the same base.
            let value = match after.starts_with('/') {
                true => value.trim_end_matches('/'),
                false => value.as_str(),
            };
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Filled::Text(out, span)
    }

    /// `name`, a list of names that all are given, or a mapping from names to what they must be.
    fn holds(&self, condition: &Node) -> bool {
        match &condition.kind {
            Kind::Scalar(name) => self.parameters.get(&name.text).is_some(),
            Kind::List(names) => names.iter().all(|name| self.holds(name)),
            Kind::Map(wanted) => wanted.iter().all(|entry| {
                let is = self.parameters.get(&entry.key).and_then(flat);
                let is_it = |one: &Node| flat(one).is_some_and(|one| Some(one) == is);
                match &entry.value.kind {
                    Kind::List(words) => words.iter().any(is_it),
                    _ => is_it(&entry.value),
                }
            }),
            Kind::Null | Kind::Faulty => false,
        }
    }
}

/// The names of parameters in `node`.
pub(super) fn names(node: &Node, into: &mut Vec<String>) {
    node.visit(&mut |node| {
        if let Kind::Scalar(scalar) = &node.kind {
            let mut rest = scalar.text.as_str();
            while let Some((_, name, after)) = next_name(rest) {
                into.push(name.to_owned());
                rest = after;
            }
        }
    });
}

/// A scalar's text, or a list of them as one text.
fn flat(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Scalar(scalar) => Some(scalar.text.clone()),
        Kind::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(flat).collect();
            Some(items?.join(" "))
        }
        Kind::Null | Kind::Faulty | Kind::Map(_) => None,
    }
}

fn is_condition(entry: &Entry) -> bool {
    entry.key == IF || entry.key == UNLESS
}

/// What stands before the first `$(name)`, the name, and what stands after it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("$(")?;
    let (name, after) = rest.split_once(')')?;
    Some((before, name, after))
}

fn only_name(text: &str) -> Option<&str> {
    match next_name(text)? {
        ("", name, "") => Some(name),
        _ => None,
    }
}

const IF: &str = "if";
const UNLESS: &str = "unless";
const ELSE: &str = "else";
const VALUE: &str = "value";
