//! `subject:` of a route, checked against its credential and its callers.

use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION},
};

use super::{super::inject, given};
use crate::{
    config::{
        Decoder, Diagnostic, Sp,
        raw::{RawCaller, RawDefaults, RawFile, RawRoute, SubjectSetting},
    },
    credentials::{Source, TokensFrom},
};

/// Whose credential a route's requests carry.
pub(super) enum DraftSubject {
    /// Everybody's.
    Shared,
    /// As the file says.
    Of(SubjectSetting),
    /// Of whoever these tokens tell of.
    Tokens(TokensFrom),
}

/// Reports what is wrong; what comes back is used only where nothing is.
///
/// `alone` says that the route carries no other credential that the subject may be meant for.
pub(super) fn check(
    file: &RawFile,
    defaults: Option<&RawDefaults>,
    raw: &RawRoute,
    credential: &Sp<String>,
    source: &dyn Source,
    alone: bool,
    decoder: &mut Decoder,
) -> DraftSubject {
    let checker = Checker {
        file,
        defaults,
        raw,
    };
    let ignored = match (source.per_subject(), source.tokens_from()) {
        (false, _) => Some("is the same for everybody"),
        (true, Some(_)) => Some("takes its subject from a token in the request"),
        (true, None) => None,
    };
    if let (Some(why), Some(subject)) = (ignored.filter(|_| alone), &raw.subject) {
        let message = format!("the credential `{}` {why}", credential.value);
        decoder.push(
            Diagnostic::warning(subject.span, message).hint("remove `subject`: nothing uses it"),
        );
    }
    if let Some(tokens) = source.tokens_from().filter(|_| source.per_subject()) {
        checker.check_tokens(tokens, credential, decoder);
        return DraftSubject::Tokens(tokens.clone());
    }
    if ignored.is_some() || raw.failed.contains(&"subject") {
        return DraftSubject::Shared;
    }
    let Some(subject) = given(&raw.subject, defaults, |d| &d.subject) else {
        let message = format!(
            "the credential `{}` is one for each user, and this route does not say whose",
            credential.value
        );
        decoder.push(Diagnostic::error(credential.span, message).hint(
            "add `subject: caller`, `subject: { claim: NAME }` or `subject: { header: NAME }`",
        ));
        return DraftSubject::Shared;
    };
    if !file.failed.contains(&"callers") {
        checker.check_callers(subject, decoder);
    }
    DraftSubject::Of(subject.value.clone())
}

struct Checker<'f> {
    file: &'f RawFile,
    defaults: Option<&'f RawDefaults>,
    raw: &'f RawRoute,
}

impl<'f> Checker<'f> {
    /// Those who may use the route.
    fn callers(&self) -> Vec<(&'f Sp<String>, &'f Sp<RawCaller>)> {
        let allow = given(&self.raw.allow, self.defaults, |d| &d.allow);
        let all = self.file.callers.iter().flat_map(|all| all.iter());
        all.filter(|(name, _)| {
            allow.is_none_or(|allow| allow.iter().any(|one| one.value == name.value))
        })
        .collect()
    }

    fn check_callers(&self, subject: &Sp<SubjectSetting>, decoder: &mut Decoder) {
        let callers = self.callers();
        match &subject.value {
            SubjectSetting::Caller if callers.is_empty() => {
                let error = Diagnostic::error(subject.span, "nobody is known to call this route");
                decoder.push(error.hint("name who may use the proxy in `callers`"));
            }
            SubjectSetting::Claim(_) if !callers.iter().any(|(_, it)| it.jwt.is_some()) => {
                let error = Diagnostic::error(
                    subject.span,
                    "no caller of this route shows a token that could have a claim",
                );
                decoder.push(error.hint("give `callers` one with a `jwt`"));
            }
            SubjectSetting::Header(name) => {
                if !callers.iter().any(|(_, it)| it.may_name_users.value) {
                    let error =
                        Diagnostic::error(subject.span, "no caller of this route may name users");
                    decoder.push(error.hint("say `may_name_users: true` of the caller that does"));
                }
                self.check_header(name, subject, decoder);
            }
            SubjectSetting::Caller | SubjectSetting::Claim(_) => {
                warn_of_mixed(subject, &callers, decoder);
            }
        }
    }

    fn check_header(&self, name: &HeaderName, at: &Sp<SubjectSetting>, decoder: &mut Decoder) {
        let all = self.file.callers.iter().flat_map(|all| all.iter());
        let proves = all
            .flat_map(|(_, caller)| {
                let key = caller.api_key.as_ref().map(|key| &key.header.value);
                key.into_iter()
                    .chain(caller.jwt.as_ref().map(|jwt| &jwt.header.value))
            })
            .any(|header| header == name);
        let taken = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name);
        if proves || taken || inject::is_ours(&Sp::new(name.clone(), at.span)) {
            let error = Diagnostic::error(at.span, format!("`{name}` can't name a user"));
            decoder.push(error.hint("use a header of its own, as in `{ header: X-User }`"));
        }
    }

    fn check_tokens(&self, tokens: &TokensFrom, at: &Sp<String>, decoder: &mut Decoder) {
        let mut callers = self.file.callers.iter().flat_map(|all| all.iter());
        let judged = callers.any(|(_, caller)| caller.jwt.is_some());
        if judged || tokens.danger_unverified || self.file.failed.contains(&"callers") {
            return;
        }
        let message = format!(
            "nobody could verify the token in `{}` that the credential `{}` exchanges",
            tokens.subject, at.value
        );
        decoder.push(Diagnostic::error(at.span, message).hint(
            "name its issuer in `callers`, with a `jwt`; or say `danger_unverified_subject: true` in the credential",
        ));
    }
}

/// Names from two places may be the same and mean two users.
fn warn_of_mixed(
    subject: &Sp<SubjectSetting>,
    callers: &[(&Sp<String>, &Sp<RawCaller>)],
    decoder: &mut Decoder,
) {
    let Some((first, one)) = callers.first() else {
        return;
    };
    if let Some((second, _)) = callers.iter().find(|(_, it)| issuer(it) != issuer(one)) {
        let message = format!(
            "callers `{}` and `{}` have users of their own: the same name of both gets the same credential",
            first.value, second.value
        );
        decoder.push(Diagnostic::warning(subject.span, message).hint(
            "give each a route of its own with `allow`, unless the names mean the same users",
        ));
    }
}

fn issuer(caller: &RawCaller) -> Option<&str> {
    caller.jwt.as_ref().map(|jwt| jwt.issuer.value.as_str())
}
