//! One step: what it sends, what it signs, and what it makes of an answer.

use super::{
    extract::{Capture, Condition, Read},
    json::Shape,
    redirect::Redirect,
    template::{Template, Values},
};
use crate::{
    credentials::{
        Endpoint, FailureKind, FetchError, Linked, SigningKey, endpoint::Answer, token_response,
    },
    secret::Secret,
};
use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};

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
    pub(super) endpoint: Endpoint,
    /// Scheme and authority.
    pub(super) origin: String,
    /// Scheme, authority and path, with `{name}` for what is filled in.
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

/// Why an answer is no success.
pub(super) enum Refused {
    /// It says that what it was sent of the links is no good.
    Links(FetchError),
    /// A new run may mend it.
    Again(FetchError),
    Failed(FetchError),
}

impl Step {
    /// An error of this step: named, with no value.
    pub(super) fn error(&self, mut error: FetchError) -> FetchError {
        error.detail = format!("step `{}`: {}", self.name, error.detail).into();
        error
    }

    pub(super) fn templates(&self) -> Vec<&Template> {
        let mut all: Vec<&Template> = self.when.iter().collect();
        match &self.work {
            Work::Link(_) => {}
            Work::Sign(sign) => {
                sign.header.iter().for_each(|it| it.templates(&mut all));
                sign.claims.templates(&mut all);
            }
            Work::Call(request) => {
                request.sent(&mut all);
                request
                    .redirect
                    .iter()
                    .for_each(|it| it.templates(&mut all));
                for condition in &request.success {
                    condition.from.templates(&mut all);
                    all.extend(&condition.equals);
                }
                for capture in &request.captures {
                    capture.from.iter().for_each(|it| it.templates(&mut all));
                    all.extend(&capture.default);
                }
            }
        }
        all
    }
}

impl Sign {
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
    /// The templates of what is sent.
    pub(super) fn sent<'a>(&'a self, all: &mut Vec<&'a Template>) {
        all.push(&self.path);
        all.extend(&self.url_query);
        all.extend(self.query.iter().map(|(_, template)| template));
        all.extend(self.headers.iter().map(|(_, template)| template));
        all.extend(&self.bearer);
        match &self.body {
            Body::None => {}
            Body::Json(shape) => shape.templates(all),
            Body::Form(pairs) => all.extend(pairs.iter().map(|(_, template)| template)),
            Body::Text(template) => all.push(template),
        }
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
            return Err(self.unexpected(answer));
        }
        let read = Read::new(answer);
        if let Some(redirect) = &self.redirect {
            let checked = redirect.check(&read, values);
            checked.map_err(|error| self.retried(answer, self.at(error)))?;
        }
        for condition in &self.success {
            if !condition.holds(&read, values) {
                let why = condition.from.describe();
                let detail = match condition.equals.is_some() {
                    true => "`success`: the answer says otherwise".to_owned(),
                    false => format!("`success`: {why}"),
                };
                let error = FetchError::permanent(FailureKind::Rejected, detail);
                return Err(self.retried(answer, self.at(error)));
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
                    let error = self.at(FetchError::malformed(detail));
                    return Err(self.retried(answer, error));
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

    fn unexpected(&self, answer: &Answer) -> Refused {
        let status = answer.status;
        let read = token_response::read(status, &answer.headers, &answer.body, answer.wall);
        let error = match read {
            Err(error) if !status.is_success() => error,
            _ => {
                let detail = format!("answered {}, which it should not", status.as_u16());
                FetchError::malformed(detail)
            }
        };
        let error = self.at(error);
        if status == StatusCode::UNAUTHORIZED && !self.links.is_empty() {
            return Refused::Links(error);
        }
        self.retried(answer, error)
    }

    fn retried(&self, answer: &Answer, error: FetchError) -> Refused {
        let again = self.again.iter().any(|again| {
            let status = again.statuses.is_empty() || again.statuses.contains(&answer.status);
            let text = again
                .contains
                .as_ref()
                .is_none_or(|text| String::from_utf8_lossy(&answer.body).contains(text.as_str()));
            status && text
        });
        match again {
            true => Refused::Again(error),
            false => Refused::Failed(error),
        }
    }

    pub(super) fn at(&self, mut error: FetchError) -> FetchError {
        error.detail = format!("{}: {}", self.shown, error.detail).into();
        error
    }
}

/// Names the field, never what was to stand there.
pub(super) fn unfilled(field: &str) -> FetchError {
    FetchError::malformed(format!(
        "`{field}` can't be filled in: a value is absent, or can't stand there"
    ))
}
