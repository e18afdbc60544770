//! `emulate:` of routes: one way for all routes of a credential, as they share its placeholders.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{super::credentials::read_secret, Draft};
use crate::{
    callers::Placeholders,
    config::{
        Decoder, Diagnostic, Resolver, Sp, Span,
        raw::{EmulateSetting, RawEmulate, RawRoute},
    },
    routes::Logins,
};

/// The placeholders of each credential whose logins are answered.
#[derive(Default)]
pub(super) struct Emulations<'f> {
    by_credential: HashMap<&'f str, (&'f RawEmulate, Span, Option<Arc<Placeholders>>)>,
}

impl<'f> Emulations<'f> {
    /// What a route with `credential` hands out, if anything; `Err` where diagnostics say why not.
    pub(super) fn placeholders(
        &mut self,
        raw: &'f RawRoute,
        credential: &'f Sp<String>,
        decoder: &mut Decoder,
        resolver: &mut Resolver<'_>,
    ) -> Result<Option<Arc<Placeholders>>, ()> {
        let Some((how, span)) = wanted(raw) else {
            return Ok(None);
        };
        if let Some((first, at, known)) = self.by_credential.get(credential.as_str()) {
            if !same(first, how) {
                let message = format!(
                    "the routes of `{}` emulate its logins in two ways",
                    credential.value
                );
                decoder.push(
                    Diagnostic::error(span, message)
                        .related(*at, "the other way")
                        .hint("they take each other's placeholders: give all of them the same `key` and `lifetime`"),
                );
            }
            return known.clone().map(Some).ok_or(());
        }
        let made = make(how, credential, decoder, resolver).map(Arc::new);
        let known = self.by_credential.entry(credential.as_str());
        known.insert_entry((how, span, made.clone()));
        made.map(Some).ok_or(())
    }
}

/// Reports `emulate` where there is nothing to hand out placeholders for.
pub(super) fn check_without_credential(raw: &RawRoute, decoder: &mut Decoder) {
    if let Some((_, span)) = wanted(raw)
        && !raw.failed.contains(&"credential")
    {
        decoder
            .diagnostics
            .error(span, "`emulate` without a `credential`");
    }
}

/// Warns where no route of a credential has a login to answer.
pub(super) fn warn_of_nothing(drafts: &[Draft<'_>], decoder: &mut Decoder) {
    let mut answered: HashMap<&str, (Span, bool)> = HashMap::new();
    for draft in drafts {
        let (Some(credential), Some((_, span))) = (&draft.credential, wanted(draft.raw)) else {
            continue;
        };
        let logins = Logins::below(&draft.base_path().0, credential.logins.iter().cloned());
        let has = logins.is_some_and(|logins| logins.has_answers());
        answered.entry(credential.name).or_insert((span, false)).1 |= has;
    }
    let mut nothing: Vec<_> = answered.iter().filter(|(_, (_, has))| !has).collect();
    nothing.sort_unstable_by_key(|(name, _)| **name);
    for (name, (span, _)) in nothing {
        let message =
            format!("no login of `{name}` lies below a route of it: none is ever answered");
        decoder.push(Diagnostic::warning(*span, message).hint(
            "add a route to the token endpoint with this credential and `emulate`, or list the vendor's logins under \
             `emulate` of the credential",
        ));
    }
}

fn wanted(raw: &RawRoute) -> Option<(&RawEmulate, Span)> {
    let setting = raw.emulate.as_ref()?;
    match &setting.value {
        EmulateSetting::Off => None,
        EmulateSetting::On(how) => Some((how, setting.span)),
    }
}

fn same(one: &RawEmulate, other: &RawEmulate) -> bool {
    let key = |how: &RawEmulate| how.key.as_ref().map(|key| key.value.clone());
    key(one) == key(other) && one.lifetime.value == other.lifetime.value
}

fn make(
    how: &RawEmulate,
    credential: &str,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
) -> Option<Placeholders> {
    if !how.failed.is_empty() {
        return None;
    }
    let lifetime = &how.lifetime;
    if !(LEAST..=MOST).contains(&lifetime.value) {
        return decoder.fail(lifetime.span, "a placeholder is good from 1s to 30d");
    }
    let key = match &how.key {
        None => None,
        Some(source) => {
            let key = read_secret(source, decoder, resolver)?;
            if key.expose().len() < LEAST_KEY && resolver.reads() {
                decoder.push(
                    Diagnostic::error(source.span, "this key is too short to sign with")
                        .hint("it has 32 characters at least: `openssl rand -base64 32`"),
                );
                return None;
            }
            Some(key)
        }
    };
    Some(Placeholders::new(credential, key.as_ref(), lifetime.value))
}

const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30 * 24 * 3600);
/// In bytes: as long as what it makes, so that it can't be guessed.
const LEAST_KEY: usize = 32;
