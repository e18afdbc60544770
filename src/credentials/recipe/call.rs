//! The sending half of a step's call: everything filled in and encoded for its place.

use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE},
};
use zeroize::Zeroizing;

use super::{
    callback::Awaited,
    cookies::Cookies,
    step::{Body, Request, unfilled},
    template::{Template, Values},
};
use crate::credentials::{
    FetchError,
    endpoint::{Answer, Call},
    form::Form,
};

/// A call, ready to be made.
pub(super) struct Ready {
    pub(super) path: Zeroizing<String>,
    pub(super) query: Option<Form>,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Zeroizing<String>>,
    awaited: Option<Awaited>,
}

impl Request {
    pub(super) fn prepare(&self, values: &Values, cookies: &Cookies) -> Result<Ready, FetchError> {
        let path = self.path.render(values);
        let path = path
            .filter(|path| is_plain(path))
            .ok_or_else(|| unfilled("url"))?;
        let mut query = None;
        if let Some(template) = &self.url_query {
            let text = template.render(values).ok_or_else(|| unfilled("url"))?;
            query = Some(Form::after(&text));
        }
        if !self.query.is_empty() {
            let mut form = query.unwrap_or_default();
            fill(&self.query, values, &mut form, "query")?;
            query = Some(form);
        }
        let mut headers = HeaderMap::new();
        for (name, template) in &self.headers {
            let value = template.render(values).as_deref().and_then(|it| field(it));
            let value = value.ok_or_else(|| unfilled(&format!("headers.{name}")))?;
            headers.append(name, value);
        }
        if let Some(bearer) = &self.bearer {
            let value = bearer.render(values).and_then(|token| {
                let text = Zeroizing::new(format!("Bearer {}", *token));
                field(&text).filter(|_| !token.is_empty())
            });
            headers.insert(AUTHORIZATION, value.ok_or_else(|| unfilled("bearer"))?);
        }
        cookies.add(self.endpoint.shown(), &mut headers);
        let (kind, body) = match &self.body {
            Body::None => (None, None),
            Body::Json(shape) => {
                let mut text = Zeroizing::new(String::with_capacity(4096));
                shape
                    .write(values, &mut text)
                    .ok_or_else(|| unfilled("json"))?;
                (Some("application/json"), Some(text))
            }
            Body::Form(pairs) => {
                let mut form = Form::default();
                fill(pairs, values, &mut form, "form")?;
                let text = Zeroizing::new(form.as_str().to_owned());
                (Some("application/x-www-form-urlencoded"), Some(text))
            }
            Body::Text(template) => {
                let text = template.render(values).ok_or_else(|| unfilled("text"))?;
                (None, Some(text))
            }
        };
        if let Some(kind) = kind {
            let kind = HeaderValue::from_static(kind);
            headers.entry(CONTENT_TYPE).or_insert(kind);
        }
        let accept = HeaderValue::from_static("application/json");
        headers.entry(ACCEPT).or_insert(accept);
        if body.is_none() && self.method != Method::GET && self.method != Method::HEAD {
            // Said, since servers and gateways refuse a POST without it (411).
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(Ready {
            path,
            query,
            headers,
            body,
            awaited: match &self.redirect {
                Some(redirect) => redirect.expect(values)?,
                None => None,
            },
        })
    }

    pub(super) async fn send(&self, ready: Ready) -> Result<Answer, FetchError> {
        let call = Call {
            shown: Some(&self.shown),
            method: self.method.clone(),
            path: &ready.path,
            query: ready.query.as_ref().map(Form::as_str),
            headers: ready.headers,
            body: ready.body,
        };
        let answer = self.endpoint.send(call).await;
        let mut answer = answer.map_err(|error| error.at(&self.shown))?;
        if let Some(awaited) = ready.awaited
            && self.expects(answer.status)
        {
            let completed = awaited.complete(&mut answer).await;
            completed.map_err(|error| error.at(&self.shown))?;
        }
        Ok(answer)
    }
}

fn fill(
    pairs: &[(String, Template)],
    values: &Values,
    form: &mut Form,
    place: &str,
) -> Result<(), FetchError> {
    for (name, template) in pairs {
        let value = template.render(values);
        let value = value.ok_or_else(|| unfilled(&format!("{place}.{name}")))?;
        form.add(name, &value);
    }
    Ok(())
}

/// Visible ASCII with spaces inside, marked as a secret.
fn field(text: &str) -> Option<HeaderValue> {
    let visible = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let mut value = HeaderValue::from_str(text).ok().filter(|_| visible)?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether a path stays below its first slash, however it is read.
pub(super) fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains('\\')
        && path.split('/').all(|segment| {
            let segment = segment.to_ascii_lowercase().replace("%2e", ".");
            segment != "." && segment != ".."
        })
}
