//! A text with values of earlier steps in it: strict, and each value encoded for its place.

use std::{collections::BTreeMap, fmt};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, value::ValueKind,
};
use zeroize::Zeroizing;

use crate::{percent, secret::Secret};

/// A compiled template.
pub(super) struct Template {
    environment: Environment<'static>,
    /// What it names: a text, or a part of a step or link.
    reads: Vec<(String, Option<String>)>,
}

/// What the values are encoded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// As they are; whoever uses the text encodes it.
    Text,
    /// Part of one segment of a URL's path: never empty.
    Path,
    /// Part of a URL's query.
    Query,
}

/// The names that templates may use, and what each holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope(pub(super) BTreeMap<String, Holds>);

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A text.
    Text,
    /// Texts by name; `None` where their names are not known beforehand.
    Parts(Option<Vec<String>>),
}

/// Why a template can't be used; quotes nothing of it, as a secret may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateFault {
    #[error("this template can't be read")]
    Syntax,
    #[error("the template names something that is not there")]
    Unknown,
}

/// The values of one run.
#[derive(Default)]
pub(super) struct Values {
    pub(super) texts: BTreeMap<String, Secret>,
    pub(super) parts: BTreeMap<String, BTreeMap<String, Secret>>,
}

impl Template {
    pub(super) fn new(source: &str, place: Place, scope: &Scope) -> Result<Self, TemplateFault> {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(move |out, _, value| {
            let text = text(value)?;
            match place {
                Place::Text => out.write_str(&text).map_err(Error::from),
                Place::Path if text.is_empty() => Err(ErrorKind::InvalidOperation.into()),
                Place::Path | Place::Query => {
                    let mut encoded = Zeroizing::new(String::new());
                    percent::encode(&text, &mut encoded);
                    out.write_str(&encoded).map_err(Error::from)
                }
            }
        });
        environment.add_filter("lower", |text: String| text.to_lowercase());
        environment.add_filter("upper", |text: String| text.to_uppercase());
        environment.add_filter("trim", |text: String| text.trim().to_owned());
        environment.add_filter("base64", base64);
        environment.add_test("defined", |value: Value| !value.is_undefined());
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|_| TemplateFault::Syntax)?;
        let template = environment.get_template(NAME).expect("it was just added");
        let mut reads = Vec::new();
        for name in template.undeclared_variables(true) {
            let (top, part) = match name.split_once('.') {
                Some((top, part)) => (top, part.split('.').next().map(str::to_owned)),
                None => (name.as_str(), None),
            };
            let known = match (scope.0.get(top), &part) {
                (Some(Holds::Text), None) | (Some(Holds::Parts(_)), None) => true,
                (Some(Holds::Parts(None)), Some(_)) => true,
                (Some(Holds::Parts(Some(parts))), Some(part)) => parts.contains(part),
                _ => false,
            };
            if !known {
                return Err(TemplateFault::Unknown);
            }
            reads.push((top.to_owned(), part));
        }
        reads.sort_unstable();
        Ok(Self { environment, reads })
    }

    /// The names that it uses, without their parts.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.reads.iter().map(|(name, _)| name.as_str())
    }

    /// Whether all that it names has a value.
    pub(super) fn is_ready(&self, values: &Values) -> bool {
        self.reads.iter().all(|(name, part)| match part {
            Some(part) => {
                let parts = values.parts.get(name);
                parts.is_some_and(|parts| parts.contains_key(part))
            }
            None => values.texts.contains_key(name) || values.parts.contains_key(name),
        })
    }

    /// The text; `None` where a value is absent or unfit for its place.
    pub(super) fn render(&self, values: &Values) -> Option<Zeroizing<String>> {
        let mut context: BTreeMap<&str, Value> = BTreeMap::new();
        for (name, _) in &self.reads {
            if let Some(text) = values.texts.get(name) {
                context.insert(name, Value::from(text.expose()));
            } else if let Some(parts) = values.parts.get(name) {
                let parts = parts
                    .iter()
                    .map(|(name, text)| (name.as_str(), Value::from(text.expose())));
                context.insert(name, Value::from_pairs(parts));
            }
        }
        let template = self.environment.get_template(NAME).expect("`new` added it");
        let text = template.render(Value::from_pairs(context)).ok()?;
        (text.len() <= LONGEST).then(|| Zeroizing::new(text))
    }
}

/// Only texts, numbers and booleans stand in a request: never a whole step, never nothing.
fn text(value: &Value) -> Result<Zeroizing<String>, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => Ok(Zeroizing::new(value.to_string())),
        // As JSON has it, not as Python does.
        ValueKind::Bool => Ok(Zeroizing::new(value.is_true().to_string())),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        _ => Err(ErrorKind::InvalidOperation.into()),
    }
}

fn base64(text: String) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(****)")
    }
}

const NAME: &str = "value";

/// Far beyond any request; below what would hurt.
const LONGEST: usize = 256 * 1024;
