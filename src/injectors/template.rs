//! A value's template, strict: what is undefined is an error, never an empty text.

use std::fmt;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A compiled template over the parts of a credential.
pub struct Template {
    environment: Environment<'static>,
    source: Box<str>,
    /// The parts that it names.
    parts: Box<[Box<str>]>,
}

/// Why a template is unusable. Free of values: they are secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not parse.
    #[error("{0}")]
    Syntax(String),
    /// It names a part that the credential never has.
    #[error("the credential has no part `{name}`: it has {}", known.join(", "))]
    UnknownPart {
        /// The part.
        name: Box<str>,
        /// Those that it has.
        known: Vec<Box<str>>,
    },
    /// It failed on the values at hand.
    #[error("the template failed: {0}")]
    Failed(String),
}

/// Either a missing part or a failed template.
pub(super) enum Stopped {
    MissingPart(Box<str>),
    Failed(TemplateError),
}

impl Template {
    /// Compiles `source`; `known` are the parts that the credential will have, where that is known.
    ///
    /// # Errors
    /// [`TemplateError`] where it does not parse or names an unknown part.
    pub fn new(source: &str, known: Option<&[&str]>) -> Result<Self, TemplateError> {
        // No filters, tests or functions: a value is put together, not computed.
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| TemplateError::Syntax(error.to_string()))?;
        let template = environment.get_template(NAME).expect("it was just added");
        let mut parts: Vec<Box<str>> = Vec::new();
        parts.extend(
            template
                .undeclared_variables(false)
                .into_iter()
                .map(Into::into),
        );
        parts.sort_unstable();
        if let Some(known) = known
            && let Some(name) = parts.iter().find(|name| !known.contains(&&***name))
        {
            return Err(TemplateError::UnknownPart {
                name: name.clone(),
                known: known.iter().map(|&name| name.into()).collect(),
            });
        }
        Ok(Self {
            environment,
            source: source.into(),
            parts: parts.into(),
        })
    }

    /// As it is written in the file.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it needs nothing of the credential.
    pub(super) fn names_nothing(&self) -> bool {
        self.parts.is_empty()
    }

    /// Fills in the parts, all of which are known to be there.
    ///
    /// # Errors
    /// [`TemplateError`] where it fails on them.
    pub fn fill<'a>(
        &self,
        part: &impl Fn(&str) -> Option<&'a Secret>,
    ) -> Result<Zeroizing<String>, TemplateError> {
        self.render(part).map_err(|stopped| match stopped {
            Stopped::MissingPart(name) => TemplateError::UnknownPart {
                name,
                known: Vec::new(),
            },
            Stopped::Failed(error) => error,
        })
    }

    /// Fills in the parts.
    pub(super) fn render<'a>(
        &self,
        part: &impl Fn(&str) -> Option<&'a Secret>,
    ) -> Result<Zeroizing<String>, Stopped> {
        let mut values = Vec::with_capacity(self.parts.len());
        for name in &self.parts {
            let secret = part(name).ok_or_else(|| Stopped::MissingPart(name.clone()))?;
            values.push((&**name, Value::from(secret.expose())));
        }
        let template = self.environment.get_template(NAME).expect("`new` added it");
        let text = template
            .render(Value::from_pairs(values))
            .map_err(|error| {
                // The kind alone: a message of the engine may quote a value.
                let kind: ErrorKind = error.kind();
                Stopped::Failed(TemplateError::Failed(kind.to_string()))
            })?;
        Ok(Zeroizing::new(text))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

const NAME: &str = "value";
