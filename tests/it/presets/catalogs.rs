//! `iceberg`, and what is peculiar to one catalog or another: Polaris, Unity, Gravitino, SeaweedFS.

use std::collections::BTreeMap;

use serde_json::json;

use super::{asked, count, fields, from_now, json, only, part, proxy, yaml};
use crate::support::{Exchange, SECRET, TestProxy, Upstream, token};

const TOKENS: &str = "/v1/oauth/tokens";
const CLIENT: &str = "url: VENDOR, client_id: etl, client_secret: { env: SECRET }";

/// A catalog that gives tokens at `/v1/oauth/tokens` and at `/oidc/v1/token`; `api` answers all else.
fn catalog(api: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |exchange| match exchange.request.second() {
        TOKENS | "/oidc/v1/token" => {
            let token = token(exchange.number + 1);
            let body =
                format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":3600}}"#);
            json(exchange, 200, &body);
        }
        _ => api(exchange),
    })
}

fn ok(exchange: &mut Exchange<'_>) {
    exchange.answer(200, "", "ok");
}

/// How a catalog refuses: `error` is an object, and at the token endpoint a text.
fn failure(status: u16, kind: &str) -> String {
    json!({"error": {"message": "no", "type": kind, "code": status}}).to_string()
}

#[test]
fn a_client_that_polaris_refuses_is_not_tried_by_every_request() {
    for (status, error) in [
        // A wrong secret there, and what others say of it.
        (401, "unauthorized_client"),
        (401, "invalid_client"),
        (400, "invalid_client"),
        // The usual scope, where a role is wanted.
        (400, "invalid_scope"),
        (400, "unsupported_grant_type"),
        (400, "invalid_request"),
    ] {
        let catalog = Upstream::start(move |exchange| {
            let body = json!({"error": error, "error_description": "no"});
            json(exchange, status, &body.to_string());
        });
        let proxy = proxy("iceberg", CLIENT, &catalog);
        for _ in 0..5 {
            let answer = proxy.get("/v1/config");
            assert_eq!(
                (answer.status(), &*answer.code()),
                (502, "token_rejected"),
                "{error}"
            );
        }
        assert_eq!(
            asked(&catalog),
            [format!("POST {TOKENS}")],
            "{status} {error}"
        );
    }
}

#[test]
fn an_authorization_server_elsewhere_is_asked_as_it_wants() {
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    for (auth, shown) in [("basic", encoded.as_str()), ("basic_raw", SECRET)] {
        let (server, catalog) = (catalog(ok), catalog(ok));
        let with = format!(
            "{CLIENT}, client_auth: {auth}, scope: all-apis, audience: lake, resource: 'https://lake.example/', \
             token_url: 'http://{}/oidc/v1/token'",
            server.address()
        );
        let proxy = proxy("iceberg", &with, &catalog);
        let path = "/api/2.1/unity-catalog/iceberg-rest/v1/config";
        assert_eq!(proxy.get(path).status(), 200, "{auth}");
        let call = only(&server, "/oidc/v1/token");
        assert_eq!(
            call.text(),
            "grant_type=client_credentials&scope=all-apis&audience=lake&resource=https%3A%2F%2Flake.example%2F"
        );
        assert_eq!(
            call.header("authorization"),
            Some(&*basic("etl", shown)),
            "{auth}"
        );
        assert_eq!(asked(&catalog), [format!("GET {path}")]);
    }
}

fn basic(id: &str, secret: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

#[test]
fn what_engines_say_of_themselves_arrives() {
    let catalog = catalog(ok);
    let proxy = proxy("iceberg", CLIENT, &catalog);
    let said = [
        "content-type: application/json",
        "if-none-match: \"1\"",
        "x-client-version: 0.14.1",
        "x-iceberg-access-delegation: vended-credentials",
    ];
    let head = format!(
        "GET /v1/namespaces HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n",
        said.join("\r\n")
    );
    assert_eq!(proxy.send(head).status(), 200);
    let mut sent = fields(&only(&catalog, "/v1/namespaces"));
    assert_eq!(
        sent.remove(0),
        format!("authorization: Bearer {}", token(1))
    );
    assert_eq!(sent, said);
}

#[test]
fn a_catalog_s_errors_are_the_engine_s_to_read() {
    for (status, fields, kind) in [
        (403, "", "ForbiddenException"),
        (404, "", "NoSuchTableException"),
        (409, "", "CommitFailedException"),
        (429, "Retry-After: 9\r\n", "TooManyRequestsException"),
        // Not even one that may be asked again is: whether a commit was done is not ours to say.
        (503, "Retry-After: 9\r\n", "SlowDownException"),
    ] {
        let catalog =
            catalog(move |exchange| exchange.answer(status, fields, &failure(status, kind)));
        let proxy = proxy("iceberg", CLIENT, &catalog);
        let answer = proxy.post("/v1/namespaces/a/tables/b", b"{}");
        assert_eq!(
            (answer.status(), answer.text()),
            (status, failure(status, kind))
        );
        assert_eq!(
            answer.headers("retry-after").len(),
            usize::from(!fields.is_empty())
        );
        let calls = (
            count(&catalog, TOKENS),
            count(&catalog, "/v1/namespaces/a/tables/b"),
        );
        assert_eq!(calls, (1, 1), "{status}");
    }
}

/// A 419 does not say that nothing was done, as a 401 does.
#[test]
fn a_commit_that_finds_its_token_expired_is_not_sent_twice() {
    let catalog = catalog(|exchange| match exchange.number {
        1 => exchange.answer(419, "", &failure(419, "AuthenticationTimeoutException")),
        _ => ok(exchange),
    });
    let proxy = proxy("iceberg", CLIENT, &catalog);
    let commit = || proxy.post("/v1/namespaces/a/tables/b", b"{}");
    assert_eq!(commit().code(), "credential_refused");
    assert_eq!((commit().status(), catalog.count()), (200, 4));
    assert_eq!(
        count(&catalog, TOKENS),
        2,
        "the token was renewed all the same"
    );
}

#[test]
fn a_catalog_that_calls_an_expired_token_unimplemented_can_be_understood() {
    let catalog = catalog(|exchange| match exchange.number {
        1 => exchange.answer(501, "", ""),
        _ => ok(exchange),
    });
    let file = yaml("iceberg", CLIENT, &catalog);
    let file = file.replace(
        "credential: main }",
        "credential: main, refused: [401, 501] }",
    );
    let proxy = TestProxy::start(&file);
    assert_eq!(proxy.get("/v1/namespaces").status(), 200);
    assert_eq!(count(&catalog, TOKENS), 2);
}

/// What a catalog hands to its client in a body is not ours to change, nor is it sent on unless the file says so.
#[test]
fn a_table_s_own_token_goes_on_where_the_file_says_so() {
    let table = r#"{"config":{"token":"for this table"},"overrides":{"oauth2-server-uri":"https://x.example/t"}}"#;
    for (more, carried) in [
        ("", format!("Bearer {}", token(1))),
        (", overwrite: false", "Bearer for-this-table".to_owned()),
    ] {
        let catalog = catalog(move |exchange| json(exchange, 200, table));
        let file = yaml("iceberg", CLIENT, &catalog);
        let file = file.replace("credential: main }", &format!("credential: main{more} }}"));
        let proxy = TestProxy::start(&file);
        let head = "GET /v1/namespaces/a/tables/b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer for-this-table\r\n\r\n";
        let answer = proxy.send(head);
        assert_eq!((answer.status(), answer.text()), (200, table.to_owned()));
        let sent = only(&catalog, "/v1/namespaces/a/tables/b");
        assert_eq!(sent.headers("authorization"), [carried], "{more}");
    }
}

/// A client with credentials of its own may log in at the same server: on a route that adds nothing to its login.
#[test]
fn a_login_goes_through_untouched_where_the_route_has_no_credential() {
    let catalog = Upstream::start(|exchange| json(exchange, 200, r#"{"access_token":"its-own"}"#));
    let file = yaml("iceberg", CLIENT, &catalog);
    let proxy = TestProxy::start(&format!(
        "{file}  - {{ name: own, match: /own/, upstream: 'http://{}/' }}\n",
        catalog.address()
    ));
    let form = "grant_type=client_credentials&client_id=own&client_secret=mine&scope=catalog";
    let (auth, kind) = (
        "authorization: Basic b3duOm1pbmU=",
        "content-type: application/x-www-form-urlencoded",
    );
    let login = proxy.send(format!(
        "POST /own{TOKENS} HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    ));
    assert_eq!(login.text(), r#"{"access_token":"its-own"}"#);
    let sent = only(&catalog, TOKENS);
    assert_eq!(sent.text(), form);
    assert_eq!(
        fields(&sent),
        [auth, &format!("content-length: {}", form.len()), kind]
    );
}

/// Some engines log in once and never again.
#[test]
fn a_client_that_logs_in_once_can_be_given_a_month() {
    let catalog = catalog(ok);
    let file = yaml("iceberg", CLIENT, &catalog);
    let file = file.replace(
        "credential: main }",
        "credential: main, emulate: { lifetime: 30d } }",
    );
    let proxy = TestProxy::start(&file);
    let login = proxy.post(TOKENS, b"grant_type=client_credentials");
    let said: serde_json::Value = serde_json::from_slice(&login.body).unwrap();
    let month = 30 * 86_400;
    assert_eq!(said["expires_in"], month);
    let ends = from_now(&part(said["access_token"].as_str().unwrap(), 1)["exp"]);
    assert!((month - 5..=month).contains(&ends), "{ends}");
    assert_eq!(catalog.count(), 0);
}

/// The specification allows a subject that nobody has signed.
#[test]
fn a_user_can_be_named_by_an_unsecured_jwt() {
    let catalog = catalog(ok);
    let with = format!("{CLIENT}, subject: {{ mint: {{ issuer: proxy, audience: lake }} }}");
    let file = yaml("iceberg", &with, &catalog).replace(
        "credential: main }",
        "credential: main, subject: { header: X-User } }",
    );
    let proxy = TestProxy::start(&format!(
        "callers:\n  portal: {{ api_key: {{ key: the-portal-s-key }}, may_name_users: true }}\n{file}"
    ));
    let answer = proxy.send(
        "GET /v1/config HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: the-portal-s-key\r\nX-User: ann\r\n\r\n",
    );
    assert_eq!(answer.status(), 200, "{answer:?}");
    let exchange = &catalog.requests()[1];
    let form: BTreeMap<_, _> = form_urlencoded::parse(&exchange.body).collect();
    let jwt = &form["subject_token"];
    assert_eq!(part(jwt, 0)["alg"], "none");
    assert_eq!(jwt.rsplit('.').next(), Some(""), "{jwt}");
    let claims = part(jwt, 1);
    for (name, wanted) in [("iss", "proxy"), ("aud", "lake"), ("sub", "ann")] {
        assert_eq!(claims[name], wanted, "{claims}");
    }
    assert!((295..=300).contains(&from_now(&claims["exp"])), "{claims}");
    assert!(form["subject_token_type"].ends_with(":jwt"), "{form:?}");
}
