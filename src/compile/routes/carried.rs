//! How requests of a route carry a credential: where it is put, what stands aside, how long they wait.

use super::{Checker, DraftCredential, Target, WAIT, subject};
use crate::{
    compile::inject,
    config::{self, Diagnostic, Sp, raw::RawRoute},
    routes::OnFailure,
};

impl<'f> Checker<'_, 'f, '_> {
    /// How requests of this route carry the credential called `name`; `Err` where diagnostics say why they can't.
    ///
    /// `owner` is the credential that the route names: all of its family share its placeholders.
    pub(super) fn carried(
        &mut self,
        raw: &'f Sp<RawRoute>,
        owner: &'f Sp<String>,
        name: &'f Sp<String>,
        target: Option<&Target>,
    ) -> Result<DraftCredential<'f>, ()> {
        let defaults = self.defaults;
        let placeholders = self
            .emulations
            .placeholders(raw, owner, self.decoder, self.resolver);
        let all = self.file.credentials.as_ref();
        let names: Vec<&str> = all.iter().flat_map(|all| all.names()).collect();
        if !names.contains(&name.value.as_str()) {
            let message = format!("there is no credential `{}`", name.value);
            self.decoder
                .push(Diagnostic::error(name.span, message).suggest(name, names));
        }
        let settings = &all.and_then(|all| all.get(name)).ok_or(())?.settings;
        let inject = raw.inject.as_ref().or(settings.inject.as_ref());
        let built = self.sources.get(&name.value);
        let bound = built.is_some_and(|built| built.source.proof_key().is_some());
        if let Some(inject) = inject.filter(|_| bound) {
            inject::check_bound(inject, self.decoder);
        }
        let parts = built.map(|built| built.source.parts());
        let injection = match (inject, built.zip(parts.as_deref())) {
            (Some(inject), _) => inject::compile(inject, parts.as_deref(), self.decoder),
            (None, Some((built, parts))) => {
                inject::own(&built.placement, bound, parts, name.span, self.decoder)
            }
            (None, None) => None,
        };
        let alone = name.value == owner.value && settings.families.is_none();
        let subject = built.map(|built| {
            let source = &*built.source;
            subject::check(self.file, defaults, raw, name, source, alone, self.decoder)
        });
        let overwrite = raw.overwrite.as_ref().or(settings.overwrite.as_ref());
        let overwrite = overwrite
            .or(defaults.and_then(|d| d.overwrite.as_ref()))
            .map(|o| o.value);
        let on_failure = raw.on_failure.as_ref().or(settings.on_failure.as_ref());
        let on_failure = on_failure
            .or(defaults.and_then(|d| d.on_failure.as_ref()))
            .map(|o| o.value);
        let wait = raw
            .wait
            .as_ref()
            .or(settings.wait.as_ref())
            .or(defaults.and_then(|d| d.wait.as_ref()));
        Ok(DraftCredential {
            name: &name.value,
            settings,
            injection: injection.ok_or(())?,
            subject: subject.ok_or(())?,
            logins: target.map_or_else(Vec::new, |target| self.logins.at(&name.value, target)),
            placeholders: placeholders?,
            overwrite: overwrite
                .unwrap_or(!inject.is_some_and(|inject| inject::keeps_callers_own(inject))),
            wait: wait.map_or(WAIT, |wait| wait.value),
            on_failure: match on_failure {
                Some(config::raw::OnFailure::Pass) => OnFailure::Pass,
                Some(config::raw::OnFailure::Deny) | None => OnFailure::Deny,
            },
        })
    }
}
