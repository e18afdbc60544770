//! The redirect that a call is answered with: never followed, but held against what was asked.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use http::{HeaderMap, StatusCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    callback::Awaited,
    extract::Read,
    step::unfilled,
    template::{Template, Values},
};
use crate::credentials::{
    FetchError, Refused,
    endpoint::Landing,
    token_response,
    token_words::{self, Sent},
};

/// What a redirect has to be.
#[derive(Debug)]
pub(super) struct Redirect {
    /// Scheme, authority and path of where it leads.
    pub(super) to: Template,
    /// Its `state`, or that of an answer in JSON.
    pub(super) state: Option<Template>,
    /// Where the vendor's server may come by itself.
    pub(super) listen: Option<SocketAddr>,
    /// How long that may take.
    pub(super) wait: Duration,
}

impl Redirect {
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        [&self.to].into_iter().chain(&self.state)
    }

    /// Listens, where the vendor's server may come by itself: before it hears of it.
    pub(super) fn expect(&self, values: &Values) -> Result<Option<Awaited>, FetchError> {
        let Some(address) = self.listen else {
            return Ok(None);
        };
        let state = self
            .state(values)?
            .ok_or_else(|| unfilled("redirect.state"))?;
        Awaited::new(address, self.to(values)?, &state, self.wait).map(Some)
    }

    /// Nothing of an answer is believed before this: that it is the answer to what was asked, and no refusal.
    pub(super) fn check(
        &self,
        read: &Read<'_>,
        values: &Values,
        secrets: impl FnOnce() -> Sent,
    ) -> Result<(), FetchError> {
        let state = self.state(values)?;
        let ours = |found: Option<&Zeroizing<String>>| match &state {
            Some(sent) if found != Some(sent) => Err(FetchError::malformed(
                "the answer does not hold the `state` that was sent",
            )),
            _ => Ok(()),
        };
        let Some(landing) = &read.answer.landing else {
            let found = read.json.as_ref().and_then(|json| json.text("/state"));
            return ours(found.as_ref());
        };
        if landing.place != self.to(values)?.place {
            return Err(FetchError::malformed(
                "the redirect does not lead to where it should: a log-in page, or another client's",
            ));
        }
        let mut query = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(landing.query.as_bytes()) {
            let value = Zeroizing::new(value.into_owned());
            // RFC 6749 3.1.
            if query.insert(name.into_owned(), value).is_some() {
                return Err(FetchError::malformed("the redirect has a parameter twice"));
            }
        }
        if let Some(error) = query.get("error") {
            let words = query.get("error_description");
            return Err(refused(read.answer.status, error, words, &secrets()));
        }
        ours(query.get("state"))
    }

    fn state(&self, values: &Values) -> Result<Option<Zeroizing<String>>, FetchError> {
        let state = self.state.as_ref().map(|state| state.render(values));
        match state {
            Some(None) => Err(unfilled("redirect.state")),
            Some(state) => Ok(state),
            None => Ok(None),
        }
    }

    fn to(&self, values: &Values) -> Result<Landing, FetchError> {
        let to = self.to.render(values);
        to.and_then(|to| Landing::of(&to))
            .ok_or_else(|| unfilled("redirect.to"))
    }
}

/// RFC 6749 4.1.2.1; the kind is that of the same code at a token endpoint.
fn refused(
    status: StatusCode,
    code: &str,
    words: Option<&Zeroizing<String>>,
    secrets: &Sent,
) -> FetchError {
    let said = json!({ "error": code, "error_description": words.map(|words| words.as_str()) });
    let said = Zeroizing::new(said.to_string());
    let (no_headers, body) = (HeaderMap::new(), said.as_bytes());
    let read = token_response::read(StatusCode::BAD_REQUEST, &no_headers, body, Duration::ZERO);
    let Err(error) = read else {
        return FetchError::malformed("the redirect refuses");
    };
    let code = error.code();
    let detail = match code {
        Some(code) => format!("the redirect says error {code}"),
        None => "the redirect says error".to_owned(),
    };
    FetchError {
        detail: detail.into(),
        refusal: Some(Refused {
            status: status.as_u16(),
            code,
        }),
        ..error
    }
    .with_words(token_words::words(&no_headers, body, secrets))
}
