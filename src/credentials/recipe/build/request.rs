//! A step's call: where it goes, what it carries, what is taken out of its answer.

use std::{sync::Arc, time::Duration};

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use super::{
    super::{
        call::is_plain,
        keys::{RequestKeys, StepKeys},
        step::{Again, Body, Request},
        template::{Place, Template, TemplateFault, is_template},
    },
    Builder, url,
    values::{all, given},
};
use crate::{
    config::{
        Diagnostic, HttpUrl, Sp, Span,
        scalars::{MaskedText, Named},
    },
    credentials::{Endpoint, EndpointError, EndpointSettings, grants::oauth::Tls},
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
        let (origin, path, query) = url::split(&text);
        if is_template(origin) {
            let error = self.fault(keys.url.span, "scheme and host of this URL hold a template");
            self.cx
                .report(error.hint("write them out: they decide where the secrets go"));
            return None;
        }
        let endpoint = self.endpoint(origin, keys);
        let path_template = self.path(path, query, keys.url.span, name);
        let url_query = query.map(|it| self.compile(it, keys.url.span, Place::Query, name, "url"));
        let body = self.body(keys, name);
        let bearer = keys.bearer.as_ref();
        let bearer = bearer.map(|it| self.template(it, Place::Text, name, "bearer"));
        let headers = self.headers(keys, name);
        let query = self.pairs(keys.query.as_ref(), name, "query");
        let redirect = step.redirect.as_ref();
        let redirect = redirect.map(|it| self.redirect(it, name, self.patience(keys)));
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
        let shown: Arc<str> = format!("{origin}{}", url::shown(path)).into();
        Some(Request {
            endpoint: endpoint?.calling(&shown),
            shown,
            method: keys.method.value.clone(),
            path: path_template?,
            url_query: given(url_query)?,
            query: query?,
            headers: headers?,
            bearer: given(bearer)?,
            body: body?,
            statuses: step
                .status
                .iter()
                .flat_map(|all| all.iter())
                .map(|it| it.value)
                .collect(),
            redirect: given(redirect)?,
            success: success?,
            captures: captures?,
            again: again.collect(),
            links: Vec::new(),
        })
    }

    fn path(
        &mut self,
        path: &str,
        query: Option<&str>,
        span: Span,
        step: &str,
    ) -> Option<Template> {
        let is_fragment = |text: &str| url::fixed(text).contains('#');
        let why = if is_fragment(path) || query.is_some_and(is_fragment) {
            Some((
                "this URL has a fragment",
                "remove the `#` and what follows; it is never sent",
            ))
        } else if !is_plain(&url::shown(path)) {
            Some((
                "the path of this URL has a dot segment or a `\\`",
                "write where it leads",
            ))
        } else {
            None
        };
        if let Some((message, hint)) = why {
            let error = self.fault(span, message);
            self.cx.report(error.hint(hint));
            return None;
        }
        self.compile(path, span, Place::Path, step, "url")
    }

    fn body(&mut self, keys: &Sp<RequestKeys>, step: &str) -> Option<Body> {
        match (&keys.json, &keys.form, &keys.text) {
            (None, None, None) => Some(Body::None),
            (Some(json), None, None) => self.shape(json, false, step, "json").map(Body::Json),
            (None, Some(form), None) => self.pairs(Some(form), step, "form").map(Body::Form),
            (None, None, Some(text)) => {
                let text = self.template(text, Place::Text, step, "text")?;
                Some(Body::Text(Box::new(text)))
            }
            _ => {
                let message =
                    format!("step `{step}` has more than one of `json`, `form` and `text`");
                let error = self.fault(keys.span, message);
                self.cx
                    .report(error.hint("a request has one body: leave the others out"));
                None
            }
        }
    }

    pub(super) fn endpoint(&mut self, origin: &str, keys: &RequestKeys) -> Option<Endpoint> {
        if let Err((message, hint)) = HttpUrl::parse(origin) {
            let error = self.fault(keys.url.span, message);
            self.cx.report(error.hint(hint));
            return None;
        }
        let config = self.config;
        let tls: Option<&Sp<Tls>> = keys.tls.as_ref().or(config.tls.as_ref());
        let timeout = keys.timeout.as_ref().unwrap_or(&config.timeout);
        if timeout.value > LONGEST_CALL {
            let warning = Diagnostic::warning(timeout.span, "no call takes longer than 60s");
            self.cx.report(warning.hint("write `60s` or less"));
        }
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
            let value = self.template(value, Place::Text, step, "headers");
            let (message, hint) = match name.parse::<HeaderName>() {
                Err(_) => (
                    "this is no name of a header",
                    "letters, digits and `-`, as in `X-Api-Key`",
                ),
                Ok(header) if FRAMING.contains(&header) => (
                    "this header can't be set here",
                    "leave it out: how a message is framed is not the file's business",
                ),
                Ok(AUTHORIZATION) if keys.bearer.is_some() => (
                    "`bearer` is the `Authorization` that this sets too",
                    "remove one of the two",
                ),
                Ok(header) => {
                    headers.push(value.map(|value| (header, value)));
                    continue;
                }
            };
            let error = self.fault(name.span, message);
            self.cx.report(error.hint(hint));
        }
        all(headers)
    }

    pub(super) fn pairs(
        &mut self,
        named: Option<&Sp<Named<MaskedText>>>,
        step: &str,
        field: &str,
    ) -> Option<Vec<(String, Template)>> {
        let mut pairs = Vec::new();
        for (name, value) in named.iter().flat_map(|all| all.iter()) {
            if is_template(name) {
                self.unusable(TemplateFault::Name, name.span, step, field);
            }
            let value = self.template(value, Place::Text, step, field);
            pairs.push(value.map(|value| (name.value.clone(), value)));
        }
        all(pairs)
    }
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
