//! The query by which a path that serves everything is a login, as in `/api?action=token`.
//!
//! As with paths, a request is taken for one more generously than any server would.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, Method, header::CONTENT_TYPE};

use crate::percent;

/// The parameters of an endpoint's query that say that it is a login.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct LoginQuery(Box<[Parameter]>);

#[derive(Clone, PartialEq, Eq)]
struct Parameter {
    /// Folded.
    name: Vec<u8>,
    /// In lower case; empty for any.
    value: Vec<u8>,
}

impl LoginQuery {
    /// Of an endpoint's URL, its path decoded. `None` where the path itself says what it is, or no parameter does: another
    /// version, tenant or format of a token endpoint is still one.
    pub(super) fn of(path: &[u8], query: &str) -> Option<Self> {
        if names_a_login(path) {
            return None;
        }
        let parameters = parameters(query.as_bytes()).filter_map(|(name, value)| {
            let (name, value) = (folded(&whole(name)), whole(value).to_ascii_lowercase());
            // `grant_type=password` is a login whatever the endpoint's own type is.
            if names_a_login(&name) {
                let value = Vec::new();
                return Some(Parameter { name, value });
            }
            let value = value.trim_ascii().to_vec();
            names_a_login(&value).then_some(Parameter { name, value })
        });
        let parameters: Box<[_]> = parameters.collect();
        (!parameters.is_empty()).then_some(Self(parameters))
    }

    /// Whether the query of a request has one of these parameters, in any reading.
    pub(super) fn stands_in(&self, query: Option<&str>) -> bool {
        let Some(query) = query else { return false };
        // Each round is what a server sees that decodes once more before it splits.
        let mut text = Cow::Borrowed(query.as_bytes());
        for _ in 0..READINGS {
            if parameters(&text).any(|(name, value)| self.is(name, value)) {
                return true;
            }
            match percent::decode(&text) {
                Some(next) => text = Cow::Owned(next),
                None => return false,
            }
        }
        // Encoded more often than anybody would without a purpose.
        true
    }

    fn is(&self, name: &[u8], value: &[u8]) -> bool {
        let name = folded(&whole(name));
        self.0.iter().any(|known| {
            known.name == name && (known.is_value(value) || known.is_value(&whole(value)))
        })
    }
}

impl Parameter {
    /// `token.json`, `token;x` and `token/x` are `token` for some; `tokens` is for nobody.
    fn is_value(&self, given: &[u8]) -> bool {
        let blank = |byte: &u8| *byte <= b' ' || *byte == b'+';
        let given = &given[given.iter().take_while(|byte| blank(byte)).count()..];
        let Some((head, rest)) = given.split_at_checked(self.value.len()) else {
            return false;
        };
        let goes_on = rest
            .first()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
        self.value.is_empty() || head.eq_ignore_ascii_case(&self.value) && !goes_on
    }
}

/// Whether parameters may stand in a form, which many servers read as more of the query.
pub(super) fn may_hold_form(method: &Method, headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (None, _) => !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS),
        (Some(only), None) => {
            let text = only.as_bytes().to_ascii_lowercase();
            text.contains(&b',') || text.windows(4).any(|word| word == b"form")
        }
        (Some(_), Some(_)) => true,
    }
}

/// Names and values, as they stand there. A second `?` separates for nobody, so that it hides nothing.
fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|byte| matches!(byte, b'&' | b';' | b'?'))
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let at = parameter.iter().position(|byte| *byte == b'=');
            let (name, value) = parameter.split_at(at.unwrap_or(parameter.len()));
            (name, value.get(1..).unwrap_or_default())
        })
}

/// Decoded as often as it can be, within bounds.
fn whole(text: &[u8]) -> Cow<'_, [u8]> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..READINGS {
        match percent::decode(&text) {
            Some(next) => text = Cow::Owned(next),
            None => break,
        }
    }
    text
}

/// `Action`, `action[]`, `action ` and `ac_tion` are one name for some server.
fn folded(name: &[u8]) -> Vec<u8> {
    let index = name.iter().skip(1).position(|byte| *byte == b'[');
    let name = &name[..index.map_or(name.len(), |at| at + 1)];
    let kept = name
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric() || **byte >= 0x80);
    kept.map(u8::to_ascii_lowercase).collect()
}

fn names_a_login(text: &[u8]) -> bool {
    let text = folded(text);
    WORDS
        .iter()
        .any(|word| text.windows(word.len()).any(|it| it == word.as_bytes()))
}

/// Nothing of it: an endpoint's query may hold a secret.
impl fmt::Debug for LoginQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginQuery")
    }
}

/// How often a query is decoded.
const READINGS: usize = 4;

const WORDS: [&str; 10] = [
    "token",
    "auth",
    "login",
    "logon",
    "signin",
    "session",
    "credential",
    "grant",
    "ticket",
    "jwt",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> LoginQuery {
        LoginQuery::of(b"/api", query).expect("a query that says so")
    }

    #[test]
    fn no_spelling_of_the_query_passes() {
        let query = of("v=2&action=token");
        for denied in [
            "action=token",
            "v=2&action=token",
            "action=token&v=2",
            "action=token&v=3",
            "x=1;action=token",
            "action=list&action=token",
            "action=token&action=list",
            "ACTION=Token",
            "%61ction=%74oken",
            "a%63tion=tok%65n",
            "a%43tion=tok%45n",
            "%2561ction=token",
            "action=%2574oken",
            "action%3Dtoken",
            "action%3dtoken",
            "x=1%26action=token",
            "x=1%2526action%253dtoken",
            "action[]=token",
            "action%5b%5d=token",
            "action[0]=token",
            "+action=token",
            "action+=token",
            "action=+token",
            "action=%20token",
            "action=token%20",
            "action=token.json",
            "action=token;x",
            "action=token/",
            "action=token%00",
            "action=token%26x",
            "?action=token",
            "x?action=token",
            "&&action=token&&",
            "%25252525252561=1",
        ] {
            assert!(query.stands_in(Some(denied)), "{denied}");
        }
    }

    #[test]
    fn another_query_is_free() {
        let query = of("v=2&action=token");
        for free in [
            "",
            "v=2",
            "action",
            "action=",
            "action=list",
            "action=tokens",
            "action=token_info",
            "action=mytoken",
            "token=action",
            "q=action",
            "xaction=token",
            "q=100%25",
        ] {
            assert!(!query.stands_in(Some(free)), "{free}");
        }
        assert!(!query.stands_in(None));
    }

    #[test]
    fn a_value_may_hold_what_separates() {
        let query = of("do=oauth%26token");
        assert!(query.stands_in(Some("do=oauth%26token")));
        assert!(query.stands_in(Some("do=OAuth%2526Token")));
        assert!(!query.stands_in(Some("do=oauth")));
    }

    #[test]
    fn a_name_that_says_login_says_so_with_any_value() {
        for (query, denied) in [
            ("grant_type=client_credentials", "grant-type=password"),
            ("get_token", "get_token=1"),
            ("login=", "x=1&Login"),
        ] {
            assert!(of(query).stands_in(Some(denied)), "{query}");
            assert!(!of(query).stands_in(Some("x=1")), "{query}");
        }
    }

    #[test]
    fn a_query_that_tells_nothing_apart_leaves_the_path_a_login() {
        for (path, query) in [
            ("/oauth2/token", "action=token"),
            ("/Auth/api", "action=token"),
            ("/sign-in", "do=token"),
            ("/api", "api-version=1.0"),
            ("/api", "key=hunter2"),
            ("/api", ""),
        ] {
            let found = LoginQuery::of(path.as_bytes(), query);
            assert!(found.is_none(), "{path} {query}");
        }
    }

    #[test]
    fn what_a_form_may_hold_is_not_seen() {
        let types = |types: &[&'static str]| {
            let values = types.iter().map(|it| (CONTENT_TYPE, it.parse().unwrap()));
            values.collect::<HeaderMap>()
        };
        let form = types(&["application/x-www-form-urlencoded; charset=utf-8"]);
        let json = types(&["application/json"]);
        for (method, headers) in [
            (Method::POST, &form),
            (Method::GET, &form),
            (Method::POST, &types(&["Multipart/Form-Data; boundary=x"])),
            (Method::POST, &types(&["application/json", "text/plain"])),
            (Method::POST, &types(&["application/json, x/y"])),
            (Method::POST, &types(&[])),
            (Method::PUT, &types(&[])),
        ] {
            assert!(may_hold_form(&method, headers), "{method} {headers:?}");
        }
        assert!(!may_hold_form(&Method::POST, &json));
        assert!(!may_hold_form(&Method::GET, &types(&[])));
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let query = of("token=hunter2&action=login-hunter2");
        assert!(!format!("{query:?}").contains("hunter2"));
    }
}
