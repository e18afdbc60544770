//! What an answer is that is no success, and what of its own words an operator is told.

use std::collections::BTreeMap;

use http::StatusCode;
use zeroize::Zeroizing;

use super::{
    NOW,
    extract::Condition,
    step::{Request, URL},
    template::Values,
};
use crate::credentials::{
    FailureKind, FetchError, Retry,
    endpoint::Answer,
    token_call::SHOWN,
    token_response,
    token_words::{self, Sent},
};

/// Why an answer is no success.
pub(super) enum Refused {
    /// It says that what it was sent of the links is no good.
    Links(FetchError),
    /// A new run may mend it.
    Again(FetchError),
    Failed(FetchError),
}

impl Request {
    /// A status that is none of those wanted.
    pub(super) fn unexpected(&self, answer: &Answer, values: &Values) -> Refused {
        let status = answer.status;
        let error = said(answer).filter(|_| !status.is_success());
        let error = error.unwrap_or_else(|| {
            let detail = format!("answered {}, which it should not", status.as_u16());
            FetchError::malformed(detail)
        });
        let error = self.told(error, answer, values);
        if status == StatusCode::UNAUTHORIZED && !self.links.is_empty() {
            return Refused::Links(error);
        }
        self.retried(answer, error)
    }

    /// A condition that does not hold.
    pub(super) fn unsuccessful(
        &self,
        condition: &Condition,
        answer: &Answer,
        values: &Values,
    ) -> Refused {
        let detail = match condition.equals.is_some() {
            true => "`success`: the answer says otherwise".to_owned(),
            false => format!("`success`: {}", condition.from.describe()),
        };
        // An error inside a 200 may be one that passes by itself.
        let said = said(answer).filter(|said| said.refusal.is_some());
        let (kind, retry) = said.map_or((FailureKind::Rejected, Retry::Permanent), |said| {
            (said.kind, said.retry)
        });
        let error = FetchError {
            retry,
            ..FetchError::permanent(kind, detail)
        };
        self.retried(answer, self.told(error, answer, values))
    }

    /// An answer without something that is wanted.
    pub(super) fn incomplete(&self, detail: String, answer: &Answer, values: &Values) -> Refused {
        let error = FetchError::malformed(detail);
        self.retried(answer, self.told(error, answer, values))
    }

    pub(super) fn retried(&self, answer: &Answer, error: FetchError) -> Refused {
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

    /// The error with what the endpoint says for itself, and where it is.
    fn told(&self, error: FetchError, answer: &Answer, values: &Values) -> FetchError {
        let words = token_words::words(&answer.headers, &answer.body, &self.secrets(values));
        error.with_words(words).at(&self.shown)
    }

    /// Everything that an answer could hold an echo of: what the run knows, and what the file itself sends.
    pub(super) fn secrets(&self, values: &Values) -> Sent {
        let mut sent = Sent::default();
        for (_, text) in values.texts.iter().filter(|(name, _)| *name != NOW) {
            sent.add(text.expose());
        }
        let mut add = |text: &str| {
            // Answers are full of such: `1`, `ok`.
            if text.len() >= SHORTEST_SECRET {
                sent.add(text);
            }
        };
        let parts = values.parts.values().flat_map(BTreeMap::values);
        parts.for_each(|text| add(text.expose()));
        let is_plain = |name: &str| SHOWN.contains(&name) || PLAIN.contains(&name);
        for (name, template) in self.sent().into_iter().filter(|(name, _)| *name != URL) {
            if !is_plain(name)
                && let Some(text) = template.render(values)
            {
                add(&text);
                // Of `Basic abc`, the scheme is none.
                add(text.split_once(' ').map_or("", |(_, rest)| rest));
            }
        }
        let query = self
            .url_query
            .as_ref()
            .and_then(|query| query.render(values));
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !is_plain(&name) {
                add(&Zeroizing::new(value.into_owned()));
            }
        }
        sent
    }
}

/// What an answer is as that of a token endpoint, where it is no token.
fn said(answer: &Answer) -> Option<FetchError> {
    token_response::read(answer.status, &answer.headers, &answer.body, answer.wall).err()
}

/// Header fields whose values are no secrets.
const PLAIN: [&str; 3] = ["accept", "content-type", "user-agent"];

const SHORTEST_SECRET: usize = 4;
