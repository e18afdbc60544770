//! AICrisk: a code by redirect, bound to one instance, then a token that ends at a date; generic, and per user.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};

use super::Client;
use crate::{
    cli::demo::{
        arrived::{echo_if, exactly},
        asked::{Parameters, bearer, cookie, form, object, only, query},
        stand_in::{Answer, json},
        tokens::{Tokens, jwt, opaque},
    },
    clock::{self, Instant},
    credentials::rfc3339,
};

/// An installation that knows one client with one redirect URI.
#[derive(Clone, Debug)]
pub(in crate::cli::demo) struct Aicrisk {
    /// Tokens of the client itself.
    pub(in crate::cli::demo) generic: Tokens,
    /// Tokens of users; their holder is the `userid`.
    pub(in crate::cli::demo) users: Tokens,
    codes: Arc<Mutex<HashMap<String, Code>>>,
    client: Client,
    redirect_uri: &'static str,
}

/// What a code is good for, once.
#[derive(Debug)]
struct Code {
    userid: Option<String>,
    /// The instance that keeps it in its memory.
    instance: String,
    ends: Instant,
}

impl Aicrisk {
    pub(in crate::cli::demo) fn new(client: Client, redirect_uri: &'static str) -> Self {
        Self {
            generic: Tokens::default(),
            users: Tokens::default(),
            codes: Arc::default(),
            client,
            redirect_uri,
        }
    }

    pub(in crate::cli::demo) fn answer(&self, request: &Request<Bytes>) -> Answer {
        match request.uri().path() {
            "/api/oauth2" => self.code(request),
            "/api/oauth2/Token" => self.token(request),
            "/api/Users/ListUsers" => self.list_users(request),
            path if path.starts_with("/api/") => self.api(request),
            _ => problem(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    /// The first step: a code in the `Location` of a redirect that nobody needs to follow.
    fn code(&self, request: &Request<Bytes>) -> Answer {
        let Some(query) = query(request).filter(|query| query.contains_key("client_id")) else {
            return text("Invalid client_id");
        };
        let is = |name: &str, value| query.get(name).map(String::as_str) == Some(value);
        let userid = query.get("userid").cloned();
        let known = is("client_id", self.client.id) && is("redirect_uri", self.redirect_uri);
        if request.method() != Method::GET || !known || !self.may_ask(request, userid.as_deref()) {
            return unauthorized();
        }
        let (code, instance) = (opaque(), opaque());
        let mut location = format!("{}?code={code}", self.redirect_uri);
        if let Some(state) = query.get("state") {
            let state = form_urlencoded::byte_serialize(state.as_bytes()).collect::<String>();
            location = format!("{location}&state={state}");
        }
        let cookies = ["ARRAffinity", "ARRAffinitySameSite"]
            .map(|name| format!("{name}={instance};Path=/;HttpOnly;Domain=127.0.0.1"));
        let kept = Code {
            userid,
            instance,
            ends: clock::now() + CODE_LIFE,
        };
        self.codes().insert(code, kept);
        let mut answer = json(StatusCode::FOUND, "");
        let headers = answer.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        for (name, value) in [
            (header::LOCATION, location),
            (header::SET_COOKIE, cookies[0].clone()),
            (header::SET_COOKIE, cookies[1].clone()),
        ] {
            // All of it is ASCII that was made here or encoded above.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(name, value);
            }
        }
        answer
    }

    /// The second step, at the instance that knows the code.
    fn token(&self, request: &Request<Bytes>) -> Answer {
        let Some(asked) = parameters(request) else {
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type");
        };
        let field = |name: &str| asked.get(name).map(String::as_str);
        let userid = field("userid");
        self.tokens(userid).asked();
        let Some(id) = field("client_id") else {
            return text("Invalid client_id");
        };
        let secret = field("client_secret");
        if (id, secret) != (self.client.id, Some(self.client.secret)) {
            return unauthorized();
        }
        if userid.is_some() && only(request.headers(), "accept") != Some("application/json")
            || !self.may_ask(request, userid)
        {
            return unauthorized();
        }
        // Spent whatever comes of it.
        let code = field("code").and_then(|code| self.codes().remove(code));
        let redirect = field("redirect_uri").or(field("response_uri"));
        let good = code.filter(|code| {
            code.ends > clock::now()
                && cookie(request.headers(), "ARRAffinity") == Some(&code.instance)
                && code.userid.as_deref() == userid
                && redirect == Some(self.redirect_uri)
        });
        if good.is_none() {
            return text("Invalid Code");
        }
        let holder = userid.unwrap_or(self.client.id);
        let token = jwt("aicrisk", holder, LIFE);
        let token = self.tokens(userid).issue(token, holder, LIFE);
        let ends = rfc3339::write(clock::unix_time() + LIFE);
        json(
            StatusCode::OK,
            format!(r#"{{"access_token":"{token}","expiration":"{ends}"}}"#),
        )
    }

    /// A token of a user is asked for in the name of the client: with its generic token.
    fn may_ask(&self, request: &Request<Bytes>, userid: Option<&str>) -> bool {
        let token = bearer(request.headers());
        userid.is_none() || token.is_some_and(|token| self.generic.accepts(token))
    }

    fn tokens(&self, userid: Option<&str>) -> &Tokens {
        if userid.is_some() {
            &self.users
        } else {
            &self.generic
        }
    }

    /// The one place that a generic token opens.
    fn list_users(&self, request: &Request<Bytes>) -> Answer {
        self.resource(request, &self.generic)
    }

    fn api(&self, request: &Request<Bytes>) -> Answer {
        self.resource(request, &self.users)
    }

    fn resource(&self, request: &Request<Bytes>, tokens: &Tokens) -> Answer {
        let good = |field: &str| tokens.accepts_bearer(field);
        let checked = exactly(request, &[("authorization", &good)]);
        if only(request.headers(), "accept") != Some("application/json") {
            return problem(StatusCode::NOT_ACCEPTABLE, "Not Acceptable");
        }
        echo_if(request, &checked, unauthorized)
    }

    fn codes(&self) -> MutexGuard<'_, HashMap<String, Code>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parameters of the second step, from a form or, as the vendor's examples have it, from JSON.
fn parameters(request: &Request<Bytes>) -> Option<Parameters> {
    let text = |(name, value): (String, serde_json::Value)| Some((name, value.as_str()?.into()));
    form(request).or_else(|| object(request)?.into_iter().map(text).collect())
}

fn text(body: &'static str) -> Answer {
    let mut answer = json(StatusCode::BAD_REQUEST, body);
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    answer
}

fn unauthorized() -> Answer {
    problem(StatusCode::UNAUTHORIZED, "Unauthorized")
}

fn problem(status: StatusCode, title: &str) -> Answer {
    let code = status.as_u16();
    let kind = "https://tools.ietf.org/html/rfc9110#section-15.5";
    let mut answer = json(
        status,
        format!(r#"{{"type":"{kind}","title":"{title}","status":{code}}}"#),
    );
    let media_type = HeaderValue::from_static("application/problem+json");
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    answer
}

const LIFE: Duration = Duration::from_secs(3600);
const CODE_LIFE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
