//! YAML text to a [`Node`] tree: the only place that knows the YAML library.
//!
//! The library's own messages are never shown: they can quote a secret.

use std::{collections::HashMap, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Spanned};

use super::{
    decode::Decoder,
    diagnostic::Diagnostic,
    fields::looks_like_a_key,
    node::{Entry, Kind, Node, Scalar},
    span::Span,
};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// Parses `text`; what is wrong goes to `decoder`, duplicate keys all of them.
pub fn parse(text: &str, decoder: &mut Decoder) -> Option<Node> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        decoder.push(Diagnostic::error(Span::default(), message));
        return None;
    }
    match serde_saphyr::from_str_with_options::<Spanned<Shape>>(text, options()) {
        Ok(Spanned {
            value: Shape::Null, ..
        }) => {
            let error = Diagnostic::error(Span::default(), "the file is empty");
            decoder.push(error.hint("a smallest file has `listen:` and `routes:`"));
            None
        }
        Ok(shape) => Some(Builder { text, decoder }.node(shape)),
        Err(error) => {
            decoder.push(explain(&error, text));
            None
        }
    }
}

/// Limits fit for ten thousand rich routes that share one `<<: *defaults`; the library's own defaults refuse a hundred.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        reject_unsupported_tags: true,
        // Found by us, so that all of them are reported, each with its first place.
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        budget: serde_saphyr::budget! {
            // Reading recurses: this fits the stack of a thread that the runtime made, in a debug build too.
            max_depth: 24,
            max_nodes: 4_000_000,
            max_events: 10_000_000,
            max_aliases: 1_000_000,
            max_merge_keys: 1_000_000,
            max_recorded_anchor_events: 250_000,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 8_000_000,
            max_alias_expansions_per_anchor: usize::MAX,
        },
    }
}

/// What the library hands over, before scalars get their source text back.
enum Shape {
    Null,
    /// Taken for a boolean or a number: the source has the spelling, this is for tagged ones.
    Typed(String),
    Text(String),
    List(Vec<Spanned<Shape>>),
    Map(Vec<(Spanned<Shape>, Spanned<Shape>)>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Typed(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Typed(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Typed(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Typed(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Shape, E> {
        Ok(Shape::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Shape::Map(entries))
    }
}

/// Gives scalars their source text back and finds duplicate keys.
struct Builder<'a> {
    text: &'a str,
    decoder: &'a mut Decoder,
}

impl Builder<'_> {
    fn node(&mut self, shape: Spanned<Shape>) -> Node {
        let mut span = span_of(&shape.defined);
        // A block's span reaches into the line after it.
        let source = self.source(span);
        span.end -= (source.len() - source.trim_end().len()) as u32;
        let kind = match shape.value {
            Shape::Null => Kind::Null,
            Shape::Text(text) => Kind::Scalar(Scalar {
                text,
                typed: false,
                filled: false,
            }),
            Shape::Typed(value) => {
                let source = self.source(span).trim();
                let spelled =
                    source.starts_with(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
                let text = if spelled { source.to_owned() } else { value };
                Kind::Scalar(Scalar {
                    text,
                    typed: true,
                    filled: false,
                })
            }
            Shape::List(items) => Kind::List(items.into_iter().map(|i| self.node(i)).collect()),
            Shape::Map(entries) => Kind::Map(self.entries(entries)),
        };
        Node { span, kind }
    }

    fn entries(&mut self, entries: Vec<(Spanned<Shape>, Spanned<Shape>)>) -> Vec<Entry> {
        let mut first: HashMap<String, Span> = HashMap::with_capacity(entries.len());
        let mut kept = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.node(key);
            let Kind::Scalar(Scalar { text: name, .. }) = key.kind else {
                let message = format!("a key must be text, not {}", key.describe());
                self.decoder.push(Diagnostic::error(key.span, message));
                continue;
            };
            let value = self.node(value);
            if let Some(&earlier) = first.get(&name) {
                // A key without a value may be a secret that lost its quotes.
                let quotable = looks_like_a_key(&name) && value.kind != Kind::Null;
                let message = match quotable {
                    true => format!("`{name}` is given twice"),
                    false => "this key is given twice".to_owned(),
                };
                if quotable {
                    self.decoder.marks.show(key.span);
                }
                self.decoder.push(
                    Diagnostic::error(key.span, message)
                        .related(earlier, "first given here")
                        .hint("keep one of the two"),
                );
                continue;
            }
            first.insert(name.clone(), key.span);
            kept.push(Entry {
                key: name,
                key_span: key.span,
                value,
            });
        }
        kept
    }

    fn source(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }
}

fn span_of(location: &serde_saphyr::Location) -> Span {
    let span = location.span();
    let start = span.byte_offset().unwrap_or_default() as usize;
    Span::new(start, start + span.byte_len().unwrap_or_default() as usize)
}

/// Where an error is; the scanner's own errors know line and column only.
fn place_of(location: &serde_saphyr::Location, text: &str) -> Span {
    if location.span().byte_offset().is_some() {
        let span = span_of(location);
        if text.is_char_boundary(span.start as usize) {
            return span;
        }
    }
    let line = (location.line() as usize).saturating_sub(1);
    let column = (location.column() as usize).saturating_sub(1);
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text[before..].lines().next().unwrap_or_default();
    let within: usize = rest.chars().take(column).map(char::len_utf8).sum();
    Span::new(before + within, before + within)
}

/// Our words for what the library found, without any of its text.
fn explain(error: &Error, text: &str) -> Diagnostic {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let span = error
        .location()
        .map(|l| place_of(&l, text))
        .unwrap_or_default();
    let line_start = text[..span.start as usize]
        .rfind('\n')
        .map_or(0, |at| at + 1);
    // A tab is often only noticed at the end of the line before.
    let tab = text[line_start..].lines().take(2).any(|line| {
        line.len() != line.trim_start().len() && line.trim_start_matches(' ').starts_with('\t')
    });
    let (message, hint) = match error {
        Error::MultipleDocuments { .. } => (
            "the file has more than one YAML document",
            "remove the second `---` and what follows",
        ),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => (
            "`<<` can only merge mappings",
            "write `<<: *name`, where `&name` marks a mapping",
        ),
        Error::UnknownAnchor { .. } => (
            "this alias refers to nothing",
            "mark the value that it means with `&name`, above this line",
        ),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            "the file is too large once its aliases are expanded, or nested too deeply",
            "repeat less through aliases",
        ),
        Error::RecursiveReferencesRequireWeakTypes { .. } => (
            "this alias contains itself",
            "refer only to values that are complete above this line",
        ),
        Error::UnsupportedTag { .. } => ("YAML tags have no meaning here", "remove the `!tag`"),
        _ if tab => ("a tab can't indent in YAML", "indent with spaces"),
        _ => (
            "this is not valid YAML",
            "check indentation, quotes and brackets at and above this place; `${NAME}` in braces must be quoted",
        ),
    };
    Diagnostic::error(span, message).hint(hint)
}

#[cfg(test)]
mod tests;
