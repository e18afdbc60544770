//! From the keys to a recipe that can run: every template compiled, every name known, no circle.

use std::collections::BTreeMap;

use super::{
    Expires, ExpiryKind, KEY, NOW, Output, RANDOM, Recipe, SUBJECT,
    keys::{Config, JwtKeys, Life, StepKeys, Var},
    step::{Sign, Step, Work},
    template::{Holds, Place, Scope},
};
use crate::{
    config::{Diagnostic, Node, SecretSource, Sp, Span, node::Kind},
    credentials::{FingerprintBuilder, grants::BuildContext},
    secret::Secret,
};

mod answer;
mod order;
mod request;
mod url;
mod values;

use values::tree;

/// The recipe; `None` after reporting everything that is wrong with it.
pub(super) fn recipe(config: &Config, node: &Node, cx: &mut dyn BuildContext) -> Option<Recipe> {
    if !config.failed.is_empty() {
        return None;
    }
    let mut builder = Builder {
        config,
        scope: Scope::default(),
        print: Some(tree(node, FingerprintBuilder::new(KEY))),
        fine: true,
        cx,
    };
    let vars = builder.vars();
    builder.names();
    let mut steps = builder.links();
    for written in config.steps.iter().flat_map(|steps| steps.iter()) {
        let step = builder.step(written);
        steps.extend(step);
    }
    let outputs = builder.outputs();
    if !builder.fine {
        builder.expires(&steps);
        return None;
    }
    let steps = builder.order(steps)?;
    let expires = builder.expires(&steps);
    let inside = steps.iter().any(|step| step.reads().contains(SUBJECT));
    let uses_subject = inside
        || outputs
            .iter()
            .any(|it| it.value.names().any(|it| it == SUBJECT));
    builder.subject(uses_subject, &steps);
    if !builder.fine {
        return None;
    }
    let calls = steps.iter().any(|step| matches!(step.work, Work::Call(_)));
    Some(Recipe {
        fingerprint: builder.print.take()?.finish(),
        vars,
        steps,
        outputs,
        expires: expires?,
        calls,
        uses_subject,
    })
}

struct Builder<'b> {
    config: &'b Config,
    scope: Scope,
    print: Option<FingerprintBuilder>,
    fine: bool,
    cx: &'b mut dyn BuildContext,
}

impl Builder<'_> {
    fn fault(&mut self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.fine = false;
        Diagnostic::error(span, message)
    }

    fn fail<T>(&mut self, span: Span, message: impl Into<String>) -> Option<T> {
        let fault = self.fault(span, message);
        self.cx.report(fault);
        None
    }

    fn print(&mut self, add: impl FnOnce(FingerprintBuilder) -> FingerprintBuilder) {
        self.print = self.print.take().map(add);
    }

    fn vars(&mut self) -> Vec<(String, Secret)> {
        let mut vars = Vec::new();
        for (name, var) in self.config.vars.iter().flat_map(|vars| vars.iter()) {
            let text = match &var.value {
                Var::Text(text) => Some(text.clone()),
                Var::Source(source) => self.secret(&Sp::new(source.clone(), var.span)),
            };
            let Some(text) = text else {
                self.fine = false;
                continue;
            };
            self.print(|print| match &var.value {
                Var::Source(source) if !source.is_literal() => {
                    print.authentication(|print| print.secret(&text))
                }
                _ => print.secret(&text),
            });
            vars.push((name.value.clone(), text));
        }
        vars
    }

    fn secret(&mut self, source: &Sp<SecretSource>) -> Option<Secret> {
        self.cx.secret(source)
    }

    /// Every name that templates may use.
    fn names(&mut self) {
        for name in [SUBJECT, NOW, RANDOM] {
            self.scope.0.insert(name.into(), Holds::Text);
        }
        let config = self.config;
        let vars = config.vars.iter().flat_map(|vars| vars.0.iter());
        let vars: Vec<_> = vars.map(|(name, _)| (name, Holds::Text)).collect();
        let links = config.r#use.iter().flat_map(|links| links.0.iter());
        let links: Vec<_> = links.map(|(name, _)| (name, Holds::Parts(None))).collect();
        let steps = config.steps.iter().flat_map(|steps| steps.iter());
        let steps = steps.map(|step| {
            let captures = step.capture.iter().flat_map(|all| all.names());
            let holds = match step.jwt.is_some() {
                true => Holds::Text,
                false => Holds::Parts(Some(captures.map(str::to_owned).collect())),
            };
            (&step.name, holds)
        });
        let steps: Vec<_> = steps.collect();
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for (name, holds) in vars.into_iter().chain(links).chain(steps) {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) {
                let error = self.fault(name.span, "this name can't stand in a template");
                self.cx
                    .report(error.hint("names have letters, digits and `_`, a letter first"));
            } else if self.scope.0.insert(name.value.clone(), holds).is_some() {
                let error = self.fault(name.span, format!("the name `{}` is taken", name.value));
                let error = error.hint("`vars`, `use` and `steps` share their names; `subject`, `now` and `random` are there always");
                self.cx.report(match seen.get(name.as_str()) {
                    Some(first) => error.related(*first, "here"),
                    None => error,
                });
            }
            seen.entry(name.as_str()).or_insert(name.span);
        }
        if self
            .config
            .steps
            .as_ref()
            .is_some_and(|steps| steps.len() > MOST_STEPS)
        {
            let message = format!("a recipe has {MOST_STEPS} steps at most");
            let _: Option<()> = self.fail(self.cx.span(), message);
        }
    }

    fn links(&mut self) -> Vec<Step> {
        let mut links = Vec::new();
        let config = self.config;
        for (name, link) in config.r#use.iter().flat_map(|all| all.iter()) {
            let linked = self.cx.credential(&link.credential);
            let when = link.when.as_ref();
            let when = when.map(|when| self.template(when, Place::Text, &name.value, "when"));
            let (Some(linked), true) = (linked, when.as_ref().is_none_or(Option::is_some)) else {
                self.fine = false;
                continue;
            };
            self.print(|print| linked.fingerprint(print));
            links.push(Step {
                name: name.value.clone(),
                when: when.flatten(),
                work: Work::Link(linked),
                waits_for: Vec::new(),
            });
        }
        links
    }

    fn step(&mut self, written: &Sp<StepKeys>) -> Option<Step> {
        let name = &written.name.value;
        if !written.failed.is_empty() {
            self.fine = false;
            return None;
        }
        let when = written.when.as_ref();
        let when = when.map(|when| self.template(when, Place::Text, name, "when"));
        let work = match (&written.request, &written.jwt) {
            (Some(request), None) => {
                let request = self.request(request, written)?;
                Work::Call(Box::new(request))
            }
            (None, Some(jwt)) => {
                self.answerless(written);
                Work::Sign(Box::new(self.sign(jwt, name)?))
            }
            _ => {
                let message = format!("step `{name}` has to be exactly one of `request` and `jwt`");
                let error = self.fault(written.name.span, message);
                self.cx.report(
                    error.hint("what needs both takes two steps: one signs, the next sends"),
                );
                return None;
            }
        };
        Some(Step {
            name: name.clone(),
            when: match when {
                Some(when) => Some(when?),
                None => None,
            },
            work,
            waits_for: Vec::new(),
        })
    }

    /// A JWT is made here: nobody answers.
    fn answerless(&mut self, step: &Sp<StepKeys>) {
        let given = [
            ("status", step.status.as_ref().map(|it| it.span)),
            ("success", step.success.as_ref().map(|it| it.span)),
            ("capture", step.capture.as_ref().map(|it| it.span)),
        ];
        for (key, span) in given {
            if let Some(span) = span {
                let message = format!("`{key}` is about an answer, and a JWT gets none");
                let error = self.fault(span, message);
                let hint = format!(
                    "remove it: the JWT itself is `{{{{ {} }}}}`",
                    step.name.value
                );
                self.cx.report(error.hint(hint));
            }
        }
    }

    fn sign(&mut self, jwt: &Sp<JwtKeys>, name: &str) -> Option<Sign> {
        if !jwt.failed.is_empty() {
            self.fine = false;
            return None;
        }
        let Some(key) = self.cx.signing_key(Some(jwt.alg.value), &jwt.key) else {
            self.fine = false;
            return None;
        };
        self.print(|print| print.authentication(|print| key.fingerprint(print)));
        for (tree, field) in jwt
            .header
            .iter()
            .map(|it| (it, "header"))
            .chain([(&jwt.claims, "claims")])
        {
            if !matches!(tree.value.0.kind, Kind::Map(_)) {
                let error = self.fault(tree.span, format!("`{field}` is a mapping"));
                self.cx
                    .report(error.hint("write its members by their names, as in `{ sub: jo }`"));
                return None;
            }
        }
        let header = match &jwt.header {
            Some(header) => Some(self.shape(header, true, name, "header")?),
            None => None,
        };
        Some(Sign {
            key,
            header,
            claims: self.shape(&jwt.claims, true, name, "claims")?,
        })
    }

    fn outputs(&mut self) -> Vec<Output> {
        let config = self.config;
        let mut outputs = Vec::new();
        for (name, output) in config.outputs.iter() {
            if let Some(value) = self.template(&output.value.value, Place::Text, "outputs", name) {
                outputs.push(Output {
                    name: name.value.clone(),
                    value,
                    optional: output.optional.value,
                });
            }
        }
        if outputs.is_empty() && self.fine {
            let error = self.fault(config.outputs.span, "a recipe without an output");
            self.cx.report(
                error.hint("name what it brings, as in `{ token: \"{{ login.token }}\" }`"),
            );
        }
        outputs
    }

    fn expires(&mut self, steps: &[Step]) -> Option<Expires> {
        let config = self.config;
        let joined = !steps.iter().any(|step| matches!(step.work, Work::Call(_)));
        let hour = match joined {
            // It ends with what it is made of.
            true => Life::Endless,
            false => Life::Ends(config.default_expires_in.value),
        };
        let Some(written) = &config.expires else {
            return Some(Expires {
                from: None,
                kind: ExpiryKind::Seconds,
                default: hour,
                max: None,
            });
        };
        let from = match &written.from {
            Some(from) => {
                let template = self.template(from, Place::Text, "expires", "from")?;
                let step = steps
                    .iter()
                    .position(|step| template.names().any(|it| it == step.name));
                Some((template, step))
            }
            None if !matches!(written.kind.value, ExpiryKind::Seconds | ExpiryKind::None) => {
                let message = "`kind` says what `from` holds, and there is no `from`";
                let error = self.fault(written.kind.span, message);
                self.cx
                    .report(error.hint("add `from`, a template, or remove `kind`"));
                None
            }
            None => None,
        };
        Some(Expires {
            from,
            kind: written.kind.value,
            default: written.default.as_ref().map_or(hour, |life| life.value),
            max: written.max.as_ref().map(|max| max.value),
        })
    }
}

const MOST_STEPS: usize = 32;
