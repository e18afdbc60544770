//! Symbl: JSON in camelCase, and the token that it already gave, with the seconds that it has left.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use super::Client;
use crate::cli::demo::{
    arrived::{IN_QUERY, echo_if, exactly},
    asked::{media_type, object},
    stand_in::{Answer, json},
    tokens::{Standing, Tokens, jwt},
};

/// A Symbl that knows one application.
#[derive(Clone, Debug)]
pub(in crate::cli::demo) struct Symbl {
    pub(in crate::cli::demo) tokens: Tokens,
    current: Arc<Mutex<String>>,
    application: Client,
}

impl Symbl {
    pub(in crate::cli::demo) fn new(application: Client) -> Self {
        Self {
            tokens: Tokens::default(),
            current: Arc::default(),
            application,
        }
    }

    pub(in crate::cli::demo) fn answer(&self, request: &Request<Bytes>) -> Answer {
        match request.uri().path() {
            // The colon is a colon: `%3A` is another path.
            "/oauth2/token:generate" => self.generate(request),
            path if path.starts_with("/v1/streaming/") => self.streaming(request),
            path if path.starts_with("/v1/") => self.api(request),
            _ => message(StatusCode::NOT_FOUND, "Not found."),
        }
    }

    fn generate(&self, request: &Request<Bytes>) -> Answer {
        self.tokens.asked();
        if request.method() != Method::POST {
            return message(StatusCode::METHOD_NOT_ALLOWED, "POST only.");
        }
        if media_type(request) != Some("application/json") {
            return message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON only.");
        }
        let body = object(request);
        let field = |name| body.as_ref().and_then(|body| body.get(name)?.as_str());
        let (Some("application"), Some(id), Some(secret)) =
            (field("type"), field("appId"), field("appSecret"))
        else {
            return message(
                StatusCode::BAD_REQUEST,
                "type, appId and appSecret are required.",
            );
        };
        if (id, secret) != (self.application.id, self.application.secret) {
            return message(
                StatusCode::UNAUTHORIZED,
                "Combination of appId and appSecret is not valid.",
            );
        }
        let (token, left) = self.current();
        let seconds = left.as_secs();
        json(
            StatusCode::OK,
            format!(r#"{{"accessToken":"{token}","expiresIn":{seconds}}}"#),
        )
    }

    /// The token of before while it is far from its end, and what it has left; else a new one.
    fn current(&self) -> (String, Duration) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match self.tokens.standing(&current) {
            Standing::Good { left, .. } if left > NEAR_THE_END => (current.clone(), left),
            _ => {
                let token = jwt("symbl", self.application.id, LIFE);
                *current = self.tokens.issue(token, self.application.id, LIFE);
                (current.clone(), LIFE)
            }
        }
    }

    fn api(&self, request: &Request<Bytes>) -> Answer {
        let good = |field: &str| self.tokens.accepts_bearer(field);
        let checked = exactly(request, &[("authorization", &good)]);
        echo_if(request, &checked, invalid_token)
    }

    /// Where browsers connect, which can set no header on a WebSocket.
    fn streaming(&self, request: &Request<Bytes>) -> Answer {
        let good = |token: &str| self.tokens.accepts(token);
        let checked = exactly(request, &[(IN_QUERY, &good)]);
        echo_if(request, &checked, invalid_token)
    }
}

fn invalid_token() -> Answer {
    message(
        StatusCode::UNAUTHORIZED,
        "Token validation failed for provided token.",
    )
}

fn message(status: StatusCode, message: &str) -> Answer {
    json(status, format!(r#"{{"message":"{message}"}}"#))
}

const LIFE: Duration = Duration::from_secs(86_400);
const NEAR_THE_END: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::{super::testing, *};
    use testing::{Seen, get, seen};

    const APPLICATION: Client = Client {
        id: "app-1",
        secret: "s",
    };
    const GOOD: &str = r#"{"type":"application","appId":"app-1","appSecret":"s"}"#;

    fn ask(symbl: &Symbl, body: &str) -> Seen {
        seen(symbl.answer(&testing::json("/oauth2/token:generate", &[], body)))
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_token_comes_with_what_it_has_left() {
        let symbl = Symbl::new(APPLICATION);
        let first = ask(&symbl, GOOD);
        assert_eq!(first.field("expiresIn"), "86400");
        tokio::time::advance(Duration::from_secs(400)).await;
        let second = ask(&symbl, GOOD);
        assert_eq!(second.field("accessToken"), first.field("accessToken"));
        assert_eq!(second.field("expiresIn"), "86000");
        tokio::time::advance(Duration::from_secs(85_700)).await;
        let third = ask(&symbl, GOOD);
        assert_ne!(third.field("accessToken"), first.field("accessToken"));
        assert_eq!(third.field("expiresIn"), "86400");
    }

    #[tokio::test]
    async fn a_form_is_refused_by_its_media_type() {
        let symbl = Symbl::new(APPLICATION);
        let form = "type=application&appId=app-1&appSecret=s";
        let answer = symbl.answer(&testing::form("/oauth2/token:generate", &[], form));
        assert_eq!(answer.status(), 415);
        assert_eq!(ask(&symbl, form).status, 400, "a form that says JSON");
    }

    #[tokio::test]
    async fn snake_case_and_wrong_pairs_are_refused() {
        let symbl = Symbl::new(APPLICATION);
        let snake = GOOD.replace("appId", "app_id");
        assert_eq!(ask(&symbl, &snake).status, 400);
        let untyped = GOOD.replace(r#""type":"application","#, "");
        assert_eq!(ask(&symbl, &untyped).status, 400);
        let wrong = GOOD.replace(r#":"s""#, r#":"t""#);
        assert!(ask(&symbl, &wrong).is(401, "is not valid"));
    }

    #[tokio::test]
    async fn the_colon_of_the_path_is_literal() {
        let symbl = Symbl::new(APPLICATION);
        let encoded = testing::json("/oauth2/token%3Agenerate", &[], GOOD);
        assert_eq!(symbl.answer(&encoded).status(), 404);
    }

    #[tokio::test]
    async fn the_api_wants_a_bearer_and_no_old_header() {
        let symbl = Symbl::new(APPLICATION);
        let bearer = format!("Bearer {}", ask(&symbl, GOOD).field("accessToken"));
        let call = |headers: &[_]| seen(symbl.answer(&get("/v1/conversations", headers))).status;
        assert_eq!(call(&[("authorization", &bearer)]), 200);
        assert_eq!(
            call(&[("authorization", &bearer), ("x-api-key", "old")]),
            400
        );
        assert_eq!(call(&[("authorization", "Bearer made-up")]), 401);
    }

    #[tokio::test]
    async fn streaming_wants_the_token_in_the_query() {
        let symbl = Symbl::new(APPLICATION);
        let token = ask(&symbl, GOOD).field("accessToken");
        let call = |target: &str, headers: &[_]| seen(symbl.answer(&get(target, headers))).status;
        let target = format!("/v1/streaming/1?access_token={token}");
        let bearer = format!("Bearer {token}");
        assert_eq!(call(&target, &[]), 200);
        assert_eq!(call(&target, &[("authorization", &bearer)]), 400);
        assert_eq!(call("/v1/streaming/1", &[("authorization", &bearer)]), 401);
    }
}
