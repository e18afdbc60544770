//! Symphony: a pod with its key manager; RSA logins, tokens of the identity service, and three API families.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    cli::demo::{
        arrived::{echo_if, exactly},
        asked::{media_type, object, only, query},
        key::PublicKey,
        stand_in::{Answer, json},
        tokens::{Tokens, jwt, opaque},
    },
    clock,
};

/// A pod that knows one bot.
#[derive(Clone, Debug)]
pub(in crate::cli::demo) struct Symphony {
    /// Session tokens.
    pub(in crate::cli::demo) sessions: Tokens,
    /// Tokens of the key manager.
    pub(in crate::cli::demo) key_manager: Tokens,
    /// Tokens of the identity service; their holder is the scope.
    pub(in crate::cli::demo) scoped: Tokens,
    bot: &'static str,
    key: PublicKey,
}

impl Symphony {
    pub(in crate::cli::demo) fn new(bot: &'static str, key: PublicKey) -> Self {
        Self {
            sessions: Tokens::default(),
            key_manager: Tokens::default(),
            scoped: Tokens::default(),
            bot,
            key,
        }
    }

    pub(in crate::cli::demo) fn answer(&self, request: &Request<Bytes>) -> Answer {
        let path = request.uri().path();
        match path {
            "/login/pubkey/authenticate" => self.session(request),
            "/relay/pubkey/authenticate" => self.key_manager(request),
            "/login/idm/tokens" => self.scoped(request),
            "/login/v1/pubkey/app/authenticate/extensionApp" => self.extension_app(request),
            _ if path.starts_with("/agent/") => self.agent(request),
            _ if path.starts_with("/pod/") => self.pod(request),
            _ if path.starts_with("/files/v1/") => self.files(request),
            _ if path.starts_with("/profile-manager/") => self.profiles(request),
            _ => error(StatusCode::NOT_FOUND, "no such path"),
        }
    }

    fn session(&self, request: &Request<Bytes>) -> Answer {
        self.sessions.asked();
        if let Err((status, why)) = self.login(request) {
            return error(status, why);
        }
        let issue = || jwt("login", self.bot, SESSION);
        let token = self.sessions.issue(issue(), self.bot, SESSION);
        let common = jwt("login", self.bot, Duration::from_secs(300));
        json(
            StatusCode::OK,
            format!(
                r#"{{"name":"sessionToken","token":"{token}","authorizationToken":"Bearer {common}"}}"#
            ),
        )
    }

    fn key_manager(&self, request: &Request<Bytes>) -> Answer {
        self.key_manager.asked();
        if let Err((status, why)) = self.login(request) {
            return error(status, why);
        }
        let token = self.key_manager.issue(opaque(), self.bot, SESSION);
        json(
            StatusCode::OK,
            format!(r#"{{"name":"keyManagerToken","token":"{token}"}}"#),
        )
    }

    /// The circle of trust: the app's own token comes back with the pod's.
    fn extension_app(&self, request: &Request<Bytes>) -> Answer {
        self.sessions.asked();
        let body = object(request).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (Some(app), Some(assertion), 2) = (text("appToken"), text("authToken"), body.len())
        else {
            return error(StatusCode::BAD_REQUEST, "appToken and authToken");
        };
        let now = clock::unix_time();
        if let Err(why) = self.check(assertion, now.as_secs()) {
            return error(StatusCode::UNAUTHORIZED, why);
        }
        let token = self.sessions.issue(opaque(), self.bot, SESSION);
        let reply = json!({
            "appId": self.bot,
            "appToken": app,
            "symphonyToken": &*token,
            "expireAt": (now.as_secs() + SESSION.as_secs()) * 1000,
        });
        json(StatusCode::OK, reply.to_string())
    }

    /// Checks a login: JSON with one assertion, RS512, of the bot, good for five minutes at most.
    fn login(&self, request: &Request<Bytes>) -> Result<(), (StatusCode, &'static str)> {
        if request.method() != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "POST only"));
        }
        if media_type(request) != Some("application/json") {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json only"));
        }
        let body = object(request);
        let token = body.as_ref().and_then(|body| body.get("token")?.as_str());
        let Some(token) = token else {
            return Err((StatusCode::BAD_REQUEST, "no token"));
        };
        let now = clock::unix_time().as_secs();
        self.check(token, now)
            .map_err(|why| (StatusCode::UNAUTHORIZED, why))
    }

    fn check(&self, assertion: &str, now: u64) -> Result<(), &'static str> {
        let (signed, signature) = assertion.rsplit_once('.').ok_or("not a JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("not a JWT")?;
        let (header, claims) = (part(header)?, part(claims)?);
        if header.get("alg").and_then(Value::as_str) != Some("RS512") {
            return Err("alg is not RS512");
        }
        let signature = BASE64_URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| "not base64url")?;
        if !self.key.has_signed(signed.as_bytes(), &signature) {
            return Err("the signature is not the bot's");
        }
        if claims.get("sub").and_then(Value::as_str) != Some(self.bot) {
            return Err("no such bot");
        }
        let exp = claims.get("exp").and_then(Value::as_u64).ok_or("no exp")?;
        if claims.len() != 2 {
            return Err("claims other than sub and exp");
        }
        if exp <= now {
            return Err("the assertion has expired");
        }
        if exp > now + MOST_AHEAD {
            return Err("exp is more than 300 s ahead");
        }
        Ok(())
    }

    /// The identity service: a session token opens it, the scope stands in the query.
    fn scoped(&self, request: &Request<Bytes>) -> Answer {
        self.scoped.asked();
        if request.method() != Method::POST {
            return error(StatusCode::METHOD_NOT_ALLOWED, "POST only");
        }
        let session = only(request.headers(), "sessiontoken");
        if !session.is_some_and(|token| self.sessions.accepts(token)) {
            return error(StatusCode::UNAUTHORIZED, "Invalid session");
        }
        let Some(query) = query(request) else {
            return error(StatusCode::BAD_REQUEST, "a parameter is there twice");
        };
        let scope = query.get("scope").map_or("", String::as_str);
        if scope.split(' ').any(|scope| !ENTITLED.contains(&scope)) {
            return error(
                StatusCode::FORBIDDEN,
                "the account lacks the entitlement for this scope",
            );
        }
        let life = Duration::from_secs(3600);
        let token = self.scoped.issue(jwt("login", self.bot, life), scope, life);
        json(
            StatusCode::OK,
            format!(r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"{token}"}}"#),
        )
    }

    fn agent(&self, request: &Request<Bytes>) -> Answer {
        let checked = exactly(
            request,
            &[
                ("sessiontoken", &|token| self.sessions.accepts(token)),
                ("keymanagertoken", &|token| self.key_manager.accepts(token)),
            ],
        );
        echo_if(request, &checked, invalid_session)
    }

    fn pod(&self, request: &Request<Bytes>) -> Answer {
        let session: &dyn Fn(&str) -> bool = &|token| self.sessions.accepts(token);
        let checked = exactly(request, &[("sessiontoken", session)]);
        echo_if(request, &checked, invalid_session)
    }

    /// The Files API has an error shape of its own, and knows neither of the two tokens of the others.
    fn files(&self, request: &Request<Bytes>) -> Answer {
        let may_read = |value: &str| self.may(value, "sym-files");
        let checked = exactly(request, &[("authorization", &may_read)]);
        echo_if(request, &checked, || {
            json(
                StatusCode::UNAUTHORIZED,
                r#"{"error":"Invalid session token"}"#,
            )
        })
    }

    /// The profile manager wants to hear which pod is meant.
    fn profiles(&self, request: &Request<Bytes>) -> Answer {
        if only(request.headers(), "x-symphony-host").is_none() {
            return error(StatusCode::BAD_REQUEST, "no X-Symphony-Host");
        }
        let may_manage = |value: &str| self.may(value, "profile-manager");
        let checked = exactly(request, &[("authorization", &may_manage)]);
        echo_if(request, &checked, invalid_session)
    }

    /// Whether this `Authorization` holds a token with this scope.
    fn may(&self, value: &str, wanted: &str) -> bool {
        let token = value.strip_prefix("Bearer ");
        let scope = token.and_then(|token| self.scoped.holder(token));
        scope.is_some_and(|scope| scope.split(' ').any(|scope| scope == wanted))
    }
}

fn part(text: &str) -> Result<Map<String, Value>, &'static str> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "not base64url")?;
    serde_json::from_slice(&bytes).map_err(|_| "not JSON")
}

fn invalid_session() -> Answer {
    error(StatusCode::UNAUTHORIZED, "Invalid session")
}

fn error(status: StatusCode, message: &str) -> Answer {
    let code = status.as_u16();
    json(
        status,
        format!(r#"{{"code":{code},"message":"{message}"}}"#),
    )
}

/// How far ahead an assertion may expire, in seconds.
const MOST_AHEAD: u64 = 300;
/// An administrator sets it: from an hour to two weeks.
const SESSION: Duration = Duration::from_secs(14 * 24 * 3600);
/// The scopes that the bot's roles allow; none is the common JWT.
const ENTITLED: [&str; 3] = ["", "sym-files", "profile-manager"];

#[cfg(test)]
mod tests;
