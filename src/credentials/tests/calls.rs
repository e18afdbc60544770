//! What is noted of a fetch's calls, over real sockets.

use std::{sync::Arc, time::Duration};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Handle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    credentials::{
        Account, CacheSettings, Client, ClientAuth, Credentials, Endpoint, EndpointSettings,
        Extras, FailureKind, TokenCall, grants::client_credentials::ClientCredentials,
    },
    secret::Secret,
};

/// Answers one call and tells where it can be made.
async fn answers(text: &'static str, acceptor: Option<TlsAcceptor>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        if let Some(acceptor) = acceptor {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        } else {
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    format!("{scheme}://localhost:{port}/token")
}

async fn account(url: &str, ca: Option<Vec<u8>>) -> Account {
    let settings = EndpointSettings {
        ca,
        ..EndpointSettings::new(format!("{url}?key=canary-in-the-query"))
    };
    let auth = ClientAuth::Body(Client {
        id: "batch".into(),
        secret: Secret::new("canary-secret"),
    });
    let extras = Extras {
        scope: Some("read write".into()),
        ..Extras::default()
    };
    let call = TokenCall::new(Endpoint::new(&settings).unwrap(), auth, extras).unwrap();
    let credentials = Credentials::new(Handle::current());
    let source = Arc::new(ClientCredentials::new(call));
    let handle = credentials.handle("billing", source, CacheSettings::default());
    let _ = handle.lease(Duration::from_secs(20)).await;
    handle.account()
}

#[tokio::test]
async fn a_call_is_told_with_status_clock_client_authentication_and_scope() {
    let text = "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nconnection: close\r\n\
        content-type: application/json\r\n\r\n{\"access_token\":\"canary-token\"}";
    let url = answers(text, None).await;
    let account = account(&url, None).await;
    let [call] = account.calls.as_slice() else {
        panic!("{account:?}");
    };
    assert_eq!(*call.endpoint, url);
    assert_eq!(call.status.map(|it| it.as_u16()), Some(200));
    assert!(call.clock_ahead_ms < Some(-1_000_000_000_000), "{call:?}");
    assert_eq!(call.tls, None);
    let asked = call.asked.as_ref().unwrap();
    assert_eq!(asked.client_auth, "body");
    assert_eq!(asked.scope.as_deref(), Some("read write"));
    assert_eq!(account.failure, None);
    assert!(!format!("{account:?}").contains("canary"), "{account:?}");
}

#[tokio::test]
async fn a_refusal_is_told_with_what_the_endpoint_said() {
    let text = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\
        content-type: application/json\r\n\r\n{\"error\":\"invalid_client\"}";
    let account = account(&answers(text, None).await, None).await;
    assert_eq!(account.calls[0].status.map(|it| it.as_u16()), Some(401));
    let failure = account.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert_eq!(failure.code(), Some("invalid_client"));
}

#[tokio::test]
async fn a_call_that_was_never_answered_is_told_too() {
    let account = account("http://127.0.0.1:1/token", None).await;
    assert_eq!(account.calls.len(), 1);
    assert_eq!(account.calls[0].status, None);
    assert_eq!(account.failure.unwrap().kind, FailureKind::Unreachable);
}

#[tokio::test]
async fn the_version_of_tls_is_told() {
    let text = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n\
        {\"access_token\":\"t\"}";
    for (version, told) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let (acceptor, ca) = tls(version);
        let url = answers(text, Some(acceptor)).await;
        let account = account(&url, Some(ca)).await;
        assert_eq!(account.calls[0].tls, Some(told), "{account:?}");
    }
}

fn tls(version: &'static SupportedProtocolVersion) -> (TlsAcceptor, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    (
        TlsAcceptor::from(Arc::new(config)),
        made.cert.pem().into_bytes(),
    )
}
