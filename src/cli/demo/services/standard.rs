//! A standard authorization server (RFC 6749 section 4.4) that is strict, and the API behind it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};

use super::Client;
use crate::cli::demo::{
    arrived::{echo_if, exactly},
    asked::{basic, form},
    stand_in::{Answer, json},
    tokens::{Tokens, opaque},
};

/// A server that knows one client.
#[derive(Clone, Debug)]
pub(in crate::cli::demo) struct Standard {
    pub(in crate::cli::demo) tokens: Tokens,
    client: Client,
}

impl Standard {
    pub(in crate::cli::demo) fn new(client: Client) -> Self {
        Self {
            tokens: Tokens::default(),
            client,
        }
    }

    pub(in crate::cli::demo) fn answer(&self, request: &Request<Bytes>) -> Answer {
        match request.uri().path() {
            "/oauth2/token" => self.token(request),
            _ => self.api(request),
        }
    }

    /// Decodes Basic as section 2.3.1 asks for.
    fn token(&self, request: &Request<Bytes>) -> Answer {
        self.tokens.asked();
        let Some(form) = form(request) else {
            return error(StatusCode::BAD_REQUEST, "invalid_request");
        };
        if basic(request.headers()) != Some((self.client.id.into(), self.client.secret.into())) {
            return error(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
            return error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
        }
        let token = self.tokens.issue(opaque(), self.client.id, LIFE);
        let seconds = LIFE.as_secs();
        json(
            StatusCode::OK,
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#),
        )
    }

    fn api(&self, request: &Request<Bytes>) -> Answer {
        let good = |field: &str| self.tokens.accepts_bearer(field);
        let checked = exactly(request, &[("authorization", &good)]);
        echo_if(request, &checked, || {
            let mut answer = error(StatusCode::UNAUTHORIZED, "invalid_token");
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            let headers = answer.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
            answer
        })
    }
}

fn error(status: StatusCode, code: &str) -> Answer {
    json(status, format!(r#"{{"error":"{code}"}}"#))
}

const LIFE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::{super::testing, *};
    use testing::{get, seen};

    const CLIENT: Client = Client {
        id: "batch 1",
        secret: "50% off: + & =",
    };

    fn ask(server: &Standard, basic: &str, form: &str) -> u16 {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(basic));
        let request = testing::form("/oauth2/token", &[("authorization", &basic)], form);
        server.answer(&request).status().as_u16()
    }

    #[tokio::test]
    async fn basic_stands_there_in_form_encoding() {
        let server = Standard::new(CLIENT);
        let grant = "grant_type=client_credentials";
        assert_eq!(ask(&server, "batch 1:50% off: + & =", grant), 401);
        let encoded = "batch+1:50%25+off%3A+%2B+%26+%3D";
        assert_eq!(ask(&server, encoded, grant), 200);
        assert_eq!(ask(&server, encoded, "grant_type=password"), 400);
        assert_eq!(server.tokens.calls(), 3);
    }

    #[tokio::test]
    async fn a_revoked_token_is_refused() {
        let server = Standard::new(CLIENT);
        let bearer = format!("Bearer {}", server.tokens.issue("abc".into(), "", LIFE));
        let call = || seen(server.answer(&get("/orders/7", &[("authorization", &bearer)]))).status;
        assert_eq!(call(), 200);
        server.tokens.revoke_all();
        assert_eq!(call(), 401);
    }
}
