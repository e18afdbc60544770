//! The parameters of one use of a preset: given, defaulted, absent, or wrong.

use super::{
    definition::{Definition, Parameter},
    fill::{self, Filler},
};
use crate::config::{
    decode::Decoder,
    diagnostic::Diagnostic,
    fields::looks_like_a_key,
    node::{Entry, Kind, Node},
    span::{Sp, Span},
};

/// Every parameter that has a value.
pub(super) struct Parameters(Vec<(String, Node)>);

impl Parameters {
    /// Reads what the user gave `with`; `None` where diagnostics say what is wrong with it.
    pub(super) fn read(
        preset: &str,
        name: &str,
        definition: &Definition,
        with: Option<&Node>,
        span: Span,
        decoder: &mut Decoder,
    ) -> Option<Self> {
        let given: &[Entry] = match with.map(|node| (node, &node.kind)) {
            None => &[],
            Some((_, Kind::Map(entries))) => entries,
            Some((node, _)) => return decoder.mismatch(node, "a mapping of parameters"),
        };
        let known: Vec<&str> = definition
            .parameters
            .iter()
            .flat_map(|all| all.names())
            .collect();
        let mut fine = true;
        for entry in given {
            if !known.contains(&entry.key.as_str()) {
                let unknown = unknown(preset, entry, &known, decoder);
                decoder.push(unknown);
                fine = false;
            }
        }
        let mut all = Self(vec![(SELF.to_owned(), Node::implied(name, span))]);
        for (parameter, spec) in definition.parameters.iter().flat_map(|all| all.iter()) {
            let entry = given.iter().find(|entry| entry.key == parameter.value);
            let value = match entry {
                Some(entry) => {
                    decoder.marks.show(entry.key_span);
                    let value = accepted(entry, spec, decoder);
                    fine &= value.is_some() & fits(entry, spec, given, decoder);
                    value
                }
                None => spec.default.as_ref().and_then(|default| {
                    let mut filler = Filler::new(&all, span);
                    filler.fill(&default.value.0)
                }),
            };
            if entry.is_none() && value.is_none() && !spec.optional.value {
                let excused = |other: &Sp<String>| {
                    all.get(other).is_some() || given.iter().any(|e| e.key == other.value)
                };
                let unless = spec.required_unless.iter().flat_map(|list| list.iter());
                if !unless.clone().any(excused) {
                    decoder.push(missing(preset, parameter, spec, span));
                    fine = false;
                }
            }
            if let Some(value) = value {
                all.0.push((parameter.value.clone(), value));
            }
        }
        fine.then_some(all)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, node)| node)
    }
}

/// What is given, unless it can't be right.
fn accepted(entry: &Entry, spec: &Parameter, decoder: &mut Decoder) -> Option<Node> {
    let name = &entry.key;
    let mut node = entry.value.clone();
    match &mut node.kind {
        Kind::Faulty => return None,
        Kind::Null => {
            let error = Diagnostic::error(entry.key_span, format!("`{name}` has no value"));
            decoder.push(error.hint(format!("{} Give it a value, or remove it.", about(spec))));
            return None;
        }
        Kind::Scalar(scalar) => {
            if !spec.secret.value {
                decoder.marks.show(node.span);
            } else {
                decoder.marks.hide(node.span);
            }
            if spec.secret.value && !scalar.filled {
                let warning =
                    Diagnostic::warning(node.span, "this secret is written in the file itself");
                decoder.push(warning.hint(
                    "write `{ env: NAME }`, `{ file: /path }` or `{ exec: [program, argument] }`",
                ));
                // Said once: what reads it need not say it again.
                scalar.filled = true;
            }
            let words: Vec<&str> = spec
                .one_of
                .iter()
                .flat_map(|words| words.iter())
                .map(|word| word.as_str())
                .collect();
            if !words.is_empty() && !words.contains(&scalar.text.as_str()) {
                let message = format!("expected one of `{}`", words.join("`, `"));
                return decoder.fail(node.span, message);
            }
            let text = scalar.text.to_ascii_lowercase();
            let left_over = |example: &&Sp<String>| text.contains(&example.to_ascii_lowercase());
            let mut examples = spec.refuse.iter().flat_map(|list| list.iter());
            if let Some(example) = examples.find(left_over) {
                let message = format!("`{}` is left over from an example", example.value);
                decoder.push(Diagnostic::error(node.span, message).hint(about(spec)));
                return None;
            }
        }
        Kind::List(_) | Kind::Map(_) => {
            if spec.one_of.is_some() || spec.refuse.is_some() {
                return decoder.mismatch(&node, "text");
            }
        }
    }
    Some(node)
}

/// Whether it can stand beside what else is given.
fn fits(entry: &Entry, spec: &Parameter, given: &[Entry], decoder: &mut Decoder) -> bool {
    let name = &entry.key;
    for other in spec.not_with.iter().flat_map(|all| all.iter()) {
        let (key, word) = match other.split_once(": ") {
            Some((key, word)) => (key, Some(word)),
            None => (other.as_str(), None),
        };
        let is = |given: &&Entry| {
            let kind = &given.value.kind;
            given.key == key
                && word.is_none_or(|word| matches!(kind, Kind::Scalar(it) if it.text == word))
        };
        if let Some(found) = given.iter().find(is) {
            let message = format!("`{name}` and `{}` contradict each other", other.value);
            let error = Diagnostic::error(entry.key_span, message);
            decoder.push(
                error
                    .related(found.key_span, "here")
                    .hint("leave one of them out"),
            );
            return false;
        }
    }
    let mut wanted = spec.only_with.iter().flat_map(|all| all.iter()).peekable();
    let is_given = |other: &Sp<String>| given.iter().any(|given| given.key == other.value);
    if wanted.peek().is_some() && !wanted.clone().any(is_given) {
        let wanted: Vec<&str> = wanted.map(|other| other.as_str()).collect();
        let message = format!("`{name}` says nothing without `{}`", wanted.join("` or `"));
        decoder.push(Diagnostic::error(entry.key_span, message).hint(about(spec)));
        return false;
    }
    true
}

fn about(spec: &Parameter) -> String {
    spec.about.value.trim().to_owned()
}

fn missing(preset: &str, name: &str, spec: &Parameter, span: Span) -> Diagnostic {
    let mut others: Vec<String> = spec
        .required_unless
        .iter()
        .flat_map(|list| list.iter())
        .map(|other| other.value.clone())
        .collect();
    if let Some(default) = &spec.default {
        fill::names(&default.value.0, &mut others);
    }
    let mut message = format!("the preset `{preset}` needs `{name}`");
    if !others.is_empty() {
        message.push_str(&format!(", or `{}`", others.join("`, `")));
    }
    let hint = format!(
        "{} Give it in `with`, beside `preset`; `bearerd preset {preset}` lists all parameters",
        about(spec)
    );
    Diagnostic::error(span, message).hint(hint)
}

fn unknown(preset: &str, entry: &Entry, known: &[&str], decoder: &mut Decoder) -> Diagnostic {
    // What looks unlike a key may be a secret that lost its quotes.
    if entry.value.kind == Kind::Null || !looks_like_a_key(&entry.key) {
        let message = format!("this is no parameter of the preset `{preset}`");
        return Diagnostic::error(entry.key_span, message)
            .hint(format!("its parameters are `{}`", known.join("`, `")));
    }
    decoder.marks.show(entry.key_span);
    let message = format!("the preset `{preset}` has no parameter `{}`", entry.key);
    Diagnostic::error(entry.key_span, message).suggest(&entry.key, known.iter().copied())
}

/// The parameter that every preset has: the name that the user gave the credential.
const SELF: &str = "self";
