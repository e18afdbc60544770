//! A text with values of earlier steps in it: strict, and each value encoded for its place.

use std::{collections::BTreeMap, fmt, io};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, value::ValueKind,
};
use zeroize::Zeroizing;

use crate::{config::diagnostic::nearest, credentials::endpoint::append, percent, secret::Secret};

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
    Unknown {
        /// The name that is there and was likely meant.
        near: Option<String>,
    },
    #[error("the template uses a filter or test that is not there")]
    Word,
    #[error("the template can't be worked out")]
    Unworkable,
    #[error("a name holds no template")]
    Name,
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
                Place::Path if text.is_empty() => Err(ErrorKind::UndefinedError.into()),
                Place::Path | Place::Query => {
                    let mut encoded = Zeroizing::new(String::new());
                    percent::encode(&text, &mut encoded);
                    out.write_str(&encoded).map_err(Error::from)
                }
            }
        });
        let [lower, upper, trim, base_64] = FILTERS;
        environment.add_filter(lower, |text: String| text.to_lowercase());
        environment.add_filter(upper, |text: String| text.to_uppercase());
        environment.add_filter(trim, |text: String| text.trim().to_owned());
        environment.add_filter(base_64, base64);
        environment.add_test(DEFINED, |value: Value| !value.is_undefined());
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|_| TemplateFault::Syntax)?;
        if !knows_all_words(source) {
            return Err(TemplateFault::Word);
        }
        let template = environment.get_template(NAME).expect("it was just added");
        let mut reads = Vec::new();
        for name in template.undeclared_variables(true) {
            let (top, part) = match name.split_once('.') {
                Some((top, part)) => (top, Some(part.to_owned())),
                None => (name.as_str(), None),
            };
            let known = match (scope.0.get(top), &part) {
                (Some(Holds::Text), None) | (Some(Holds::Parts(_)), None) => true,
                (Some(Holds::Parts(None)), Some(part)) => !part.contains('.'),
                (Some(Holds::Parts(Some(parts))), Some(part)) => parts.contains(part),
                _ => false,
            };
            if !known {
                let near = scope.nearest(&name);
                return Err(TemplateFault::Unknown { near });
            }
            reads.push((top.to_owned(), part));
        }
        reads.sort_unstable();
        let template = Self { environment, reads };
        match template.try_render(&template.examples(scope)) {
            // What is absent here may be there in a run.
            Err(error) if error.kind() != ErrorKind::UndefinedError => {
                Err(TemplateFault::Unworkable)
            }
            _ => Ok(template),
        }
    }

    /// A text for everything that it names: what fails with these is no question of values.
    fn examples(&self, scope: &Scope) -> Values {
        let mut values = Values::default();
        for (name, part) in &self.reads {
            let example = Secret::new("x");
            if scope.0.get(name) == Some(&Holds::Text) {
                values.texts.insert(name.clone(), example);
                continue;
            }
            let parts = values.parts.entry(name.clone()).or_default();
            parts.extend(part.iter().map(|part| (part.clone(), example.clone())));
        }
        values
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
        self.try_render(values).ok()
    }

    fn try_render(&self, values: &Values) -> Result<Zeroizing<String>, Error> {
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
        let mut text = Bounded(Zeroizing::new(Vec::with_capacity(256)));
        template.render_captured_to(Value::from_pairs(context), &mut text)?;
        let text = String::from_utf8(std::mem::take(&mut text.0));
        text.map(Zeroizing::new)
            .map_err(|_| ErrorKind::BadSerialization.into())
    }
}

impl Scope {
    /// Everything that stands for a text, as a template names it; of a link, any part may be one.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (name, holds) in &self.0 {
            match holds {
                Holds::Text => names.push(name.clone()),
                Holds::Parts(None) => names.push(format!("{name}.PART")),
                Holds::Parts(Some(parts)) => {
                    names.extend(parts.iter().map(|part| format!("{name}.{part}")));
                }
            }
        }
        names
    }

    fn nearest(&self, given: &str) -> Option<String> {
        let names = self.names();
        nearest(given, names.iter().map(String::as_str)).map(str::to_owned)
    }
}

/// Whether there is something to be filled in.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Whether each filter and test is one of ours: minijinja finds out only when it comes to it.
fn knows_all_words(source: &str) -> bool {
    let tokens = tokens(source);
    tokens.iter().enumerate().all(|(at, token)| {
        let after = |skip: usize| tokens.get(at + skip).copied().unwrap_or_default();
        match *token {
            "|" => FILTERS.contains(&after(1)),
            "is" if after(1) == "not" => after(2) == DEFINED,
            "is" => after(1) == DEFINED,
            "filter" if at == 0 || tokens[at - 1] == "{%" => FILTERS.contains(&after(1)),
            _ => true,
        }
    })
}

/// Words and signs within the delimiters, `{%` itself, and one quote for each string.
fn tokens(source: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let (open, mut inside) = rest[at..].split_at(2);
        tokens.push(open);
        while let Some(first) = inside.chars().next() {
            if inside.starts_with("}}") || inside.starts_with("%}") {
                break;
            }
            let length = match first {
                '"' | '\'' => quoted(inside, first),
                c if is_word(c) => inside.find(|c| !is_word(c)).unwrap_or(inside.len()),
                c => c.len_utf8(),
            };
            let (token, after) = inside.split_at(length);
            match first {
                '"' | '\'' => tokens.push(&token[..1]),
                // `{%- filter` is `{% filter`.
                '-' | '+' if tokens.last() == Some(&"{%") => {}
                _ if first.is_whitespace() => {}
                _ => tokens.push(token),
            }
            inside = after;
        }
        rest = inside;
    }
    tokens
}

/// The length of the string with which `text` begins, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// A text that ends where it would hurt, in whatever loop it is made.
struct Bounded(Zeroizing<Vec<u8>>);

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.0.len() + piece.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        append(&mut self.0, piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// All filters that there are.
pub(super) const FILTERS: [&str; 4] = ["lower", "upper", "trim", "base64"];

/// The one test that there is.
const DEFINED: &str = "defined";

/// Far beyond any request; below what would hurt.
const LONGEST: usize = 256 * 1024;
