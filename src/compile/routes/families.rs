//! Routes split where parts of an upstream's API want another credential.

use super::{Checker, Draft, given};
use crate::{
    config::{
        Diagnostic, Sp,
        raw::{Family, RawRoute},
    },
    routes::pattern::{Matcher, PathPattern},
};

impl<'f> Checker<'_, 'f, '_> {
    /// Gives each route the credential of its family, and adds a route for each family that begins below it.
    ///
    /// A route that says itself what is injected is left alone, and so is a path that has a route of its own.
    pub(super) fn add_families(&mut self, drafts: &mut Vec<Draft<'f>>) {
        for at in 0..drafts.len() {
            let families = self.families(&drafts[at]);
            if families.is_empty() {
                continue;
            }
            let upstream = upstream_path(&drafts[at]);
            let own = families
                .iter()
                .filter(|family| covers(&family.path, &upstream))
                .max_by_key(|family| family.path.len());
            if let Some(family) = own {
                let (raw, target) = (drafts[at].raw, drafts[at].target.clone());
                let Some(owner) = self.owner(raw) else {
                    continue;
                };
                let carried = self.carried(raw, owner, &family.credential, Some(&target));
                drafts[at].credential = carried.ok();
            }
            if !matches!(drafts[at].matcher.path, PathPattern::Prefix(_)) {
                continue;
            }
            for family in families {
                let below = family.path.strip_prefix(&*upstream);
                let Some(below) = below.filter(|below| !below.is_empty()) else {
                    continue;
                };
                if let Some(draft) = self.below(&drafts[at], family, below)
                    && !drafts
                        .iter()
                        .any(|other| same(&other.matcher, &draft.matcher))
                {
                    drafts.push(draft);
                }
            }
        }
    }

    fn families(&self, draft: &Draft<'f>) -> Vec<&'f Family> {
        let Some(carried) = &draft.credential else {
            return Vec::new();
        };
        if draft.raw.inject.is_some() || matches!(draft.matcher.path, PathPattern::Regex(_)) {
            return Vec::new();
        }
        let families = carried.settings.families.iter();
        families
            .flat_map(|families| families.iter())
            .map(|family| &family.value)
            .collect()
    }

    /// The credential that the file gives the route.
    fn owner(&self, raw: &'f RawRoute) -> Option<&'f Sp<String>> {
        given(&raw.credential, self.defaults, |d| &d.credential)
    }

    fn below(&mut self, base: &Draft<'f>, family: &'f Family, below: &str) -> Option<Draft<'f>> {
        let path = format!("{}{below}", base.matcher.path);
        let path = match PathPattern::parse(&path) {
            Ok(path) => path,
            Err(error) => {
                self.decoder.push(Diagnostic::error(
                    family.path.span,
                    format!("the path of this family can't be used: {error}"),
                ));
                return None;
            }
        };
        let mut target = base.target.clone();
        if strips(base) {
            target.url.value.path = family.path.value.clone();
            target.url.value.bare = false;
        }
        let owner = self.owner(base.raw)?;
        let carried = self.carried(base.raw, owner, &family.credential, Some(&target));
        Some(Draft {
            matcher: Matcher {
                path,
                ..base.matcher.clone()
            },
            raw: base.raw,
            name: format!("{} {}", base.name, family.path.value),
            target,
            credential: Some(carried.ok()?),
            defaults: base.defaults,
        })
    }
}

fn strips(draft: &Draft<'_>) -> bool {
    let strip = given(&draft.raw.strip_prefix, draft.defaults, |d| &d.strip_prefix);
    strip.is_none_or(|strip| strip.value)
}

/// The path at the upstream that all requests of a route begin with, or have.
fn upstream_path(draft: &Draft<'_>) -> String {
    let (base, replaces) = draft.base_path();
    let matched = draft.matcher.path.to_string();
    match replaces {
        true => base.into(),
        false => format!("{}{}", base.trim_end_matches('/'), matched),
    }
}

fn covers(family: &Sp<String>, path: &str) -> bool {
    match family.ends_with('/') {
        true => path.starts_with(family.as_str()),
        false => path == family.as_str(),
    }
}

/// Whether two routes could not be told apart; a route's own conditions are all the same here.
fn same(one: &Matcher, other: &Matcher) -> bool {
    format!("{one:?}") == format!("{other:?}")
}
