//! What is taken out of an answer: by JSON pointer, header, cookie, redirect, expression, or a JWT's claims.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderName;
use regex::bytes::Regex;
use zeroize::Zeroizing;

use super::{
    cookies,
    json::Parsed,
    template::{Template, Values},
};
use crate::{
    credentials::endpoint::{Answer, Landing},
    percent,
};

/// Where one value stands.
#[derive(Debug)]
pub(super) enum Extract {
    Json(String),
    /// In the only entry of a list that has these texts.
    Entry {
        list: String,
        /// By pointer into the entry.
        with: Vec<(String, Template)>,
        pointer: String,
    },
    Header(HeaderName),
    Cookie(String),
    /// A parameter of the redirect that was not followed.
    Location {
        parameter: String,
        /// What the redirect's URL must be, without its query.
        to: Option<Template>,
    },
    /// The first group of an expression over the body.
    Regex(Box<Regex>),
    /// A claim of a JWT, unverified.
    Jwt {
        token: Template,
        pointer: String,
    },
}

/// One value with what to do where it is absent.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) name: String,
    /// The first that is there.
    pub(super) from: Vec<Extract>,
    pub(super) default: Option<Template>,
    pub(super) optional: bool,
}

/// A condition on an answer.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) from: Extract,
    /// Without it, it is enough to be there and neither empty nor `false`.
    pub(super) equals: Option<Template>,
    pub(super) optional: bool,
}

/// An answer whose body is parsed at most once.
pub(super) struct Read<'a> {
    pub(super) answer: &'a Answer,
    pub(super) json: Option<Parsed>,
}

impl<'a> Read<'a> {
    pub(super) fn new(answer: &'a Answer) -> Self {
        Self {
            json: Parsed::read(&answer.body),
            answer,
        }
    }
}

impl Extract {
    /// The value, as text.
    pub(super) fn find(&self, read: &Read<'_>, values: &Values) -> Option<Zeroizing<String>> {
        let headers = &read.answer.headers;
        match self {
            Self::Json(pointer) => read.json.as_ref()?.text(pointer),
            Self::Entry {
                list,
                with,
                pointer,
            } => {
                let wanted = with
                    .iter()
                    .map(|(at, text)| Some((at, text.render(values)?)));
                let wanted: Vec<_> = wanted.collect::<Option<_>>()?;
                let json = read.json.as_ref()?;
                json.text_of_entry(list, pointer, |text| {
                    wanted
                        .iter()
                        .all(|(at, wanted)| text(at).as_ref() == Some(wanted))
                })
            }
            Self::Header(name) => {
                let value = headers.get(name)?.to_str().ok()?;
                Some(Zeroizing::new(value.to_owned()))
            }
            Self::Cookie(name) => cookies::find(headers, name),
            Self::Location { parameter, to } => {
                let landing = read.answer.landing.as_ref()?;
                if let Some(to) = to
                    && Landing::of(&to.render(values)?)?.place != landing.place
                {
                    return None;
                }
                parameter_of(&landing.query, parameter)
            }
            Self::Regex(regex) => {
                let found = regex.captures(&read.answer.body)?.get(1)?;
                let text = std::str::from_utf8(found.as_bytes()).ok()?;
                Some(Zeroizing::new(text.to_owned()))
            }
            Self::Jwt { token, pointer } => {
                let token = token.render(values)?;
                let mut parts = token.split('.');
                let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
                let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
                Parsed::read(&Zeroizing::new(payload))?.text(pointer)
            }
        }
    }

    /// What it looks for, for a person: no value.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Json(pointer) => format!("no {pointer} in the answer"),
            Self::Entry { pointer, .. } => {
                format!(
                    "not exactly one entry of the answer's list is the one that is looked for, with {pointer}"
                )
            }
            Self::Header(name) => format!("no header {name} in the answer"),
            Self::Cookie(name) => format!("no cookie {name} in the answer"),
            Self::Location { parameter, .. } => {
                format!("no redirect to where it should lead with one `{parameter}` in its query")
            }
            Self::Regex(_) => "nothing in the answer that the regular expression matches".into(),
            Self::Jwt { pointer, .. } => format!("no JWT with the claim {pointer}"),
        }
    }

    pub(super) fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Location { to, .. } => to.iter().collect(),
            Self::Entry { with, .. } => with.iter().map(|(_, text)| text).collect(),
            Self::Jwt { token, .. } => vec![token],
            _ => Vec::new(),
        }
    }
}

impl Condition {
    pub(super) fn holds(&self, read: &Read<'_>, values: &Values) -> bool {
        let Some(found) = self.from.find(read, values) else {
            return self.optional;
        };
        match &self.equals {
            Some(equals) => equals.render(values).is_some_and(|wanted| wanted == found),
            None => !found.is_empty() && *found != "false",
        }
    }
}

/// The one value of a parameter: none where it stands twice.
fn parameter_of(query: &str, name: &str) -> Option<Zeroizing<String>> {
    let mut found = None;
    for pair in query.split('&') {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        if *percent::decode_form(known) != *name.as_bytes() {
            continue;
        }
        if found.is_some() {
            return None;
        }
        let value = percent::decode_form(value).into_owned();
        found = Some(Zeroizing::new(String::from_utf8(value).ok()?));
    }
    found
}
