//! A checked route, made with the slot of its credential.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    super::{Context, upstreams},
    Draft, given,
    subject::DraftSubject,
};
use crate::{
    callers::Callers,
    config::{
        SourceMap, Sp,
        raw::{self, RawDefaults, RawRoute, RefusedSetting, RefusedThen, SubjectSetting},
        scalars::OneOrList,
    },
    credentials::CredentialHandle,
    routes::{
        Allow, Cookies, Forwarded, Guard, Logins, OnExpiry, Refused, Route, RouteCredential, Strip,
        SubjectFrom, Timeouts, pattern::Matcher,
    },
};

/// How much of a body is kept for a replay, in bytes.
const REPLAY_BUFFER: u64 = 64 * 1024;

impl Draft<'_> {
    /// Where below the upstream its requests go, and whether that replaces what was matched.
    pub(super) fn base_path(&self) -> (Box<str>, bool) {
        let strip_prefix = given(&self.raw.strip_prefix, self.defaults, |d| &d.strip_prefix);
        let strip_prefix = strip_prefix.is_none_or(|strip| strip.value);
        upstreams::base_path(&self.target.url, &self.matcher.path, strip_prefix)
    }

    /// The route itself.
    pub(in super::super) fn finish(
        self,
        handles: &HashMap<String, CredentialHandle>,
        callers: &Callers,
        source: &SourceMap,
        cx: &Context<'_>,
    ) -> (Matcher, Route) {
        let written = &self.raw.value;
        let defaults = self.defaults;
        let settings = self.credential.as_ref().map(|carried| carried.settings);
        let (base_path, strip_prefix) = self.base_path();
        let (mut logins, mut placeholders) = (None, None);
        let credential = self.credential.map(|credential| {
            logins = Logins::below(&base_path, credential.logins);
            placeholders = credential.placeholders;
            let subject = subject_from(credential.subject, callers);
            let handle = handles
                .get(credential.name)
                .expect("every draft's credential was built");
            let origin = self.target.upstream.origin();
            RouteCredential {
                handle: handle.clone(),
                // Of the slot's own source, which may be older than this file.
                nonce: handle.source().proof_key().map(|key| key.nonce_of(&origin)),
                injection: match subject {
                    Some(_) => credential.injection.for_many(),
                    None => credential.injection,
                },
                subject,
                overwrite: credential.overwrite,
                wait: credential.wait,
                on_failure: credential.on_failure,
            }
        });
        let mut strip = strip(written, defaults);
        if let Some(more) = settings.and_then(|settings| settings.strip.as_ref()) {
            let more = names(&more.value);
            strip.headers.extend(more.headers);
            strip.query.extend(more.query);
        }
        let cookies = given(&written.cookies, defaults, |d| &d.cookies);
        let cookies = match cookies.map(|cookies| cookies.value) {
            Some(raw::Cookies::Pass) => Cookies::Pass,
            Some(raw::Cookies::Drop) => Cookies::Drop,
            None if credential.is_some() => Cookies::Drop,
            None => Cookies::Pass,
        };
        let forwarded = given(&written.forwarded, defaults, |d| &d.forwarded);
        let forwarded = match forwarded.map(|forwarded| forwarded.value) {
            Some(raw::Forwarded::XForwarded) => Forwarded::XForwarded,
            Some(raw::Forwarded::Forwarded) => Forwarded::Forwarded,
            Some(raw::Forwarded::Pass) => Forwarded::Pass,
            Some(raw::Forwarded::Drop) | None => Forwarded::Drop,
        };
        let upgrade = given(&written.upgrade, defaults, |d| &d.upgrade);
        let on_expiry = given(&written.on_expiry, defaults, |d| &d.on_expiry);
        let on_expiry = match on_expiry.map(|on_expiry| on_expiry.value) {
            Some(raw::OnExpiry::Close) => OnExpiry::Close,
            Some(raw::OnExpiry::Keep) | None => OnExpiry::Keep,
        };
        let replay = given(&written.replay_buffer, defaults, |d| &d.replay_buffer);
        let allow = given(&written.allow, defaults, |d| &d.allow);
        // A vendor's own way to refuse is nearer than what holds for all routes.
        let refused = written
            .refused
            .as_ref()
            .or(settings.and_then(|settings| settings.refused.as_ref()))
            .or(defaults.and_then(|defaults| defaults.refused.as_ref()));
        let guard = Guard::new(credential.as_ref(), callers, &strip, cookies, forwarded);
        let websocket = upgrade.is_none_or(|upgrade| upgrade.value == raw::Upgrade::Websocket);
        let route = Route {
            metrics: cx.metrics.route(&self.name),
            name: Arc::from(self.name),
            line: source.line(self.raw.span),
            upstream: self.target.upstream,
            targets: self.target.targets,
            base_path,
            strip_prefix,
            host_header: self.target.host_header,
            credential,
            logins,
            placeholders,
            guard,
            cookies,
            allow: allow.map_or(Allow::All, |allow| {
                Allow::Only(allow.iter().map(|name| Arc::from(name.as_str())).collect())
            }),
            refused: refused.map_or_else(Refused::default, |refused| self::refused(&refused.value)),
            replay_buffer: usize::try_from(replay.map_or(REPLAY_BUFFER, |size| size.0))
                .unwrap_or(usize::MAX),
            timeouts: timeouts([
                written.timeouts.as_ref(),
                self.target.timeouts.as_ref(),
                defaults.and_then(|d| d.timeouts.as_ref()),
            ]),
            forwarded,
            websocket,
            on_expiry,
        };
        (self.matcher, route)
    }
}

fn subject_from(draft: DraftSubject, callers: &Callers) -> Option<SubjectFrom> {
    Some(match draft {
        DraftSubject::Shared => return None,
        DraftSubject::Of(SubjectSetting::Caller) => SubjectFrom::Caller,
        DraftSubject::Of(SubjectSetting::Claim(name)) => SubjectFrom::Claim(name.into()),
        DraftSubject::Of(SubjectSetting::Header(name)) => SubjectFrom::Header(name),
        DraftSubject::Tokens(from) => SubjectFrom::Tokens {
            from,
            jwts: Arc::clone(callers.jwts()),
        },
    })
}

fn strip(raw: &RawRoute, defaults: Option<&RawDefaults>) -> Strip {
    let given = given(&raw.strip, defaults, |d| &d.strip);
    given.map_or_else(Strip::default, |strip| names(strip))
}

fn names(strip: &raw::StripList) -> Strip {
    let texts = |names: &OneOrList<String>| names.iter().map(|name| name.value.clone()).collect();
    Strip {
        headers: strip
            .headers
            .iter()
            .flat_map(|names| names.iter())
            .map(|name| name.to_string())
            .collect(),
        query: strip
            .query
            .as_ref()
            .map(|names| texts(names))
            .unwrap_or_default(),
    }
}

fn refused(setting: &RefusedSetting) -> Refused {
    let RefusedSetting::When(raw) = setting else {
        return Refused {
            statuses: Vec::new(),
            grpc_statuses: Vec::new(),
            challenge_errors: Vec::new(),
            // What it says of a proof is the client's to read, too.
            then_pass: true,
        };
    };
    let mut refused = Refused {
        then_pass: raw.then.value == RefusedThen::Pass,
        ..Refused::default()
    };
    for status in raw.status.iter().flat_map(|list| list.iter()) {
        if !refused.statuses.contains(&status.value) {
            refused.statuses.push(status.value);
        }
    }
    for status in raw.grpc_status.iter().flat_map(|list| list.iter()) {
        if !refused.grpc_statuses.contains(&status.value.0) {
            refused.grpc_statuses.push(status.value.0);
        }
    }
    refused.challenge_errors = raw
        .error
        .iter()
        .flat_map(|list| list.iter())
        .map(|e| e.value.clone())
        .collect();
    refused
}

/// Each time from the first that gives it.
fn timeouts(given: [Option<&Sp<raw::RawTimeouts>>; 3]) -> Timeouts {
    let pick = |get: fn(&raw::RawTimeouts) -> Option<&Sp<Duration>>, default: Duration| {
        given
            .iter()
            .flatten()
            .find_map(|timeouts| get(timeouts))
            .map_or(default, |time| time.value)
    };
    let default = Timeouts::default();
    Timeouts {
        connect: pick(|t| t.connect.as_ref(), default.connect),
        response_head: pick(|t| t.response_head.as_ref(), default.response_head),
        idle_body: pick(|t| t.idle_body.as_ref(), default.idle_body),
        idle_stream: pick(|t| t.idle_stream.as_ref(), default.idle_stream),
    }
}
