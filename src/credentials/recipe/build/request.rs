//! A step's call: where it goes, what it carries, what is taken out of its answer.

use std::time::Duration;

use super::{
    super::{
        keys::{RequestKeys, StepKeys},
        step::{Again, Body, Request},
        template::{Place, Template},
    },
    Builder,
};
use crate::{
    config::{
        HttpUrl, Sp,
        scalars::{MaskedText, Named},
    },
    credentials::{Endpoint, EndpointError, EndpointSettings, grants::oauth::Tls},
};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

impl Builder<'_> {
    pub(super) fn request(
        &mut self,
        keys: &Sp<RequestKeys>,
        step: &Sp<StepKeys>,
    ) -> Option<Request> {
        if !keys.failed.is_empty() {
            self.fine = false;
            return None;
        }
        let name = step.name.as_str();
        let text = keys.url.value.0.expose().to_owned();
        let (origin, path, query) = split(&text);
        if origin.contains("{{") || origin.contains("{%") {
            let error = self.fault(keys.url.span, "scheme and host of this URL hold a template");
            self.cx
                .report(error.hint("write them out: they decide where the secrets go"));
            return None;
        }
        let endpoint = self.endpoint(origin, keys)?;
        let path_template = self.compile(path, keys.url.span, Place::Path, name, "url")?;
        let url_query = match query {
            Some(query) => Some(self.compile(query, keys.url.span, Place::Query, name, "url")?),
            None => None,
        };
        let bodies = [
            keys.json.is_some(),
            keys.form.is_some(),
            keys.text.is_some(),
        ];
        if bodies.iter().filter(|given| **given).count() > 1 {
            let message = format!("step `{name}` has more than one of `json`, `form` and `text`");
            return self.fail(keys.span, message);
        }
        let body = if let Some(json) = &keys.json {
            Body::Json(self.shape(json, false, name, "json")?)
        } else if let Some(form) = &keys.form {
            Body::Form(self.pairs(Some(form), name, "form")?)
        } else if let Some(text) = &keys.text {
            Body::Text(Box::new(self.template(text, Place::Text, name, "text")?))
        } else {
            Body::None
        };
        let bearer = match &keys.bearer {
            Some(bearer) => Some(self.template(bearer, Place::Text, name, "bearer")?),
            None => None,
        };
        let headers = self.headers(keys, name)?;
        let query = self.pairs(keys.query.as_ref(), name, "query")?;
        let redirect = match &step.redirect {
            Some(redirect) => Some(self.redirect(redirect, name, self.patience(keys))?),
            None => None,
        };
        let (success, captures) = (self.conditions(step), self.captures(step));
        let again = self
            .config
            .retry_from_start
            .iter()
            .flat_map(|all| all.iter());
        let again = again
            .filter(|again| again.step.value == name)
            .map(|again| Again {
                statuses: again
                    .status
                    .iter()
                    .flat_map(|all| all.iter())
                    .map(|it| it.value)
                    .collect(),
                contains: again.contains.as_ref().map(|text| text.value.clone()),
            });
        Some(Request {
            endpoint,
            origin: origin.to_owned(),
            shown: format!("{origin}{}", shown(path)).into(),
            method: keys.method.value.clone(),
            path: path_template,
            url_query,
            query,
            headers,
            bearer,
            body,
            statuses: step
                .status
                .iter()
                .flat_map(|all| all.iter())
                .map(|it| it.value)
                .collect(),
            redirect,
            success: success?,
            captures: captures?,
            again: again.collect(),
            links: Vec::new(),
        })
    }

    pub(super) fn endpoint(&mut self, origin: &str, keys: &RequestKeys) -> Option<Endpoint> {
        if let Err((message, hint)) = HttpUrl::parse(origin) {
            let error = self.fault(keys.url.span, message);
            self.cx.report(error.hint(hint));
            return None;
        }
        let config = self.config;
        let tls: Option<&Sp<Tls>> = keys.tls.as_ref().or(config.tls.as_ref());
        let mut settings = EndpointSettings {
            connect_timeout: config.connect_timeout.value,
            timeout: self.patience(keys),
            danger_plaintext: config.danger_plaintext.value,
            ..EndpointSettings::new(origin)
        };
        if let Some(tls) = tls {
            match tls.add(settings, self.cx) {
                Some(added) => settings = added,
                None => {
                    self.fine = false;
                    return None;
                }
            }
        }
        match Endpoint::new(&settings) {
            Ok(endpoint) => {
                self.print(|print| endpoint.fingerprint(print));
                Some(endpoint)
            }
            Err(error) => {
                let span = tls
                    .and_then(|tls| tls.place(&error))
                    .unwrap_or(keys.url.span);
                let fault = self.fault(span, error.to_string());
                self.cx.report(match error {
                    EndpointError::Plaintext => {
                        fault.hint("write `https://`, or add `danger_plaintext: true`")
                    }
                    _ => fault,
                });
                None
            }
        }
    }

    /// How long a call, and whatever it waits for, may take.
    fn patience(&self, keys: &RequestKeys) -> Duration {
        let timeout = keys.timeout.as_ref().unwrap_or(&self.config.timeout);
        timeout.value.min(LONGEST_CALL)
    }

    pub(super) fn headers(
        &mut self,
        keys: &RequestKeys,
        step: &str,
    ) -> Option<Vec<(HeaderName, Template)>> {
        let mut headers = Vec::new();
        for (name, value) in keys.headers.iter().flat_map(|all| all.iter()) {
            let Ok(header) = name.parse::<HeaderName>() else {
                return self.fail(name.span, "this is no name of a header");
            };
            if FRAMING.contains(&header) || header == AUTHORIZATION && keys.bearer.is_some() {
                return self.fail(name.span, "this header can't be set here");
            }
            headers.push((header, self.template(value, Place::Text, step, "headers")?));
        }
        Some(headers)
    }

    pub(super) fn pairs(
        &mut self,
        named: Option<&Sp<Named<MaskedText>>>,
        step: &str,
        field: &str,
    ) -> Option<Vec<(String, Template)>> {
        let mut pairs = Vec::new();
        for (name, value) in named.iter().flat_map(|all| all.iter()) {
            pairs.push((
                name.value.clone(),
                self.template(value, Place::Text, step, field)?,
            ));
        }
        Some(pairs)
    }
}

/// Scheme with authority, path, and query where there is one.
fn split(url: &str) -> (&str, &str, Option<&str>) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..]
        .find(['/', '?'])
        .map_or(url.len(), |at| start + at);
    let (origin, rest) = url.split_at(end);
    // A `?` in a template is part of it.
    let mut depth = 0usize;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'?' if depth == 0 => return (origin, path(&rest[..at]), Some(&rest[at + 1..])),
            _ => {}
        }
    }
    (origin, path(rest), None)
}

fn path(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// The path with `{x}` in the place of each segment that is filled in.
fn shown(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.contains("{{") {
        true => "{x}",
        false => segment,
    });
    // A template with a slash inside leaves its end behind.
    let segments: Vec<&str> = segments.filter(|segment| !segment.contains("}}")).collect();
    segments.join("/")
}

const FRAMING: [HeaderName; 9] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    ACCEPT_ENCODING,
    TE,
    TRAILER,
    UPGRADE,
    EXPECT,
];

/// Below what a source as a whole may take.
const LONGEST_CALL: Duration = Duration::from_secs(60);
