//! `${NAME}` and `${NAME:-default}` in the values of the file.

use super::{
    decode::Decoder,
    diagnostic::Diagnostic,
    node::{Kind, Node},
    span::Span,
};

/// Where variables come from: tests and the demo bring their own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process. One that is not UTF-8 counts as undefined.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads variables for the file"
)]
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Fills in the variables in every value at and below `node`; keys stay as they are.
pub fn expand(node: &mut Node, env: Env<'_>, decoder: &mut Decoder) {
    let span = node.span;
    match &mut node.kind {
        Kind::Null | Kind::Faulty => {}
        Kind::Scalar(scalar) => {
            if !scalar.text.contains('$') {
                return;
            }
            match expand_text(&scalar.text, env) {
                Ok((text, filled)) => {
                    scalar.text = text;
                    scalar.typed |= filled;
                    scalar.filled |= filled;
                }
                Err(problem) => {
                    decoder.push(problem.at(span));
                    // With nothing but variables in it, there is no secret in it.
                    if is_variables_only(&scalar.text) {
                        decoder.marks.show(span);
                    }
                    node.kind = Kind::Faulty;
                }
            }
        }
        Kind::List(items) => items.iter_mut().for_each(|item| expand(item, env, decoder)),
        Kind::Map(entries) => {
            for entry in entries {
                if entry.key.contains("${") {
                    let error =
                        Diagnostic::error(entry.key_span, "variables work in values, not in keys");
                    decoder.push(error.hint("write the key out"));
                }
                expand(&mut entry.value, env, decoder);
            }
        }
    }
}

/// Why a value can't be filled in.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Undefined(String),
    LineBreak(String),
    Name,
    Unclosed,
    Nested,
}

impl Problem {
    fn at(self, span: Span) -> Diagnostic {
        let error = |message: String, hint: String| Diagnostic::error(span, message).hint(hint);
        match self {
            Self::Undefined(name) => error(
                format!("the environment variable `{name}` is not set"),
                format!("set it, or give a default: `${{{name}:-...}}`"),
            ),
            Self::LineBreak(name) => error(
                format!("the value of the environment variable `{name}` has a line break"),
                "a value of many lines belongs into a file".into(),
            ),
            Self::Name => error(
                "this is no name of an environment variable".into(),
                "write `${NAME}` with letters, digits and `_`; a literal `$` is `$$`".into(),
            ),
            Self::Unclosed => error(
                "`${` without `}`".into(),
                "write `${NAME}` or `${NAME:-default}`; a literal `$` is `$$`".into(),
            ),
            Self::Nested => error(
                "a default can't hold another variable".into(),
                "write the default out".into(),
            ),
        }
    }
}

/// Whether all of it is `${NAME}`, once or more often.
fn is_variables_only(text: &str) -> bool {
    text.split_inclusive('}').all(|part| {
        let name = part
            .strip_prefix("${")
            .and_then(|part| part.strip_suffix('}'));
        name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    })
}

/// The text with its variables filled in, and whether there were any.
fn expand_text(text: &str, env: Env<'_>) -> Result<(String, bool), Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut filled = false;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or(Problem::Unclosed)?;
            out.push_str(&lookup(&after[..end], env)?);
            rest = &after[end + 1..];
            filled = true;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok((out, filled))
}

/// The value of `NAME` or `NAME:-default`; as in a shell, an empty value counts as none where there is a default.
fn lookup(expression: &str, env: Env<'_>) -> Result<String, Problem> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Problem::Name);
    }
    if default.is_some_and(|d| d.contains("${")) {
        return Err(Problem::Nested);
    }
    let value = match (env(name), default) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(default)) => default.to_owned(),
        (None, None) => return Err(Problem::Undefined(name.to_owned())),
    };
    if value.contains(['\n', '\r', '\0']) {
        return Err(Problem::LineBreak(name.to_owned()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".into()),
            "EMPTY" => Some(String::new()),
            "PEM" => Some("a\nb".into()),
            "SNEAKY" => Some("${HOST}".into()),
            _ => None,
        }
    }

    fn filled(text: &str) -> Result<String, Problem> {
        expand_text(text, &env).map(|(text, _)| text)
    }

    #[test]
    fn fills_in_values_and_defaults() {
        assert_eq!(
            filled("https://${HOST}/x").unwrap(),
            "https://example.com/x"
        );
        assert_eq!(
            filled("${NOPE:-http://[::1]:80/}").unwrap(),
            "http://[::1]:80/"
        );
        assert_eq!(filled("${EMPTY:-d}${EMPTY}").unwrap(), "d");
        assert_eq!(filled("${NOPE:-}").unwrap(), "");
    }

    #[test]
    fn a_dollar_that_is_none_stays() {
        assert_eq!(filled("$${HOST} $5 a$").unwrap(), "${HOST} $5 a$");
    }

    #[test]
    fn a_value_is_not_looked_through_again() {
        assert_eq!(filled("${SNEAKY}").unwrap(), "${HOST}");
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        assert_eq!(filled("${NOPE}"), Err(Problem::Undefined("NOPE".into())));
        assert_eq!(filled("${PEM}"), Err(Problem::LineBreak("PEM".into())));
        assert_eq!(filled("${1X}"), Err(Problem::Name));
        assert_eq!(filled("${}"), Err(Problem::Name));
        assert_eq!(filled("${A:-${HOST}}"), Err(Problem::Nested));
        assert_eq!(filled("${HOST"), Err(Problem::Unclosed));
    }
}
