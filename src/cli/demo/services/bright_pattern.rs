//! Bright Pattern: everything in the form, the tenant as scope, and a user locked out after wrong secrets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};

use super::Client;
use crate::cli::demo::{
    arrived::{echo_if, exactly},
    asked::form,
    stand_in::{Answer, json},
    tokens::{Tokens, opaque},
};

/// A tenant that knows one API user.
#[derive(Clone, Debug)]
pub(in crate::cli::demo) struct BrightPattern {
    pub(in crate::cli::demo) tokens: Tokens,
    wrong_secrets: Arc<AtomicUsize>,
    user: Client,
    tenant: &'static str,
}

impl BrightPattern {
    pub(in crate::cli::demo) fn new(user: Client, tenant: &'static str) -> Self {
        Self {
            tokens: Tokens::default(),
            wrong_secrets: Arc::default(),
            user,
            tenant,
        }
    }

    pub(in crate::cli::demo) fn answer(&self, request: &Request<Bytes>) -> Answer {
        match request.uri().path() {
            "/configapi/v2/oauth/token" | "/configapi/v3/oauth/token" => self.token(request),
            path if path.starts_with("/taskroutingapi/v1/") => {
                self.api(request, r#"{"code":1,"message":"Authentication failed"}"#)
            }
            path if path.starts_with("/configapi/") => self.api(request, ""),
            _ => json(StatusCode::NOT_FOUND, ""),
        }
    }

    /// The vendor documents nothing but the status of a refusal.
    fn token(&self, request: &Request<Bytes>) -> Answer {
        self.tokens.asked();
        let Some(form) = form(request) else {
            return json(StatusCode::UNSUPPORTED_MEDIA_TYPE, "");
        };
        let is = |name: &str, value| form.get(name).map(String::as_str) == Some(value);
        let locked = self.wrong_secrets.load(Ordering::Relaxed) >= MOST_WRONG_SECRETS;
        if is("client_id", self.user.id) && !is("client_secret", self.user.secret) {
            self.wrong_secrets.fetch_add(1, Ordering::Relaxed);
        }
        let expected = [
            ("grant_type", "client_credentials"),
            ("client_id", self.user.id),
            ("client_secret", self.user.secret),
            ("scope", self.tenant),
        ];
        if locked || !expected.iter().all(|(name, value)| is(name, value)) {
            return json(StatusCode::UNAUTHORIZED, "");
        }
        self.wrong_secrets.store(0, Ordering::Relaxed);
        let token = self.tokens.issue(opaque(), self.user.id, LIFE);
        let (tenant, seconds) = (self.tenant, LIFE.as_secs());
        // The life as a string, and the comma too many of the vendor's documentation.
        json(
            StatusCode::OK,
            format!(
                r#"{{"access_token":"{token}","token_type":"Bearer","scope":"{tenant}","expires_in":"{seconds}",}}"#
            ),
        )
    }

    fn api(&self, request: &Request<Bytes>, refusal: &'static str) -> Answer {
        let good = |field: &str| self.tokens.accepts_bearer(field);
        let checked = exactly(request, &[("authorization", &good)]);
        echo_if(request, &checked, || {
            json(StatusCode::UNAUTHORIZED, refusal)
        })
    }
}

const LIFE: Duration = Duration::from_secs(3599);
const MOST_WRONG_SECRETS: usize = 5;

#[cfg(test)]
mod tests {
    use super::{super::testing, *};
    use testing::{get, seen};

    const USER: Client = Client {
        id: "batch 1",
        secret: "50% off: + & =",
    };
    const GOOD: &str = "grant_type=client_credentials&client_id=batch+1&client_secret=50%25+off%3A+%2B+%26+%3D&scope=t.example";

    fn ask(tenant: &BrightPattern, form: &str) -> u16 {
        let answer = tenant.answer(&testing::form("/configapi/v2/oauth/token", &[], form));
        answer.status().as_u16()
    }

    #[tokio::test]
    async fn everything_stands_in_the_form() {
        let tenant = BrightPattern::new(USER, "t.example");
        assert_eq!(ask(&tenant, GOOD), 200);
        assert_eq!(ask(&tenant, &GOOD.replace("scope=t", "tenant=t")), 401);
        assert_eq!(ask(&tenant, &GOOD.replace("client_cred", "cred")), 401);
        assert_eq!(ask(&tenant, &format!("{GOOD}&scope=other")), 415);
        let json = testing::json("/configapi/v2/oauth/token", &[], "{}");
        assert_eq!(tenant.answer(&json).status(), 415);
        let bare = testing::request("POST", "/configapi/v2/oauth/token", &[], GOOD);
        assert_eq!(tenant.answer(&bare).status(), 415);
    }

    #[tokio::test]
    async fn the_answer_has_a_life_in_quotes_and_a_comma_too_many() {
        let tenant = BrightPattern::new(USER, "t.example");
        let answer = seen(tenant.answer(&testing::form("/configapi/v2/oauth/token", &[], GOOD)));
        assert!(answer.is(200, r#""expires_in":"3599",}"#), "{answer:?}");
    }

    #[tokio::test]
    async fn five_wrong_secrets_lock_the_user_out() {
        let tenant = BrightPattern::new(USER, "t.example");
        let wrong = GOOD.replace("50", "60");
        for _ in 0..4 {
            assert_eq!(ask(&tenant, &wrong), 401);
        }
        assert_eq!(ask(&tenant, GOOD), 200, "four are forgiven");
        for _ in 0..5 {
            assert_eq!(ask(&tenant, &wrong), 401);
        }
        assert_eq!(ask(&tenant, GOOD), 401, "locked out with the right one");
    }

    #[tokio::test]
    async fn each_api_refuses_in_its_own_words() {
        let tenant = BrightPattern::new(USER, "t.example");
        let call = |path| seen(tenant.answer(&get(path, &[])));
        assert!(call("/taskroutingapi/v1/task").is(401, "Authentication failed"));
        assert_eq!(call("/configapi/v2/users").text, "");
        let token = tenant.tokens.issue("abc".into(), "", LIFE);
        let bearer = format!("Bearer {token}");
        let good = get("/configapi/v2/users", &[("authorization", &bearer)]);
        assert_eq!(tenant.answer(&good).status(), 200);
    }
}
