//! What an upstream checks of a request, and what it tells of one that it likes: what arrived, secrets shortened.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use super::{
    asked::{only, query},
    stand_in::{Answer, json},
};

/// What an upstream saw of a request.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Arrived {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body_bytes: usize,
}

impl Arrived {
    /// The names of the fields that carry a credential.
    pub(super) fn carriers(&self) -> impl Iterator<Item = &str> {
        let all = self.headers.keys().map(String::as_str);
        all.filter(|name| CARRIERS.contains(name))
    }
}

/// Why a request does not carry exactly what its API family wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A credential is missing, there twice, or not good.
    Refused(&'static str),
    /// A credential that this family has no use for: the proxy should not have sent it.
    Surplus(&'static str),
}

/// The field of a credential, and which values are good.
pub(super) type Wanted<'a> = (&'static str, &'a dyn Fn(&str) -> bool);

/// Checks that the credentials of a request are the `wanted` ones, good, each once, and no others.
pub(super) fn exactly(request: &Request<Bytes>, wanted: &[Wanted<'_>]) -> Result<(), Wrong> {
    for (name, good) in wanted {
        let is_good = if *name == IN_QUERY {
            query(request).is_some_and(|query| query.get(*name).is_some_and(|it| good(it)))
        } else {
            only(request.headers(), name).is_some_and(good)
        };
        if !is_good {
            return Err(Wrong::Refused(name));
        }
    }
    let unwanted = |name: &&str| wanted.iter().all(|(wanted, _)| wanted != name);
    let in_headers = CARRIERS
        .into_iter()
        .find(|name| unwanted(name) && request.headers().contains_key(*name));
    let in_query = || query(request).is_none_or(|query| query.contains_key(IN_QUERY));
    match in_headers {
        Some(name) => Err(Wrong::Surplus(name)),
        None if unwanted(&IN_QUERY) && in_query() => Err(Wrong::Surplus(IN_QUERY)),
        None => Ok(()),
    }
}

/// Answers 200 and what arrived; else a surplus with 400, and the rest as the service does.
pub(super) fn echo_if(
    request: &Request<Bytes>,
    checked: &Result<(), Wrong>,
    refused: impl FnOnce() -> Answer,
) -> Answer {
    match checked {
        Ok(()) => echo(request),
        Err(Wrong::Refused(_)) => refused(),
        Err(Wrong::Surplus(name)) => json(
            StatusCode::BAD_REQUEST,
            format!("{{\"error\":\"{name} has no business here\"}}\n"),
        ),
    }
}

/// Answers 200 and what arrived.
pub(super) fn echo(request: &Request<Bytes>) -> Answer {
    let headers = request.headers().iter();
    let arrived = Arrived {
        method: request.method().to_string(),
        path: shown_target(request.uri()),
        headers: headers.map(|(name, value)| shown(name, value)).collect(),
        body_bytes: request.body().len(),
    };
    let body = serde_json::to_string_pretty(&arrived).unwrap_or_default();
    json(StatusCode::OK, body + "\n")
}

fn shown(name: &HeaderName, value: &HeaderValue) -> (String, String) {
    let value = String::from_utf8_lossy(value.as_bytes());
    let shown = if CARRIERS.contains(&name.as_str()) {
        let (scheme, token) = value.split_at(value.find(' ').map_or(0, |at| at + 1));
        format!("{scheme}{}", shortened(token))
    } else {
        value.into_owned()
    };
    (name.to_string(), shown)
}

/// Path and query, a token in it shortened.
fn shown_target(uri: &Uri) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((IN_QUERY, token)) => format!("{IN_QUERY}={}", shortened(token)),
        _ => pair.to_owned(),
    };
    match uri.query() {
        None => uri.path().to_owned(),
        Some(query) => {
            let pairs: Vec<_> = query.split('&').map(pair).collect();
            format!("{}?{}", uri.path(), pairs.join("&"))
        }
    }
}

fn shortened(token: &str) -> String {
    let start: String = token.chars().take(6).collect();
    format!("{start}... ({} characters)", token.chars().count())
}

/// The fields in which any of the systems takes a credential.
const CARRIERS: [&str; 5] = [
    "authorization",
    "sessiontoken",
    "keymanagertoken",
    "x-api-key",
    "cookie",
];
/// The parameter of the query that does, where no header can be set: WebSockets of a browser.
pub(super) const IN_QUERY: &str = "access_token";

#[cfg(test)]
mod tests {
    use super::*;

    fn with(target: &str, headers: &[(&str, &str)]) -> Request<Bytes> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Bytes::new()).expect("a good request")
    }

    fn check(request: &Request<Bytes>) -> Result<(), Wrong> {
        exactly(request, &[("sessiontoken", &|token| token == "good")])
    }

    #[test]
    fn a_credential_is_wanted_once_and_good() {
        let good = with("/", &[("sessionToken", "good")]);
        assert_eq!(check(&good), Ok(()));
        for headers in [
            [("accept", "*/*"), ("sessionToken", "bad")],
            [("sessionToken", "good"), ("sessionToken", "good")],
        ] {
            let refused = Err(Wrong::Refused("sessiontoken"));
            assert_eq!(check(&with("/", &headers)), refused);
        }
        assert!(check(&with("/", &[])).is_err());
    }

    #[test]
    fn no_other_credential_may_come_along() {
        for name in ["authorization", "keyManagerToken", "x-api-key", "cookie"] {
            let request = with("/", &[("sessionToken", "good"), (name, "x")]);
            assert!(
                matches!(check(&request), Err(Wrong::Surplus(_))),
                "{name} came along"
            );
        }
        let request = with("/?access_token=x", &[("sessionToken", "good")]);
        assert_eq!(check(&request), Err(Wrong::Surplus("access_token")));
    }

    #[test]
    fn what_is_told_holds_no_whole_token() {
        let token = "abcdefghijkl";
        let headers = [
            ("authorization", "Bearer abcdefghijkl"),
            ("sessionToken", token),
        ];
        let answer = echo(&with("/x?a=1&access_token=abcdefghijkl", &headers));
        let told = format!("{:?}", answer.into_body());
        assert!(
            told.contains("Bearer abcdef... (12 characters)") && !told.contains("ghi"),
            "{told}"
        );
    }
}
