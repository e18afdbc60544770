//! Routes: each checked against the rest of the file, then made with the slots of the credentials.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    credentials::Sources,
    inject,
    logins::Logins,
    matcher,
    upstreams::{self, Target, Targets},
};
use crate::{
    callers::Placeholders,
    config::{
        Decoder, Diagnostic, Resolver, Sp, Span,
        raw::{CredentialSettings, RawDefaults, RawFile, RawRoute, UpstreamRef},
    },
    injectors::Injection,
    routes::{Login, OnFailure, host::HostPattern, pattern::Matcher, table::TableBuilder},
    upstream::Upstreams,
};

mod carried;
mod emulate;
mod families;
mod finish;
mod subject;

use subject::DraftSubject;

use emulate::Emulations;

/// How long a request waits for a credential.
const WAIT: Duration = Duration::from_secs(10);

/// A route that was checked, but has no slot in the cache yet.
pub(super) struct Draft<'f> {
    pub(super) matcher: Matcher,
    raw: &'f Sp<RawRoute>,
    name: String,
    target: Target,
    credential: Option<DraftCredential<'f>>,
    defaults: Option<&'f RawDefaults>,
}

struct DraftCredential<'f> {
    name: &'f str,
    settings: &'f CredentialSettings,
    injection: Injection,
    subject: DraftSubject,
    logins: Vec<Login>,
    placeholders: Option<Arc<Placeholders>>,
    overwrite: bool,
    wait: Duration,
    on_failure: OnFailure,
}

/// The routes that are right in themselves; the others have their diagnostics.
pub(super) fn draft<'f>(
    file: &'f RawFile,
    sources: &Sources,
    targets: &Targets,
    decoder: &mut Decoder,
    resolver: &mut Resolver<'_>,
    known: &Upstreams,
) -> Vec<Draft<'f>> {
    let defaults = file.defaults.as_ref().map(|defaults| &defaults.value);
    let logins = Logins::compile(file, sources, decoder);
    let mut checker = Checker {
        file,
        defaults,
        sources,
        targets,
        decoder,
        resolver,
        known,
        logins,
        emulations: Emulations::default(),
        own: HashMap::new(),
    };
    let mut drafts: Vec<Draft<'f>> = file
        .routes
        .iter()
        .filter_map(|raw| checker.draft(raw))
        .collect();
    if file.routes.is_empty() && !file.failed.contains(&"routes") {
        let warning = Diagnostic::warning(
            file.routes.span,
            "there is no route: every request gets 404",
        );
        checker.decoder.push(warning);
    }
    emulate::warn_of_nothing(&drafts, checker.decoder);
    name_apart(&mut drafts, checker.decoder);
    checker.add_families(&mut drafts);
    drafts
}

/// Reports routes that can't be told apart.
pub(super) fn check_table(drafts: &[Draft<'_>], decoder: &mut Decoder) {
    let mut table = TableBuilder::new();
    drafts
        .iter()
        .for_each(|draft| table.add(draft.matcher.clone(), ()));
    for pair in table.build().err().unwrap_or_default() {
        let (first, second) = (&drafts[pair.first], &drafts[pair.second]);
        decoder.push(
            Diagnostic::error(
                second.raw.r#match.span,
                "this route can't be told apart from another one",
            )
            .related(
                first.raw.r#match.span,
                "the other one matches the same requests",
            )
            .hint("give one of them another path, host, method, header or query parameter"),
        );
    }
}

struct Checker<'c, 'f, 'e> {
    file: &'f RawFile,
    defaults: Option<&'f RawDefaults>,
    sources: &'c Sources,
    targets: &'c Targets,
    decoder: &'c mut Decoder,
    resolver: &'c mut Resolver<'e>,
    known: &'c Upstreams,
    logins: Logins,
    emulations: Emulations<'f>,
    /// Upstreams of routes themselves by place: routes that merge one mapping share it.
    own: HashMap<Span, Option<Target>>,
}

impl<'f> Checker<'_, 'f, '_> {
    fn draft(&mut self, raw: &'f Sp<RawRoute>) -> Option<Draft<'f>> {
        let matcher = matcher::compile(&raw.r#match, self.decoder);
        let target = self.target(raw);
        let credential = self.credential(raw, target.as_ref());
        self.check_allow(raw);
        self.check_strip(raw);
        let matcher = matcher?;
        let name = match &raw.name {
            Some(name) => name.value.clone(),
            None => describe(&matcher),
        };
        if let Some(name) = &raw.name
            && (name.is_empty() || name.len() > 100 || name.chars().any(char::is_control))
        {
            self.decoder.diagnostics.error(
                name.span,
                "a name has from 1 to 100 characters, and no control characters",
            );
        }
        Some(Draft {
            matcher,
            raw,
            name,
            target: target?,
            credential: credential.ok()?,
            defaults: self.defaults,
        })
    }

    fn target(&mut self, raw: &'f Sp<RawRoute>) -> Option<Target> {
        let Some(given) = given(&raw.upstream, self.defaults, |d| &d.upstream) else {
            if !raw.failed.contains(&"upstream") {
                let error = Diagnostic::error(raw.r#match.span, "this route has no `upstream`");
                self.decoder
                    .push(error.hint(
                        "say where its requests go: `upstream: https://api.example.com/v2/`",
                    ));
            }
            return None;
        };
        match &given.value {
            UpstreamRef::Own(upstream) => {
                if let Some(target) = self.own.get(&given.span) {
                    return target.clone();
                }
                let upstream = Sp::new((**upstream).clone(), given.span);
                let target = upstreams::target(
                    &upstream,
                    self.targets.pool,
                    self.decoder,
                    self.resolver,
                    self.known,
                );
                self.own.insert(given.span, target.clone());
                target
            }
            UpstreamRef::Name(name) => {
                let names: Vec<&str> = self
                    .file
                    .upstreams
                    .iter()
                    .flat_map(|all| all.names())
                    .collect();
                if !names.contains(&name.as_str()) {
                    let error =
                        Diagnostic::error(given.span, format!("there is no upstream `{name}`"));
                    self.decoder.push(match names.is_empty() {
                        true => error.hint(
                            "write a URL with its scheme, as in `https://api.example.com/v2/`",
                        ),
                        false => error.suggest(name, names),
                    });
                }
                self.targets.named.get(name).cloned()
            }
        }
    }

    /// `Err` where diagnostics say why there is none.
    fn credential(
        &mut self,
        raw: &'f Sp<RawRoute>,
        target: Option<&Target>,
    ) -> Result<Option<DraftCredential<'f>>, ()> {
        let defaults = self.defaults;
        let Some(name) = given(&raw.credential, defaults, |d| &d.credential) else {
            if let Some(inject) = &raw.inject
                && !raw.failed.contains(&"credential")
            {
                self.decoder
                    .diagnostics
                    .error(inject.span, "`inject` without a `credential`");
            }
            emulate::check_without_credential(raw, self.decoder);
            if let Some(subject) = &raw.subject
                && !raw.failed.contains(&"credential")
            {
                self.decoder
                    .diagnostics
                    .error(subject.span, "`subject` without a `credential`");
            }
            return Ok(None);
        };
        self.check_plaintext(raw, target);
        self.carried(raw, name, name, target).map(Some)
    }

    fn check_plaintext(&mut self, raw: &RawRoute, target: Option<&Target>) {
        let Some(target) = target else { return };
        let allowed = target.danger_plaintext || raw.danger_plaintext.value;
        if target.url.https || target.is_local || allowed {
            return;
        }
        // The place of the route's own key; a named upstream's URL is the second one.
        let given = raw
            .upstream
            .as_ref()
            .map_or(target.url.span, |upstream| upstream.span);
        let error = Diagnostic::error(
            given,
            "the credential would be sent in clear to another machine",
        );
        let error = error.hint("write `https://`, or say `danger_plaintext: true`");
        self.decoder.push(match given == target.url.span {
            true => error,
            false => error.related(target.url.span, "this URL is in clear"),
        });
    }

    fn check_allow(&mut self, raw: &RawRoute) {
        let Some(allow) = given(&raw.allow, self.defaults, |d| &d.allow) else {
            return;
        };
        if allow.0.is_empty() {
            self.decoder
                .diagnostics
                .error(allow.span, "`allow` names nobody");
        }
        let names: Vec<&str> = self
            .file
            .callers
            .iter()
            .flat_map(|callers| callers.names())
            .collect();
        if self.file.failed.contains(&"callers") {
            return;
        }
        for name in allow
            .iter()
            .filter(|name| !names.contains(&name.value.as_str()))
        {
            let error =
                Diagnostic::error(name.span, format!("there is no caller `{}`", name.value));
            self.decoder.push(match names.is_empty() {
                true => error.hint("name it in `callers`, with how it is recognised"),
                false => error.suggest(name, names.iter().copied()),
            });
        }
    }

    fn check_strip(&mut self, raw: &RawRoute) {
        let strip = given(&raw.strip, self.defaults, |d| &d.strip);
        for name in strip
            .iter()
            .filter_map(|s| s.headers.as_ref())
            .flat_map(|names| names.iter())
        {
            if inject::is_ours(name) {
                let message = format!("`{}` is the proxy's own and can't be stripped", name.value);
                self.decoder.diagnostics.error(name.span, message);
            }
        }
    }
}

/// What the route says, else what `defaults` say.
fn given<'f, T>(
    own: &'f Option<T>,
    defaults: Option<&'f RawDefaults>,
    default: impl FnOnce(&'f RawDefaults) -> &'f Option<T>,
) -> Option<&'f T> {
    own.as_ref().or_else(|| default(defaults?).as_ref())
}

/// Names are labels of metrics and logs: those given must differ, those made are made to.
fn name_apart(drafts: &mut [Draft<'_>], decoder: &mut Decoder) {
    let mut given: HashMap<String, Span> = HashMap::new();
    for name in drafts.iter().filter_map(|draft| draft.raw.name.as_ref()) {
        if let Some(earlier) = given.get(&name.value) {
            decoder.push(
                Diagnostic::error(name.span, "another route has this name")
                    .related(*earlier, "first given here"),
            );
            continue;
        }
        given.insert(name.value.clone(), name.span);
    }
    let mut count: HashMap<String, usize> = HashMap::new();
    for draft in drafts.iter_mut().filter(|draft| draft.raw.name.is_none()) {
        let taken = given.contains_key(&draft.name);
        let seen = count.entry(draft.name.clone()).or_default();
        *seen += 1;
        if taken || *seen > 1 {
            draft.name = format!("{} ({})", draft.name, *seen + usize::from(taken));
        }
    }
}

/// What a route matches, in short: its name where it has none.
fn describe(matcher: &Matcher) -> String {
    let mut text = String::new();
    if !matcher.methods.is_empty() {
        let methods: Vec<&str> = matcher.methods.iter().map(http::Method::as_str).collect();
        text = format!("{} ", methods.join(","));
    }
    if matcher.host != HostPattern::Any {
        text.push_str(&matcher.host.to_string());
    }
    text + &matcher.path.to_string()
}
