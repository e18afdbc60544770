//! One authorization request: what is asked with it, and the code out of its answer.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, header::LOCATION};

use crate::{
    config::HttpUrl,
    credentials::{
        Endpoint, FailureKind, FetchError, FingerprintBuilder, endpoint::Call, form::Form,
        random_id,
    },
    secret::Secret,
};

/// What all authorization requests of one credential ask.
#[derive(Debug)]
pub(super) struct Authorize {
    pub(super) url: HttpUrl,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: Option<String>,
    pub(super) params: Vec<(String, Secret)>,
    pub(super) issuer: Option<String>,
}

/// What only one of them has.
pub(super) struct Authorization {
    state: String,
    /// 256 random bits (RFC 7636 4.1).
    verifier: Secret,
}

impl Authorization {
    pub(super) fn begin() -> Self {
        Self {
            state: random_id(),
            verifier: Secret::new(format!("{}{}", random_id(), random_id())),
        }
    }

    pub(super) fn verifier(&self) -> &str {
        self.verifier.expose()
    }
}

impl Authorize {
    pub(super) fn fingerprint(&self, builder: FingerprintBuilder) -> FingerprintBuilder {
        builder
            .text(&self.url.full())
            .text(&self.redirect_uri)
            .list(self.params.iter(), |b, (name, value)| {
                b.text(name).secret(value)
            })
            .option(self.issuer.as_deref(), FingerprintBuilder::text)
    }

    /// The URL that a person opens.
    pub(super) fn whole(&self, authorization: &Authorization) -> String {
        format!(
            "{}?{}",
            self.url.without_query(),
            self.query(authorization).as_str()
        )
    }

    /// The code that the endpoint's redirect brings.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        authorization: &Authorization,
    ) -> Result<Secret, FetchError> {
        let query = self.query(authorization);
        let call = Call {
            shown: None,
            method: Method::GET,
            path: &self.url.path,
            query: Some(query.as_str()),
            headers: HeaderMap::new(),
            body: None,
        };
        let answer = endpoint.send(call).await?;
        if !answer.status.is_redirection() {
            let status = answer.status.as_u16();
            let kind = if answer.status.is_server_error() {
                FailureKind::Failing
            } else {
                FailureKind::Malformed
            };
            return Err(FetchError::transient(
                kind,
                format!("answered {status}, not a redirect: does it want a person to log in?"),
            ));
        }
        let location = answer.headers.get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let landed = location.and_then(|location| HttpUrl::parse(location).ok());
        let wanted = HttpUrl::parse(&self.redirect_uri).ok();
        let place = |url: &HttpUrl| {
            (
                url.https,
                url.host.clone(),
                url.port_or_default(),
                url.path.clone(),
            )
        };
        match (landed, wanted) {
            (Some(landed), Some(wanted)) if place(&landed) == place(&wanted) => {
                self.code(landed.query.as_deref().unwrap_or_default(), authorization)
            }
            _ => Err(FetchError::malformed(
                "its redirect does not lead to the redirect_uri: a log-in page, or another client's",
            )),
        }
    }

    /// The code out of what a person pasted: the address where they ended up, or the code alone.
    pub(super) fn pasted(
        &self,
        pasted: &Secret,
        authorization: &Authorization,
    ) -> Result<Secret, FetchError> {
        let text = pasted.expose().trim();
        if let Some((place, query)) = text.split_once('?') {
            if place != self.redirect_uri.split('?').next().unwrap_or_default() {
                return Err(refused("this address is not the redirect_uri"));
            }
            return self.code(query.split('#').next().unwrap_or_default(), authorization);
        }
        if text.is_empty()
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
            || text.contains("://")
        {
            return Err(refused("this is neither a code nor an address with one"));
        }
        Ok(Secret::new(text))
    }

    /// RFC 6749 4.1.2, RFC 9207.
    fn code(&self, query: &str, authorization: &Authorization) -> Result<Secret, FetchError> {
        let once = |name: &str| -> Result<Option<Secret>, FetchError> {
            let mut values = form_urlencoded::parse(query.as_bytes())
                .filter(|(known, _)| known == name)
                .map(|(_, value)| Secret::new(value.into_owned()));
            let first = values.next();
            if values.next().is_some() {
                return Err(refused("its answer has a parameter twice"));
            }
            Ok(first)
        };
        // Before anything else is believed: it is the answer to what we asked (RFC 6749 10.12).
        if once("state")? != Some(Secret::new(authorization.state.as_str())) {
            return Err(refused("its answer has not the state that was sent"));
        }
        if let (Some(sent), Some(wanted)) = (once("iss")?, &self.issuer)
            && sent.expose() != wanted
        {
            return Err(refused("its answer is from another issuer"));
        }
        if let Some(error) = once("error")? {
            let known = ERRORS.iter().find(|known| **known == error.expose());
            let detail = format!("answered with error {}", known.unwrap_or(&"of its own"));
            return Err(match error.expose() {
                "server_error" | "temporarily_unavailable" => {
                    FetchError::transient(FailureKind::Failing, detail)
                }
                _ => FetchError::permanent(FailureKind::Rejected, detail),
            });
        }
        match once("code")? {
            Some(code) if !code.is_empty() && code.expose().len() <= LONGEST_CODE => Ok(code),
            _ => Err(refused("its answer has no code")),
        }
    }

    fn query(&self, authorization: &Authorization) -> Form {
        let challenge = digest(&SHA256, authorization.verifier().as_bytes());
        let mut form = Form::after(self.url.query.as_deref().unwrap_or_default());
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &authorization.state),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)),
            ("code_challenge_method", "S256"),
        ] {
            form.add(name, value);
        }
        if let Some(scope) = &self.scope {
            form.add("scope", scope);
        }
        for (name, value) in &self.params {
            form.add(name, value.expose());
        }
        form
    }
}

fn refused(detail: &'static str) -> FetchError {
    FetchError::permanent(FailureKind::Rejected, detail)
}

const LONGEST_CODE: usize = 4096;

/// RFC 6749 4.1.2.1 and OpenID Connect Core 3.1.2.6; any other text is not shown.
const ERRORS: [&str; 11] = [
    "invalid_request",
    "unauthorized_client",
    "access_denied",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "account_selection_required",
    "consent_required",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn authorize() -> Authorize {
        Authorize {
            url: HttpUrl::parse("https://login.example/authorize?tenant=t").unwrap(),
            client_id: "me".into(),
            redirect_uri: "https://app.example/back".into(),
            scope: Some("a b".into()),
            params: vec![("prompt".into(), Secret::new("consent"))],
            issuer: Some("https://login.example".into()),
        }
    }

    fn authorization() -> Authorization {
        Authorization {
            state: "st".into(),
            verifier: Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        }
    }

    fn pasted(text: &str) -> Result<String, String> {
        authorize()
            .pasted(&Secret::new(text), &authorization())
            .map(|code| code.expose().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_url_has_pkce_and_keeps_its_query() {
        // RFC 7636, appendix B.
        assert_eq!(
            authorize().whole(&authorization()),
            "https://login.example/authorize?tenant=t&response_type=code&client_id=me\
             &redirect_uri=https%3A%2F%2Fapp.example%2Fback&state=st\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
             &scope=a+b&prompt=consent"
        );
        let verifier = Authorization::begin().verifier().len();
        assert!((43..=128).contains(&verifier), "{verifier}");
    }

    #[test]
    fn a_code_or_the_whole_address_is_pasted() {
        assert_eq!(pasted(" c0de "), Ok("c0de".into()));
        assert_eq!(
            pasted("https://app.example/back?code=c%2F1&state=st&iss=https%3A%2F%2Flogin.example"),
            Ok("c/1".into())
        );
        assert_eq!(
            pasted("https://app.example/back?state=st&code=1#x"),
            Ok("1".into())
        );
    }

    #[test]
    fn what_is_not_the_answer_to_our_question_is_refused() {
        let long = format!(
            "https://app.example/back?state=st&code={}",
            "x".repeat(4097)
        );
        for (text, why) in [
            (long.as_str(), "no code"),
            ("https://app.example/back?code=1", "not the state"),
            (
                "https://app.example/back?code=1&state=other",
                "not the state",
            ),
            ("https://app.example/back?code=1&state=st&state=st", "twice"),
            ("https://app.example/back?code=1&code=2&state=st", "twice"),
            ("https://app.example/back?state=st", "no code"),
            ("https://app.example/back?state=st&code=", "no code"),
            (
                "https://evil.example/back?code=1&state=st",
                "not the redirect_uri",
            ),
            (
                "https://app.example/back?code=1&state=st&iss=https://evil.example",
                "another issuer",
            ),
            (
                "https://app.example/back?error=access_denied&state=st",
                "error access_denied",
            ),
            (
                "https://app.example/back?error=hunter2&state=st",
                "error of its own",
            ),
            ("https://app.example/back", "neither a code"),
            ("", "neither a code"),
            ("two words", "neither a code"),
        ] {
            let told = pasted(text).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
