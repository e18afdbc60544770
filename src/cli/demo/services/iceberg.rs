//! An Iceberg REST catalog: its own token endpoint, forms only, and an API that tells expired from unknown.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;

use super::Client;
use crate::cli::demo::{
    arrived::{echo_if, exactly},
    asked::{Parameters, bearer, form},
    stand_in::{Answer, json},
    tokens::{Standing, Tokens, jwt},
};

/// A catalog that knows one principal.
#[derive(Clone, Debug)]
pub(in crate::cli::demo) struct Iceberg {
    /// Every access token; its holder is the principal or the user.
    pub(in crate::cli::demo) tokens: Tokens,
    principal: Client,
}

impl Iceberg {
    pub(in crate::cli::demo) fn new(principal: Client) -> Self {
        Self {
            tokens: Tokens::default(),
            principal,
        }
    }

    pub(in crate::cli::demo) fn answer(&self, request: &Request<Bytes>) -> Answer {
        match request.uri().path() {
            "/v1/oauth/tokens" => self.token(request).unwrap_or_else(Refusal::answer),
            path if path.starts_with("/v1/") => self.catalog(request),
            _ => failure(
                StatusCode::NOT_FOUND,
                "NotFoundException",
                "no such endpoint",
            ),
        }
    }

    fn token(&self, request: &Request<Bytes>) -> Result<Answer, Refusal> {
        self.tokens.asked();
        let form = form(request).ok_or(Refusal::of("invalid_request"))?;
        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => self.client_credentials(request, &form),
            Some(EXCHANGE) => self.exchange(request, &form),
            _ => Err(Refusal::of("unsupported_grant_type")),
        }
    }

    /// Id and secret in the body, and no second way beside it.
    fn client_credentials(
        &self,
        request: &Request<Bytes>,
        form: &Parameters,
    ) -> Result<Answer, Refusal> {
        if request.headers().contains_key("authorization") {
            return Err(Refusal::of("invalid_request"));
        }
        let is = |name: &str, value| form.get(name).map(String::as_str) == Some(value);
        if !is("client_id", self.principal.id) || !is("client_secret", self.principal.secret) {
            return Err(Refusal::INVALID_CLIENT);
        }
        if !is("scope", SCOPE) {
            return Err(Refusal::of("invalid_scope"));
        }
        Ok(self.issue(self.principal.id, LIFE))
    }

    /// A user's token, or the successor of one, against the token that the call itself carries.
    fn exchange(&self, request: &Request<Bytes>, form: &Parameters) -> Result<Answer, Refusal> {
        if form.contains_key("client_secret") {
            return Err(Refusal::of("invalid_request"));
        }
        let own = bearer(request.headers()).and_then(|token| self.tokens.holder(token));
        let own = own.ok_or(Refusal::INVALID_CLIENT)?;
        let given = |name: &str| {
            let token = form.get(&format!("{name}_token"));
            match (token, form.get(&format!("{name}_token_type"))) {
                (None, None) => Ok(None),
                (Some(token), Some(kind)) if TYPES.contains(&kind.as_str()) => Ok(Some(token)),
                _ => Err(Refusal::of("invalid_request")),
            }
        };
        let subject = given("subject")?.ok_or(Refusal::of("invalid_request"))?;
        if let Some(actor) = given("actor")?
            && self.tokens.holder(actor).as_ref() != Some(&own)
        {
            return Err(Refusal::of("invalid_grant"));
        }
        let (holder, left) = self.subject(subject).ok_or(Refusal::of("invalid_grant"))?;
        Ok(self.issue(&holder, left.min(LIFE)))
    }

    /// Whom a subject token names, and for how long: one of ours, or a JWT, which may be an unsecured one.
    fn subject(&self, token: &str) -> Option<(String, Duration)> {
        match self.tokens.standing(token) {
            Standing::Good { holder, .. } => return Some((holder, LIFE)),
            Standing::Expired => return None,
            Standing::Unknown => {}
        }
        let claims = token.split('.').nth(1)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let holder = claims["sub"].as_str().filter(|it| !it.is_empty())?;
        let left = match claims["exp"].as_u64() {
            Some(exp) => Duration::from_secs(exp).checked_sub(crate::clock::unix_time())?,
            None => LIFE,
        };
        Some((holder.into(), left))
    }

    fn issue(&self, holder: &str, life: Duration) -> Answer {
        let token = self
            .tokens
            .issue(jwt("catalog", holder, life), holder, life);
        let seconds = life.as_secs();
        json(
            StatusCode::OK,
            format!(
                r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{seconds},"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","scope":"{SCOPE}"}}"#
            ),
        )
    }

    fn catalog(&self, request: &Request<Bytes>) -> Answer {
        let good = |field: &str| self.tokens.accepts_bearer(field);
        let checked = exactly(request, &[("authorization", &good)]);
        echo_if(request, &checked, || {
            match bearer(request.headers()).map(|token| self.tokens.standing(token)) {
                Some(Standing::Expired) => failure(
                    StatusCode::from_u16(419).unwrap_or(StatusCode::UNAUTHORIZED),
                    "AuthenticationTimeoutException",
                    "the token has expired",
                ),
                _ => failure(
                    StatusCode::UNAUTHORIZED,
                    "NotAuthorizedException",
                    "not authorized",
                ),
            }
        })
    }
}

/// How the token endpoint refuses: `error` is a text.
#[derive(Clone, Copy, Debug)]
struct Refusal(StatusCode, &'static str);

impl Refusal {
    const INVALID_CLIENT: Self = Self(StatusCode::UNAUTHORIZED, "invalid_client");

    fn of(code: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, code)
    }

    fn answer(self) -> Answer {
        let Self(status, code) = self;
        json(
            status,
            format!(r#"{{"error":"{code}","error_description":"refused by the catalog"}}"#),
        )
    }
}

/// How the catalog refuses: `error` is an object.
fn failure(status: StatusCode, kind: &str, message: &str) -> Answer {
    let code = status.as_u16();
    json(
        status,
        format!(r#"{{"error":{{"message":"{message}","type":"{kind}","code":{code}}}}}"#),
    )
}

const LIFE: Duration = Duration::from_secs(3600);
const SCOPE: &str = "catalog";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPES: [&str; 6] = [
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:refresh_token",
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:saml1",
    "urn:ietf:params:oauth:token-type:saml2",
    "urn:ietf:params:oauth:token-type:jwt",
];

#[cfg(test)]
mod tests;
