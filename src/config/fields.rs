//! A mapping of the file read key by key: missing, unknown and not yet available keys.

use std::collections::HashSet;

use super::{
    decode::{Decode, Decoder},
    diagnostic::Diagnostic,
    mask::Marks,
    node::{Entry, Kind, Node},
    span::{Sp, Span},
    table::{Table, Variant},
};

impl Decoder {
    /// Opens the mapping in `node` as `table` describes it; a bare value is its short form.
    pub fn fields<'n>(&mut self, node: &'n Node, table: &'static Table) -> Option<Fields<'n>> {
        let entries = match (&node.kind, table.short) {
            (Kind::Map(entries), _) => entries.iter().map(FieldEntry::from).collect(),
            (Kind::Scalar(_) | Kind::List(_), Some(key)) => {
                vec![FieldEntry {
                    key,
                    key_span: node.span,
                    value: node,
                }]
            }
            _ => {
                let wanted = format!("a mapping with the keys of {}", table.name);
                return self.mismatch(node, &wanted);
            }
        };
        Some(Fields {
            entries,
            taken: HashSet::new(),
            span: node.span,
            table,
            failed: Vec::new(),
        })
    }
}

struct FieldEntry<'n> {
    key: &'n str,
    key_span: Span,
    value: &'n Node,
}

impl<'n> From<&'n Entry> for FieldEntry<'n> {
    fn from(entry: &'n Entry) -> Self {
        Self {
            key: &entry.key,
            key_span: entry.key_span,
            value: &entry.value,
        }
    }
}

/// A mapping that is being read, key by key.
pub struct Fields<'n> {
    entries: Vec<FieldEntry<'n>>,
    taken: HashSet<&'static str>,
    span: Span,
    table: &'static Table,
    failed: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value under `key`, marked as read.
    pub fn take(&mut self, key: &'static str, decoder: &mut Decoder) -> Option<&'n Node> {
        self.taken.insert(key);
        let entry = self.entries.iter().find(|e| e.key == key)?;
        decoder.marks.show(entry.key_span);
        Some(entry.value)
    }

    /// A key that must be there.
    pub fn required<T: Decode>(
        &mut self,
        key: &'static str,
        decoder: &mut Decoder,
    ) -> Option<Sp<T>> {
        match self.take(key, decoder) {
            Some(node) => self.decode(key, node, decoder),
            None => {
                self.failed.push(key);
                // What is there instead may be a way that this version does not have; `finish` says so.
                let gone = |entry: &FieldEntry<'_>| self.table.unavailable.contains(&entry.key);
                if !self.entries.iter().any(gone) {
                    let message = format!("`{key}` is missing in {}", self.table.name);
                    decoder.diagnostics.error(self.span, message);
                }
                None
            }
        }
    }

    /// A key that may be left out. One that is there and wrong counts as left out, besides its diagnostic.
    pub fn optional<T: Decode>(
        &mut self,
        key: &'static str,
        decoder: &mut Decoder,
    ) -> Option<Sp<T>> {
        let node = self.take(key, decoder)?;
        self.decode(key, node, decoder)
    }

    /// A key whose place `default` takes when it is left out (or wrong, besides its diagnostic).
    pub fn defaulted<T: Decode>(
        &mut self,
        key: &'static str,
        default: &'static str,
        decoder: &mut Decoder,
    ) -> Option<Sp<T>> {
        if let Some(value) = self.optional(key, decoder) {
            return Some(value);
        }
        let implied = Node::implied(default, self.span);
        let mut aside = Decoder::default();
        T::decode(&implied, &mut aside).map(|value| Sp::new(value, self.span))
    }

    fn decode<T: Decode>(
        &mut self,
        key: &'static str,
        node: &Node,
        decoder: &mut Decoder,
    ) -> Option<Sp<T>> {
        let value = T::decode(node, decoder);
        if value.is_none() {
            self.failed.push(key);
        }
        value.map(|value| Sp::new(value, node.span))
    }

    /// The one key of `kinds` that must be there, with what is under it.
    pub fn one_of(
        &mut self,
        kinds: &'static [Variant],
        decoder: &mut Decoder,
    ) -> Option<(&'static Variant, Span, &'n Node)> {
        let mut found: Option<(&'static Variant, Span, &'n Node)> = None;
        for kind in kinds {
            let Some(node) = self.take(kind.name, decoder) else {
                continue;
            };
            let span = self
                .entries
                .iter()
                .find(|e| e.key == kind.name)
                .map_or(self.span, |e| e.key_span);
            if let Some((other, earlier, _)) = found {
                decoder.push(
                    Diagnostic::error(
                        span,
                        format!(
                            "{} has two kinds, `{}` and `{}`",
                            self.table.name, other.name, kind.name
                        ),
                    )
                    .related(earlier, "the other one")
                    .hint("keep one of the two"),
                );
                return None;
            }
            found = Some((kind, span, node));
        }
        // A kind that is misspelled or not built yet is reported by `finish`, in better words.
        let stray = self.entries.iter().any(|e| !self.knows(e.key));
        if found.is_none() && !stray {
            let names: Vec<&str> = kinds.iter().map(|k| k.name).collect();
            decoder.push(
                Diagnostic::error(self.span, format!("{} has no kind", self.table.name))
                    .hint(format!("give it one of the keys `{}`", names.join("`, `"))),
            );
        }
        found
    }

    /// Reports the keys that nobody asked for; returns the names of keys that could not be read.
    pub fn finish(self, decoder: &mut Decoder) -> Vec<&'static str> {
        for entry in &self.entries {
            let extension = self
                .table
                .extensions
                .is_some_and(|start| entry.key.starts_with(start));
            if extension || self.taken.contains(entry.key) {
                continue;
            }
            if let Some(name) = self
                .table
                .unavailable
                .iter()
                .find(|name| **name == entry.key)
            {
                decoder.marks.show(entry.key_span);
                decoder.push(
                    Diagnostic::error(
                        entry.key_span,
                        format!("`{name}` is not available in this version"),
                    )
                    .hint("the key is right, but this build can't do it yet; remove it"),
                );
                continue;
            }
            let unknown = self.unknown(entry, &mut decoder.marks);
            decoder.push(unknown);
        }
        self.failed
    }

    fn unknown(&self, entry: &FieldEntry<'_>, marks: &mut Marks) -> Diagnostic {
        let mut known: Vec<&str> = self.taken.iter().copied().collect();
        known.sort_unstable();
        // A key without a value may be a secret that lost its quotes, as in `{ hunter2 }`.
        if entry.value.kind == Kind::Null || !looks_like_a_key(entry.key) {
            let message = format!("this is no key of {}", self.table.name);
            return Diagnostic::error(entry.key_span, message)
                .hint(format!("its keys are `{}`", known.join("`, `")));
        }
        marks.show(entry.key_span);
        let message = format!("unknown key `{}` in {}", entry.key, self.table.name);
        Diagnostic::error(entry.key_span, message).suggest(entry.key, known)
    }

    fn knows(&self, key: &str) -> bool {
        self.taken.contains(key) || self.table.fields.iter().any(|f| f.name == key)
    }
}

/// Whether a key may be quoted in a message: secrets that stand in its place rarely look so.
pub(super) fn looks_like_a_key(key: &str) -> bool {
    key.len() <= 40
        && key
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || b"_-.".contains(&b))
}
