//! JSON on both ways: a body with templates at its leaves, and what an answer holds.

use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::template::{Place, Scope, Template, TemplateFault, Values, is_template};
use crate::{
    clock,
    config::{
        Span,
        node::{Kind, Node, Scalar},
    },
    credentials::token_json,
};

/// What is wrong with texts, and where they stand.
pub(super) type Faults = Vec<(TemplateFault, Span)>;

/// A JSON value whose texts are templates.
#[derive(Debug)]
pub(super) enum Shape {
    Fixed(Value),
    Text(Box<Template>),
    /// Seconds since 1970, this far from now.
    Time(i64),
    List(Vec<Shape>),
    Map(Vec<(String, Shape)>),
}

impl Shape {
    /// With `times`, `{ in: 240s }` and `{ ago: 60s }` are moments, as JWTs want them. What can't be used is told in
    /// `faults`, and nothing stands in its place.
    pub(super) fn new(node: &Node, scope: &Scope, times: bool, faults: &mut Faults) -> Self {
        match &node.kind {
            Kind::Null | Kind::Faulty => Self::Fixed(Value::Null),
            Kind::Scalar(scalar) => match fixed(scalar) {
                Some(value) => Self::Fixed(value),
                None => match Template::new(&scalar.text, Place::Text, scope) {
                    Ok(template) => Self::Text(Box::new(template)),
                    Err(fault) => {
                        faults.push((fault, node.span));
                        Self::Fixed(Value::Null)
                    }
                },
            },
            Kind::List(items) => {
                let items = items
                    .iter()
                    .map(|item| Self::new(item, scope, times, faults));
                Self::List(items.collect())
            }
            Kind::Map(entries) => {
                if times && let Some(time) = moment(node) {
                    return Self::Time(time);
                }
                let members = entries.iter().map(|entry| {
                    if is_template(&entry.key) {
                        faults.push((TemplateFault::Name, entry.key_span));
                    }
                    (
                        entry.key.clone(),
                        Self::new(&entry.value, scope, times, faults),
                    )
                });
                Self::Map(members.collect())
            }
        }
    }

    /// The texts, each with the name of the member that it stands in.
    pub(super) fn leaves<'a>(&'a self, name: &'a str, found: &mut Vec<(&'a str, &'a Template)>) {
        match self {
            Self::Fixed(_) | Self::Time(_) => {}
            Self::Text(template) => found.push((name, template)),
            Self::List(items) => items.iter().for_each(|item| item.leaves(name, found)),
            Self::Map(members) => members
                .iter()
                .for_each(|(name, member)| member.leaves(name, found)),
        }
    }

    /// Filled in; `None` where a value is absent.
    pub(super) fn render(&self, values: &Values) -> Option<Value> {
        Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.render(values)?.to_string()),
            Self::Time(from_now) => {
                let now = i64::try_from(clock::unix_time().as_secs()).unwrap_or(i64::MAX);
                Value::from(now.saturating_add(*from_now))
            }
            Self::List(items) => {
                let items: Option<_> = items.iter().map(|item| item.render(values)).collect();
                Value::Array(items?)
            }
            Self::Map(_) => Value::Object(self.members(values)?),
        })
    }

    /// The members of an object.
    pub(super) fn members(&self, values: &Values) -> Option<Map<String, Value>> {
        let Self::Map(members) = self else {
            return None;
        };
        let members = members
            .iter()
            .map(|(name, member)| Some((name.clone(), member.render(values)?)));
        members.collect()
    }

    /// As text, in the order of the file.
    pub(super) fn write(&self, values: &Values, out: &mut Zeroizing<String>) -> Option<()> {
        match self {
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write(values, out)?;
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (at, (name, member)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push(':');
                    member.write(values, out)?;
                }
                out.push('}');
            }
            leaf => {
                let mut value = Parsed(leaf.render(values)?);
                out.push_str(&Zeroizing::new(value.0.to_string()));
                value.wipe();
            }
        }
        Some(())
    }
}

/// A number or boolean of the file stays one.
fn fixed(scalar: &Scalar) -> Option<Value> {
    if !scalar.typed {
        return None;
    }
    match scalar.text.as_str() {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        text => serde_json::from_str(text).ok().filter(Value::is_number),
    }
}

fn moment(node: &Node) -> Option<i64> {
    let Kind::Map(entries) = &node.kind else {
        return None;
    };
    let [only] = entries.as_slice() else {
        return None;
    };
    let Kind::Scalar(scalar) = &only.value.kind else {
        return None;
    };
    let duration = crate::config::scalars::parse_duration(&scalar.text)?;
    let seconds = i64::try_from(duration.as_secs()).ok()?;
    match only.key.as_str() {
        "in" => Some(seconds),
        "ago" => Some(-seconds),
        _ => None,
    }
}

/// An answer's JSON, wiped when dropped as far as its texts go.
pub(super) struct Parsed(Value);

impl Parsed {
    /// Reads a body, forgiving a byte order mark (RFC 8259 8.1) and a comma before a closing bracket.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        let parsed = serde_json::from_slice(body).or_else(|_| {
            let lenient = token_json::without_trailing_commas(body);
            serde_json::from_slice(&lenient)
        });
        parsed.ok().map(Self)
    }

    /// What stands at `pointer` (RFC 6901), as text; null is absent, a list of texts one text.
    pub(super) fn text(&self, pointer: &str) -> Option<Zeroizing<String>> {
        text(&self.0, pointer)
    }

    /// What stands at `pointer` in the only entry of the list at `list` that `is_it`, which gets each entry's texts.
    pub(super) fn text_of_entry(
        &self,
        list: &str,
        pointer: &str,
        is_it: impl Fn(&dyn Fn(&str) -> Option<Zeroizing<String>>) -> bool,
    ) -> Option<Zeroizing<String>> {
        let entries = self.0.pointer(list)?.as_array()?.iter();
        let mut found = entries.filter(|entry| is_it(&|pointer| text(entry, pointer)));
        match (found.next(), found.next()) {
            (Some(only), None) => text(only, pointer),
            _ => None,
        }
    }

    fn wipe(&mut self) {
        fn wipe(value: &mut Value) {
            match value {
                Value::String(text) => text.zeroize(),
                Value::Array(items) => items.iter_mut().for_each(wipe),
                Value::Object(members) => members.values_mut().for_each(wipe),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        wipe(&mut self.0);
    }
}

fn text(value: &Value, pointer: &str) -> Option<Zeroizing<String>> {
    let text = match value.pointer(pointer)? {
        Value::Null | Value::Object(_) => return None,
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            items?.join(" ")
        }
    };
    Some(Zeroizing::new(text))
}

impl Drop for Parsed {
    fn drop(&mut self) {
        self.wipe();
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
