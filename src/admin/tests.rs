use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use super::*;
use crate::{
    credentials::{
        BoxFuture, CacheSettings, Credential, CredentialHandle, Credentials, Fetch, FetchError,
        Fingerprint, FingerprintBuilder, Source,
    },
    telemetry::metrics::Metrics,
};

/// A token endpoint that never answers.
#[derive(Debug)]
struct Silent;

impl Source for Silent {
    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(std::future::pending())
    }

    fn grant(&self) -> &'static str {
        "silent"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("silent").finish()
    }
}

fn warming(credentials: &Credentials) -> CredentialHandle {
    let settings = CacheSettings {
        prewarm: true,
        ..CacheSettings::default()
    };
    credentials.handle("billing", Arc::new(Silent), settings)
}

struct Proxy {
    status: Status,
    credentials: Credentials,
    address: SocketAddr,
}

async fn start(surface: Surface) -> Proxy {
    let credentials = Credentials::new(Handle::current());
    let status = Status::new(Metrics::new(), credentials.clone(), Vec::new);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(Listener::Tcp(listener), status.clone(), surface));
    Proxy {
        status,
        credentials,
        address,
    }
}

impl Proxy {
    async fn get(&self, path: &str, host: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers and closes");
        answer
    }
}

#[tokio::test]
async fn probes_and_scrapers_may_name_any_host() {
    let proxy = start(Surface::Health).await;
    assert!(
        proxy
            .get("/livez", "10.1.2.3:9902")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(
        proxy
            .get("/readyz", "pod.example")
            .await
            .ends_with("\r\n\r\nready\n")
    );
    let metrics = proxy.get("/metrics", "pod.example").await;
    assert!(
        metrics.contains("content-type: application/openmetrics-text"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nbearerd_build_info{version="),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_health_listener_has_no_api() {
    let proxy = start(Surface::Health).await;
    assert!(
        proxy
            .get("/api/credentials", "localhost")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
}

#[tokio::test]
async fn the_admin_listener_answers_to_this_machine_only() {
    let proxy = start(Surface::Admin).await;
    let port = proxy.address.port();
    for host in [
        "localhost",
        &format!("LOCALHOST:{port}"),
        &format!("127.0.0.1:{port}"),
        "[::1]",
    ] {
        let answer = proxy.get("/api/routes", host).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("[]"),
            "{host}: {answer}"
        );
    }
    for host in [
        "evil.example",
        "127.0.0.1:1",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "a@localhost",
    ] {
        let answer = proxy.get("/api/routes", host).await;
        assert!(!answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    let absolute =
        "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(proxy.send(absolute).await.starts_with("HTTP/1.1 421 "));
}

#[tokio::test]
async fn only_reading_is_possible() {
    let proxy = start(Surface::Admin).await;
    let post = "POST /api/routes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = proxy.send(post).await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"),
        "{answer}"
    );
}

#[tokio::test]
async fn credentials_are_shown_as_views() {
    let proxy = start(Surface::Admin).await;
    let _billing = warming(&proxy.credentials);
    let answer = proxy.get("/api/credentials", "localhost").await;
    assert!(answer.contains(r#""name":"billing""#), "{answer}");
    assert!(answer.contains(r#""grant":"silent""#), "{answer}");
    let metrics = proxy.get("/metrics", "localhost").await;
    let states = metrics
        .lines()
        .filter(|it| it.starts_with("bearerd_credential_state{"));
    assert_eq!(
        states.filter(|it| it.ends_with(" 1.0")).count(),
        1,
        "{metrics}"
    );
    assert!(metrics.contains(r#"bearerd_credential_rejected_total{credential="billing"} 0"#));
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_prewarm_but_not_for_ever() {
    let proxy = start(Surface::Health).await;
    let _billing = warming(&proxy.credentials);
    assert_eq!(proxy.status.readiness(), Readiness::Warming);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(proxy.status.readiness(), Readiness::Ready);
}

#[tokio::test]
async fn a_reload_does_not_take_readiness_back_and_draining_does() {
    let proxy = start(Surface::Health).await;
    assert_eq!(proxy.status.readiness(), Readiness::Ready);
    let _added = warming(&proxy.credentials);
    assert_eq!(proxy.status.readiness(), Readiness::Ready);
    proxy.status.drain();
    assert!(
        proxy
            .get("/readyz", "any")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
    assert!(
        proxy
            .get("/livez", "any")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_credential_is_rotated_by_whoever_is_no_web_page() {
    let proxy = start(Surface::Admin).await;
    let post = |name: &str, more: &str| {
        format!(
            "POST /api/credentials/{name}/rotate HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    let source = Arc::new(crate::credentials::grants::Fixed::token(
        crate::secret::Secret::new("canary"),
    ));
    let handle = proxy
        .credentials
        .handle("fixed", source, CacheSettings::default());
    for refused in [
        "",
        "X-Bearerd: 1\r\nOrigin: http://localhost\r\n",
        "X-Bearerd: 1\r\nSec-Fetch-Site: none\r\n",
    ] {
        let answer = proxy.send(&post("fixed", refused)).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{refused}: {answer}");
    }
    assert_eq!(handle.view().generation, 0, "nothing was renewed");
    let answer = proxy.send(&post("fixed", "X-Bearerd: 1\r\n")).await;
    assert!(
        answer.ends_with(r#"{"credential":"fixed","outcome":"ok"}"#),
        "{answer}"
    );
    assert_eq!(handle.view().generation, 1);
    let answer = proxy.send(&post("other", "X-Bearerd: 1\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let health = start(Surface::Health).await;
    let answer = health.send(&post("fixed", "X-Bearerd: 1\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}
