//! What a client that logs in gets from us: an answer in the vendor's shape, with a placeholder in it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::{
    callers::{Caller, Placeholders},
    clock,
    credentials::rfc3339,
    injectors::{Template, TemplateError},
    secret::Secret,
};

/// The answer to one login.
pub struct LoginAnswer {
    method: Method,
    status: StatusCode,
    content_type: HeaderValue,
    body: Template,
    /// Names in the client's body that the answer repeats.
    echo: Box<[Box<str>]>,
}

impl LoginAnswer {
    /// Answers `method` with `status` and a body made of a template over its parts (`placeholder`, `expires_in`...) and `echo`.
    ///
    /// # Errors
    /// [`TemplateError`] where the template does not parse or names anything else.
    pub fn new(
        method: Method,
        status: StatusCode,
        content_type: HeaderValue,
        body: &str,
        echo: &[&str],
    ) -> Result<Self, TemplateError> {
        let known: Vec<&str> = PARTS.iter().chain(echo).copied().collect();
        Ok(Self {
            method,
            status,
            content_type,
            body: Template::new(body, Some(&known))?,
            echo: echo.iter().map(|&name| name.into()).collect(),
        })
    }

    /// As an OAuth token endpoint answers every grant (RFC 6749 5.1, RFC 8693 2.2.1).
    pub fn oauth() -> Self {
        Self::new(
            Method::POST,
            StatusCode::OK,
            HeaderValue::from_static("application/json"),
            OAUTH,
            &["grant_type", "requested_token_type", "scope"],
        )
        .expect("a valid template")
    }

    /// Which method it answers.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The answer to `caller`, whose request had this body.
    ///
    /// # Errors
    /// [`TemplateError`] where the template fails on these values.
    pub fn write(
        &self,
        placeholders: &Placeholders,
        caller: &Caller,
        body: &[u8],
    ) -> Result<Response<Bytes>, TemplateError> {
        let now = clock::unix_time();
        let end = now + placeholders.lifetime();
        let given = Given::read(body);
        let ends = [
            placeholders.lifetime().as_secs().to_string(),
            end.as_secs().to_string(),
            (u128::from(end.as_secs()) * 1000).to_string(),
            rfc3339::write(end),
        ];
        let mut parts = vec![(PARTS[0], placeholders.issue(caller, now))];
        parts.extend(PARTS[1..].iter().copied().zip(ends.map(Secret::new)));
        for name in &self.echo {
            parts.push((name, Secret::new(given.harmless(name).unwrap_or_default())));
        }
        let part = |name: &str| {
            let mut parts = parts.iter();
            parts.find(|(known, _)| *known == name).map(|(_, it)| it)
        };
        let text = self.body.fill(&part)?;
        let mut response = Response::new(Bytes::copy_from_slice(text.as_bytes()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        // Both, as RFC 6749 5.1 wants it of whatever holds a token.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        Ok(response)
    }
}

impl fmt::Debug for LoginAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginAnswer")
            .field("method", &self.method)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// What a client said when it logged in. Its secrets are in there, too.
enum Given<'a> {
    Json(serde_json::Map<String, serde_json::Value>),
    Form(&'a [u8]),
}

impl<'a> Given<'a> {
    /// By what it looks like: clients mislabel forms as JSON and the other way round.
    fn read(body: &'a [u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(members) => Self::Json(members),
            Err(_) => Self::Form(body),
        }
    }

    /// The value of `name`, where it is the same text in JSON, in a form and in a header.
    fn harmless(&self, name: &str) -> Option<String> {
        let value: Cow<'_, str> = match self {
            Self::Json(members) => members.get(name)?.as_str()?.into(),
            Self::Form(body) => form_urlencoded::parse(body).find(|(key, _)| key == name)?.1,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -._~:/@+=,*".contains(&byte);
        (value.len() <= MOST_ECHOED && value.bytes().all(plain)).then(|| value.into_owned())
    }
}

/// What every template can name.
const PARTS: [&str; 5] = [
    "placeholder",
    "expires_in",
    "expires_at",
    "expires_at_ms",
    "expires_at_rfc3339",
];

/// The longest value that is repeated, in bytes.
const MOST_ECHOED: usize = 256;

const OAUTH: &str = r#"{"access_token":"{{ placeholder }}","token_type":"Bearer","expires_in":{{ expires_in }}
{%- if requested_token_type %},"issued_token_type":"{{ requested_token_type }}"
{%- elif grant_type == "urn:ietf:params:oauth:grant-type:token-exchange" -%}
,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"
{%- endif %}{% if scope %},"scope":"{{ scope }}"{% endif %}}"#;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;

    fn written(answer: &LoginAnswer, body: &str) -> Response<Bytes> {
        let placeholders = Placeholders::new("main", None, Duration::from_secs(3600));
        let caller = Caller::Anonymous;
        answer
            .write(&placeholders, &caller, body.as_bytes())
            .unwrap()
    }

    fn oauth(body: &str) -> Value {
        serde_json::from_slice(written(&LoginAnswer::oauth(), body).body()).unwrap()
    }

    #[test]
    fn every_grant_is_answered_as_by_a_token_endpoint() {
        let answer = oauth("grant_type=client_credentials&client_id=x&client_secret=y");
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 3600);
        assert!(answer["access_token"].as_str().unwrap().starts_with("eyJ"));
        assert_eq!(answer.as_object().unwrap().len(), 3, "{answer}");
        assert_eq!(oauth("grant_type=password&scope=a+b")["scope"], "a b");
        assert_eq!(oauth("").as_object().unwrap().len(), 3);
    }

    #[test]
    fn an_exchange_says_what_it_issued() {
        const URN: &str = "urn:ietf:params:oauth:token-type:";
        let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
        let answer = oauth(exchange);
        assert_eq!(answer["issued_token_type"], format!("{URN}access_token"));
        let answer = oauth(&format!("{exchange}&requested_token_type={URN}jwt"));
        assert_eq!(answer["issued_token_type"], format!("{URN}jwt"));
    }

    #[test]
    fn nothing_that_breaks_out_is_repeated() {
        for scope in [
            "a%22%2C%22x%22%3A%22y",
            "%5C",
            "%0A",
            "%7B",
            "%3C",
            "%C3%A9",
            &"a".repeat(257),
        ] {
            assert_eq!(
                oauth(&format!("scope={scope}"))["scope"],
                Value::Null,
                "{scope}"
            );
        }
    }

    #[test]
    fn a_vendors_own_shape_repeats_members_of_json() {
        let body = r#"{"appToken":"{{ appToken }}","symphonyToken":"{{ placeholder }}","expireAt":{{ expires_at_ms }}}"#;
        let json = HeaderValue::from_static("application/json");
        let answer =
            LoginAnswer::new(Method::POST, StatusCode::OK, json, body, &["appToken"]).unwrap();
        let response = written(&answer, r#"{"appToken":"a-1","authToken":"secret"}"#);
        let shown: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(shown["appToken"], "a-1");
        assert!(shown["expireAt"].as_u64().unwrap() > 1_700_000_000_000);
        assert!(!format!("{shown}").contains("secret"));
    }

    #[test]
    fn an_end_is_told_as_a_date_too() {
        let body = r#"{"expiration":"{{ expires_at_rfc3339 }}","at":{{ expires_at }}}"#;
        let json = HeaderValue::from_static("application/json");
        let answer = LoginAnswer::new(Method::POST, StatusCode::OK, json, body, &[]).unwrap();
        let shown: Value = serde_json::from_slice(written(&answer, "").body()).unwrap();
        let end = rfc3339::read(shown["expiration"].as_str().unwrap()).unwrap();
        assert_eq!(Some(end.as_secs()), shown["at"].as_u64());
    }

    #[test]
    fn a_template_names_only_what_there_is() {
        let json = HeaderValue::from_static("application/json");
        let new = |body| LoginAnswer::new(Method::POST, StatusCode::OK, json.clone(), body, &[]);
        assert!(new("{{ access_token }}").is_err());
        assert!(new("{{ placeholder").is_err());
    }
}
