//! One step: what it sends, what it signs, and what it makes of an answer.

use std::{collections::BTreeSet, sync::Arc};

use http::{HeaderName, Method, StatusCode};

use super::{
    extract::{Capture, Condition, Extract, Read},
    json::Shape,
    redirect::Redirect,
    refusal::Refused,
    template::{Template, Values},
};
use crate::{
    credentials::{Endpoint, FetchError, Linked, SigningKey, endpoint::Answer},
    secret::Secret,
};

/// A link, a signature or a call, with what it waits for.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) when: Option<Template>,
    pub(super) work: Work,
    /// Indices of the steps that come before it.
    pub(super) waits_for: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Work {
    Link(Linked),
    Sign(Box<Sign>),
    Call(Box<Request>),
}

#[derive(Debug)]
pub(super) struct Sign {
    pub(super) key: SigningKey,
    pub(super) header: Option<Shape>,
    pub(super) claims: Shape,
}

#[derive(Debug)]
pub(super) struct Request {
    /// Scheme and authority.
    pub(super) endpoint: Endpoint,
    /// Scheme, authority and path, with `{x}` for each segment that is filled in.
    pub(super) shown: Arc<str>,
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) url_query: Option<Template>,
    pub(super) query: Vec<(String, Template)>,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) bearer: Option<Template>,
    pub(super) body: Body,
    pub(super) statuses: Vec<StatusCode>,
    pub(super) redirect: Option<Redirect>,
    pub(super) success: Vec<Condition>,
    pub(super) captures: Vec<Capture>,
    pub(super) again: Vec<Again>,
    /// The links whose parts it sends.
    pub(super) links: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Body {
    None,
    Json(Shape),
    Form(Vec<(String, Template)>),
    Text(Box<Template>),
}

/// A failure that a new run may mend.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) statuses: Vec<StatusCode>,
    pub(super) contains: Option<String>,
}

impl Step {
    /// An error of this step: named, with no value.
    pub(super) fn error(&self, error: FetchError) -> FetchError {
        error.at(&format!("step `{}`", self.name))
    }

    /// The names that it uses, but for those of its own captures.
    pub(super) fn reads(&self) -> BTreeSet<&str> {
        let mut templates: Vec<&Template> = self.when.iter().collect();
        let mut reads = BTreeSet::new();
        let mut sent = Vec::new();
        match &self.work {
            Work::Link(_) => {}
            Work::Sign(sign) => sign.leaves(&mut sent),
            Work::Call(request) => {
                sent = request.sent();
                let redirect = request.redirect.iter();
                templates.extend(redirect.flat_map(Redirect::templates));
                for condition in &request.success {
                    templates.extend(condition.from.templates());
                    templates.extend(&condition.equals);
                }
                let mut own = BTreeSet::new();
                for capture in &request.captures {
                    let places = capture.from.iter().flat_map(Extract::templates);
                    let names = places.chain(&capture.default).flat_map(Template::names);
                    reads.extend(names.filter(|name| !own.contains(name)));
                    own.insert(capture.name.as_str());
                }
            }
        }
        templates.extend(sent.into_iter().map(|(_, template)| template));
        reads.extend(templates.into_iter().flat_map(Template::names));
        reads
    }
}

impl Sign {
    fn leaves<'a>(&'a self, found: &mut Vec<(&'a str, &'a Template)>) {
        self.header.iter().for_each(|it| it.leaves("header", found));
        self.claims.leaves("claims", found);
    }

    /// Header and claims.
    pub(super) fn fill(&self, values: &Values) -> Result<(Members, Members), FetchError> {
        let header = match &self.header {
            Some(header) => header.members(values).ok_or_else(|| unfilled("header"))?,
            None => Members::new(),
        };
        let claims = self.claims.members(values);
        Ok((header, claims.ok_or_else(|| unfilled("claims"))?))
    }
}

type Members = serde_json::Map<String, serde_json::Value>;

impl Request {
    /// The templates of what is sent, each with the name of its place.
    pub(super) fn sent(&self) -> Vec<(&str, &Template)> {
        fn named<N: AsRef<str>>(
            pairs: &[(N, Template)],
        ) -> impl Iterator<Item = (&str, &Template)> {
            pairs
                .iter()
                .map(|(name, template)| (name.as_ref(), template))
        }
        let mut all = vec![(URL, &self.path)];
        all.extend(self.url_query.iter().map(|template| (URL, template)));
        all.extend(named(&self.query));
        all.extend(named(&self.headers));
        all.extend(self.bearer.iter().map(|template| ("bearer", template)));
        match &self.body {
            Body::None => {}
            Body::Json(shape) => shape.leaves("json", &mut all),
            Body::Form(pairs) => all.extend(named(pairs)),
            Body::Text(template) => all.push(("text", template)),
        }
        all
    }

    pub(super) fn expects(&self, status: StatusCode) -> bool {
        match self.statuses.is_empty() {
            true => status.is_success(),
            false => self.statuses.contains(&status),
        }
    }

    /// Puts what is captured into `values`, below `name`.
    pub(super) fn absorb(
        &self,
        name: &str,
        answer: &Answer,
        values: &mut Values,
    ) -> Result<(), Refused> {
        if !self.expects(answer.status) {
            return Err(self.unexpected(answer, values));
        }
        let read = Read::new(answer);
        if let Some(redirect) = &self.redirect {
            let checked = redirect.check(&read, values, || self.secrets(values));
            checked.map_err(|error| self.retried(answer, error.at(&self.shown)))?;
        }
        for condition in &self.success {
            if !condition.holds(&read, values) {
                return Err(self.unsuccessful(condition, answer, values));
            }
        }
        // While the answer is read, what was captured before goes by its bare name.
        let mut shadowed = Vec::new();
        for capture in &self.captures {
            let mut found = capture.from.iter().find_map(|it| it.find(&read, values));
            if found.is_none() {
                found = capture.default.as_ref().and_then(|it| it.render(values));
            }
            match found {
                Some(text) if text.len() > LONGEST_VALUE => {
                    let detail = format!("`capture.{}`: it is longer than 64 KiB", capture.name);
                    return Err(self.incomplete(detail, answer, values));
                }
                Some(text) => {
                    let secret = Secret::new(text.to_string());
                    let parts = values.parts.entry(name.to_owned()).or_default();
                    parts.insert(capture.name.clone(), secret.clone());
                    let before = values.texts.insert(capture.name.clone(), secret);
                    shadowed.push((capture.name.clone(), before));
                }
                None if capture.optional => {}
                None => {
                    let why: Vec<String> = capture.from.iter().map(|it| it.describe()).collect();
                    let detail = format!("`capture.{}`: {}", capture.name, why.join(", "));
                    return Err(self.incomplete(detail, answer, values));
                }
            }
        }
        for (name, before) in shadowed {
            match before {
                Some(text) => values.texts.insert(name, text),
                None => values.texts.remove(&name),
            };
        }
        Ok(())
    }
}

/// Names the field, never what was to stand there.
pub(super) fn unfilled(field: &str) -> FetchError {
    FetchError::malformed(format!(
        "`{field}` can't be filled in: a value is absent, or can't stand there"
    ))
}

/// What is captured may be more than a part of a credential: a signed document, a state.
const LONGEST_VALUE: usize = 64 * 1024;

/// The place of a URL's own path and query.
pub(super) const URL: &str = "url";
