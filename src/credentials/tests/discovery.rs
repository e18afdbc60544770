//! An issuer whose documents a test writes, and the token endpoints that they name.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::http::{answer, client, read_request, settings};
use crate::credentials::{
    ClientAuth, Credential, Discovery, Endpoint, EndpointError, Extras, FailureKind, Fetch,
    FetchError, Retry, Source, TokenCall, grants::ClientCredentials,
};

/// Answers by path; what it does not know is 404.
#[derive(Clone)]
struct Server {
    url: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::default(),
            asked: Arc::default(),
        };
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let known = shared.answers.lock().unwrap().get(&path).cloned();
                shared.asked.lock().unwrap().push(path);
                let answer = known.unwrap_or_else(|| answer("404 Not Found", "", ""));
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        server
    }

    fn put(&self, path: &str, status: &str, body: &str) {
        let answer = answer(status, "", body);
        self.answers.lock().unwrap().insert(path.into(), answer);
    }

    /// The document of `issuer` (a path here) that names `token` (a path here).
    fn document(&self, place: &str, issuer: &str, token: &str) {
        let url = &self.url;
        let body = format!(r#"{{"issuer":"{url}{issuer}","token_endpoint":"{url}{token}"}}"#);
        self.put(place, "200 OK", &body);
    }

    fn token(&self, path: &str) {
        self.put(path, "200 OK", r#"{"access_token":"t","expires_in":60}"#);
    }

    fn remove(&self, path: &str) {
        self.answers.lock().unwrap().remove(path);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn source(&self, issuer: &str) -> ClientCredentials {
        source(&format!("{}{issuer}", self.url), false)
    }
}

fn source(issuer: &str, mtls: bool) -> ClientCredentials {
    let origin = Endpoint::new(&settings(issuer)).unwrap();
    let discovery = Discovery::new(issuer.into(), origin, mtls).unwrap();
    let auth = ClientAuth::Body(client());
    ClientCredentials::new(TokenCall::new(discovery, auth, Extras::default()).unwrap())
}

async fn fetch(source: &ClientCredentials) -> Result<Credential, FetchError> {
    source.fetch(Fetch::FIRST).await
}

#[tokio::test]
async fn the_document_is_appended_to_the_issuer_or_inserted_before_its_path() {
    let server = Server::start().await;
    server.token("/t");
    for (issuer, place) in [
        ("", "/.well-known/openid-configuration"),
        ("/one", "/one/.well-known/openid-configuration"),
        ("/two/", "/two/.well-known/openid-configuration"),
        ("/three", "/.well-known/oauth-authorization-server/three"),
    ] {
        server.document(place, issuer, "/t");
        let source = server.source(issuer);
        fetch(&source).await.expect(issuer);
        let asked = server.asked();
        assert_eq!(asked.last().unwrap(), "/t");
        assert!(asked.contains(&place.to_owned()), "{asked:?}");
    }
}

#[tokio::test]
async fn a_document_is_read_once_in_an_hour_and_shows_the_endpoint() {
    let server = Server::start().await;
    server.document("/.well-known/openid-configuration", "", "/t");
    server.token("/t");
    let source = server.source("");
    assert_eq!(source.endpoints(), [format!("{}/", server.url)]);
    for _ in 0..3 {
        fetch(&source).await.expect("a token");
    }
    assert_eq!(
        server.asked(),
        ["/.well-known/openid-configuration", "/t", "/t", "/t"]
    );
    assert_eq!(source.endpoints(), [format!("{}/t", server.url)]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3601)).await;
    tokio::time::resume();
    fetch(&source).await.expect("a token");
    assert_eq!(server.asked(), ["/.well-known/openid-configuration", "/t"]);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_looked_for_at_once() {
    let server = Server::start().await;
    server.document("/.well-known/openid-configuration", "", "/old");
    server.token("/old");
    let source = server.source("");
    fetch(&source).await.expect("a token");
    server.remove("/old");
    server.document("/.well-known/openid-configuration", "", "/new");
    server.token("/new");
    server.asked();
    fetch(&source).await.expect("a token");
    assert_eq!(
        server.asked(),
        ["/old", "/.well-known/openid-configuration", "/new"]
    );
    assert_eq!(source.endpoints(), [format!("{}/new", server.url)]);
}

#[tokio::test]
async fn an_old_document_serves_while_there_is_no_new_one() {
    let server = Server::start().await;
    server.document("/.well-known/openid-configuration", "", "/t");
    server.token("/t");
    let source = server.source("");
    fetch(&source).await.expect("a token");
    server.remove("/.well-known/openid-configuration");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3601)).await;
    tokio::time::resume();
    fetch(&source).await.expect("a token");
}

#[tokio::test]
async fn documents_that_can_not_be_used_are_typed_failures_that_name_the_place() {
    let server = Server::start().await;
    let place = "/.well-known/openid-configuration";
    let url = server.url.clone();
    for (status, body, says, kind) in [
        (
            "404 Not Found",
            String::new(),
            "answered 404",
            FailureKind::Rejected,
        ),
        (
            "503 Busy",
            String::new(),
            "answered 503",
            FailureKind::Failing,
        ),
        (
            "200 OK",
            "<html>".into(),
            "no document",
            FailureKind::Malformed,
        ),
        (
            "200 OK",
            format!(r#"{{"issuer":"{url}/","token_endpoint":"{url}/t"}}"#),
            "another issuer",
            FailureKind::Malformed,
        ),
        (
            "200 OK",
            format!(r#"{{"issuer":"{url}"}}"#),
            "names no token_endpoint",
            FailureKind::Malformed,
        ),
        (
            "200 OK",
            format!(r#"{{"issuer":"{url}","token_endpoint":"http://login.example.com/t"}}"#),
            "plain http",
            FailureKind::Malformed,
        ),
        (
            "200 OK",
            format!(r#"{{"issuer":"{url}","token_endpoint":"file:///t"}}"#),
            "no URL of a token endpoint",
            FailureKind::Malformed,
        ),
        (
            "200 OK",
            format!(r#"{{"issuer":"{url}","x":"{}"}}"#, "x".repeat(256 * 1024)),
            "256 KiB",
            FailureKind::Malformed,
        ),
    ] {
        server.put(place, status, &body);
        let error = fetch(&server.source("")).await.expect_err(says);
        assert!(error.detail.contains(says), "{says}: {}", error.detail);
        assert!(error.detail.contains(place), "{}", error.detail);
        assert!(error.detail.starts_with(&url), "{}", error.detail);
        assert_eq!(error.kind, kind, "{}", error.detail);
        assert!(!server.asked().contains(&"/t".to_owned()), "no secret sent");
    }
    let error = fetch(&server.source("/none")).await.expect_err("404 twice");
    assert_eq!(error.retry, Retry::Permanent);
}

#[tokio::test]
async fn a_client_with_a_certificate_prefers_the_endpoint_for_certificates() {
    let server = Server::start().await;
    let url = &server.url;
    let body = format!(
        r#"{{"issuer":"{url}","token_endpoint":"{url}/t","mtls_endpoint_aliases":{{"token_endpoint":"{url}/mtls"}}}}"#
    );
    server.put("/.well-known/openid-configuration", "200 OK", &body);
    server.token("/t");
    server.token("/mtls");
    for (mtls, path) in [(false, "/t"), (true, "/mtls")] {
        fetch(&source(url, mtls)).await.expect("a token");
        assert_eq!(server.asked().last().unwrap(), path);
    }
}

#[test]
fn an_issuer_has_no_query() {
    let origin = Endpoint::new(&settings("https://x.example/?a")).unwrap();
    let refused = Discovery::new("https://x.example/?a".into(), origin, false);
    assert!(matches!(refused.unwrap_err(), EndpointError::Query));
}
