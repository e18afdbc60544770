//! What a step makes of an answer: its redirect, the conditions on it, and the values taken out of it.

use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};

use super::{
    super::{
        extract::{Capture, Condition, Extract},
        keys::{ExtractKeys, RedirectKeys, StepKeys},
        redirect::Redirect,
        template::{Holds, Place},
    },
    Builder,
    values::{all, given},
};
use crate::config::{Sp, Span};

impl Builder<'_> {
    pub(super) fn redirect(
        &mut self,
        keys: &Sp<RedirectKeys>,
        step: &str,
        wait: Duration,
    ) -> Option<Redirect> {
        if let Some(listen) = &keys.listen {
            if !listen.ip().is_loopback() || listen.port() == 0 {
                let error = self.fault(listen.span, "this is no address of this machine alone");
                let hint = "write one as `127.0.0.1:8400`; what stands before it can forward to it";
                self.cx.report(error.hint(hint));
                return None;
            }
            if keys.state.is_none() {
                let error = self.fault(listen.span, "`listen` needs `state`");
                let hint = "a call is handed to the run whose `state` it brings: `{{ random }}`";
                self.cx.report(error.hint(hint));
                return None;
            }
        }
        let state = keys.state.as_ref();
        let state = state.map(|it| self.template(it, Place::Text, step, "redirect.state"));
        let to = self.template(&keys.to, Place::Text, step, "redirect.to");
        Some(Redirect {
            to: to?,
            state: given(state)?,
            listen: keys.listen.as_ref().map(|listen| listen.value),
            wait,
        })
    }

    pub(super) fn captures(&mut self, step: &StepKeys) -> Option<Vec<Capture>> {
        let mut captures = Vec::new();
        let outer = self.scope.clone();
        for (name, places) in step.capture.iter().flat_map(|all| all.iter()) {
            let mut from = Vec::new();
            let (mut default, mut optional) = (None, false);
            for place in places.iter() {
                if !place.failed.is_empty() {
                    // It has its diagnostic already.
                    self.fine = false;
                    continue;
                }
                from.push(self.extract(&place.extract, place.span, &step.name));
                optional |= place.optional.value;
                if let Some(text) = &place.default {
                    default = Some(self.template(text, Place::Text, &step.name, "default"));
                }
            }
            captures.push(
                all(from)
                    .zip(given(default))
                    .map(|(from, default)| Capture {
                        name: name.value.clone(),
                        from,
                        default,
                        optional,
                    }),
            );
            // What was captured goes by its bare name in the captures below it.
            self.scope.0.insert(name.value.clone(), Holds::Text);
        }
        self.scope = outer;
        all(captures)
    }

    pub(super) fn conditions(&mut self, step: &StepKeys) -> Option<Vec<Condition>> {
        let mut conditions = Vec::new();
        for condition in step.success.iter().flat_map(|all| all.iter()) {
            if !condition.failed.is_empty() {
                self.fine = false;
                continue;
            }
            let from = self.extract(&condition.extract, condition.span, &step.name);
            let equals = condition.equals.as_ref();
            let equals = equals.map(|it| self.template(it, Place::Text, &step.name, "equals"));
            let made = from.zip(given(equals));
            conditions.push(made.map(|(from, equals)| Condition {
                from,
                equals,
                optional: condition.optional.value,
            }));
        }
        all(conditions)
    }

    pub(super) fn extract(
        &mut self,
        keys: &ExtractKeys,
        span: Span,
        step: &str,
    ) -> Option<Extract> {
        if let Some(pointer) = &keys.json
            && !is_pointer(pointer)
        {
            let error = self.fault(pointer.span, "this is no JSON pointer");
            self.cx.report(error.hint(
                "write where the value stands, as in `/data/token`; in a name `~` is `~0` and `/` is `~1`",
            ));
            return None;
        }
        if let (Some(location), None) = (&keys.location, &keys.location_query) {
            let error = self.fault(location.span, "`location` belongs to `location_query`");
            self.cx
                .report(error.hint("give `location_query` the parameter that is to be found"));
            return None;
        }
        if keys.json.is_none() && (keys.r#where.is_some() || keys.list.is_some())
            || keys.list.is_some() && keys.r#where.is_none()
        {
            let message =
                "`list` says where the entries of `where` stand, and `where` needs `json`";
            return self.fail(span, message);
        }
        let found = match (
            &keys.json,
            &keys.header,
            &keys.cookie,
            &keys.location_query,
            &keys.regex,
            &keys.jwt,
        ) {
            (Some(json), None, None, None, None, None) => match &keys.r#where {
                None => Extract::Json(json.value.clone()),
                Some(with) => Extract::Entry {
                    list: keys
                        .list
                        .as_ref()
                        .map(|list| list.value.clone())
                        .unwrap_or_default(),
                    with: self.pairs(Some(with), step, "where")?,
                    pointer: json.value.clone(),
                },
            },
            (Some(json), None, None, None, None, Some(jwt)) => Extract::Jwt {
                token: self.template(jwt, Place::Text, step, "jwt")?,
                pointer: json.value.clone(),
            },
            (None, Some(name), None, None, None, None) => Extract::Header(name.value.clone()),
            (None, None, Some(name), None, None, None) => Extract::Cookie(name.value.clone()),
            (None, None, None, Some(name), None, None) => Extract::Location {
                parameter: name.value.clone(),
                to: match &keys.location {
                    Some(to) => Some(self.template(to, Place::Text, step, "location")?),
                    None => None,
                },
            },
            (None, None, None, None, Some(regex), None) => {
                Extract::Regex(Box::new(self.regex(regex)?))
            }
            _ => {
                let error = self.fault(span, "this names no place in an answer, or more than one");
                self.cx.report(error.hint(
                    "give one of `json`, `header`, `cookie`, `location_query` and `regex`, or `jwt` with `json`",
                ));
                return None;
            }
        };
        Some(found)
    }

    fn regex(&mut self, regex: &Sp<String>) -> Option<Regex> {
        // Over bytes and of ASCII: pages come in every encoding.
        let built = RegexBuilder::new(regex)
            .unicode(false)
            .size_limit(LARGEST_REGEX)
            .build();
        match built {
            Ok(built) if built.captures_len() > 1 => Some(built),
            Ok(_) => {
                let error = self.fault(regex.span, "this regular expression has no group");
                self.cx.report(
                    error.hint("put what is wanted in brackets, as in `token=([a-z0-9]+)`"),
                );
                None
            }
            Err(error) => {
                let message = error.to_string();
                let why = match error {
                    regex::Error::CompiledTooBig(_) => "it takes more than 1 MiB: repeat less",
                    _ => message.rsplit("error: ").next().unwrap_or_default().trim(),
                };
                let error = self.fault(regex.span, "this regular expression can't be used");
                self.cx.report(error.hint(why));
                None
            }
        }
    }
}

/// RFC 6901 3.
fn is_pointer(text: &str) -> bool {
    let mut tildes = text.split('~').skip(1);
    (text.is_empty() || text.starts_with('/')) && tildes.all(|after| after.starts_with(['0', '1']))
}

const LARGEST_REGEX: usize = 1024 * 1024;
