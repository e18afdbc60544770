//! The real client against an endpoint that answers what a test says, byte by byte, over loopback.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    clock,
    credentials::{
        Client, ClientAuth, Credential, Endpoint, EndpointError, EndpointSettings, Extras,
        FailureKind, Fetch, FetchError, Retry, Source, TokenCall, TokenCallError,
        grants::ClientCredentials,
    },
    secret::Secret,
};

/// An endpoint that gives every connection the same answer and keeps what it was sent.
pub(super) struct Scripted {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(super) async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                log.lock().unwrap().push(request);
                // A client that has enough of us closes: no fault of the test.
                let _ = stream.write_all(&answer).await;
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

pub(in crate::credentials) async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..read]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned))
                .map_or(0, |digits| digits.parse().unwrap());
            if body.len() >= length {
                return so_far;
            }
        }
        if read == 0 {
            return so_far;
        }
    }
}

pub(in crate::credentials) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
        body.len()
    )
}

pub(super) fn settings(url: &str) -> EndpointSettings {
    EndpointSettings {
        timeout: Duration::from_secs(5),
        ..EndpointSettings::new(url)
    }
}

pub(super) fn source(url: &str, auth: ClientAuth, extras: Extras) -> ClientCredentials {
    let endpoint = Endpoint::new(&settings(url)).unwrap();
    ClientCredentials::new(TokenCall::new(endpoint, auth, extras).unwrap())
}

pub(super) fn client() -> Client {
    Client {
        id: "me@home".into(),
        secret: Secret::new("p%ss"),
    }
}

async fn fetch(url: &str) -> Result<Credential, FetchError> {
    source(url, ClientAuth::Basic(client()), Extras::default())
        .fetch(Fetch::FIRST)
        .await
}

async fn fails(status: &str, headers: &str, body: &str) -> FetchError {
    let endpoint = Scripted::start(answer(status, headers, body)).await;
    let error = fetch(&endpoint.url).await.expect_err(body);
    assert!(
        error.detail.starts_with(&endpoint.url),
        "names the endpoint: {}",
        error.detail
    );
    assert!(!error.detail.contains("s3cret"), "{}", error.detail);
    error
}

#[tokio::test]
async fn the_whole_call_as_bright_pattern_documents_it() {
    let body =
        r#"{"access_token":"CCE2","token_type":"Bearer","expires_in":"3599","scope":"x.example",}"#;
    let endpoint = Scripted::start(answer("200 OK", "Content-Type: text/plain\r\n", body)).await;
    let extras = Extras {
        scope: Some("x.example".into()),
        ..Extras::default()
    };
    let source = source(&endpoint.url, ClientAuth::Body(client()), extras);
    let credential = source.fetch(Fetch::FIRST).await.unwrap();
    assert_eq!(credential.part("access_token").unwrap().expose(), "CCE2");
    assert_eq!(credential.life, Some(Duration::from_secs(3599)));
    let request = endpoint.seen().remove(0);
    let (head, form) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        form,
        "grant_type=client_credentials&client_id=me%40home&client_secret=p%25ss&scope=x.example"
    );
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /token http/1.1\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/x-www-form-urlencoded"),
        "{head}"
    );
    for never in ["authorization", "accept-encoding", "cookie", "referer"] {
        assert!(!head.contains(never), "{never} in {head}");
    }
}

#[tokio::test]
async fn basic_keeps_the_secret_out_of_the_form() {
    let endpoint = Scripted::start(answer("200 OK", "", r#"{"access_token":"t"}"#)).await;
    fetch(&endpoint.url).await.unwrap();
    let request = endpoint.seen().remove(0);
    // me%40home:p%25ss
    assert!(
        request.contains("authorization: Basic bWUlNDBob21lOnAlMjVzcw==\r\n"),
        "{request}"
    );
    assert!(
        request.ends_with("\r\n\r\ngrant_type=client_credentials"),
        "{request}"
    );
}

#[tokio::test]
async fn everything_a_token_request_can_carry() {
    let endpoint = Scripted::start(answer("200 OK", "", r#"{"access_token":"t"}"#)).await;
    let extras = Extras {
        scope: Some("a b".into()),
        audiences: vec!["x".into()],
        resources: vec!["https://r/1".into(), "https://r/2".into()],
        params: vec![("tenant".into(), Secret::new("a&b"))],
        headers: vec![("x-extra".parse().unwrap(), HeaderValue::from_static("e"))],
        query: vec![("api key".into(), Secret::new("k="))],
        ..Extras::default()
    };
    let url = format!("{}?version=1", endpoint.url);
    source(&url, ClientAuth::None { id: "me".into() }, extras)
        .fetch(Fetch::FIRST)
        .await
        .unwrap();
    let request = endpoint.seen().remove(0);
    assert!(
        request.starts_with("POST /token?version=1&api+key=k%3D HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("x-extra: e\r\n"), "{request}");
    assert!(
        request.ends_with(
            "grant_type=client_credentials&client_id=me&scope=a+b&audience=x&resource=https%3A%2F%2Fr%2F1&resource=https%3A%2F%2Fr%2F2&tenant=a%26b"
        ),
        "{request}"
    );
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let elsewhere = Scripted::start(answer("200 OK", "", r#"{"access_token":"evil"}"#)).await;
    for status in [
        "301 Moved",
        "302 Found",
        "303 See",
        "307 Temporary",
        "308 Permanent",
    ] {
        let location = format!("Location: {}\r\n", elsewhere.url);
        assert_eq!(
            fails(status, &location, "").await.kind,
            FailureKind::Redirect
        );
    }
    assert!(elsewhere.seen().is_empty(), "not a byte");
}

#[tokio::test]
async fn odd_answers_are_typed_failures() {
    let long = "x".repeat(2 * 1024 * 1024);
    let html = "<html>s3cret</html>";
    for (status, headers, body, kind) in [
        (
            "200 OK",
            "Content-Type: application/json\r\n",
            html,
            FailureKind::Malformed,
        ),
        ("200 OK", "", "", FailureKind::Malformed),
        ("204 No Content", "", "", FailureKind::Malformed),
        ("200 OK", "", long.as_str(), FailureKind::Malformed),
        (
            "400 Bad Request",
            "",
            r#"{"error":"invalid_grant","x":"s3cret"}"#,
            FailureKind::Rejected,
        ),
        ("401 Unauthorized", "", "s3cret", FailureKind::Rejected),
        (
            "429 Too Many",
            "Retry-After: 7\r\n",
            "",
            FailureKind::RateLimited,
        ),
        ("503 Unavailable", "", html, FailureKind::Failing),
    ] {
        let error = fails(status, headers, body).await;
        assert_eq!(error.kind, kind, "{status}");
        if kind == FailureKind::RateLimited {
            let after = Some(Duration::from_secs(7));
            assert_eq!(error.retry, Retry::Transient { after });
        }
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_a_mebibyte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let sent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut sent = 0_u64;
        while sent < 1 << 30 && stream.write_all(&[b' '; 65_536]).await.is_ok() {
            sent += 65_536;
        }
        sent
    });
    let error = fetch(&url).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Malformed);
    let sent = sent.await.unwrap();
    assert!(
        sent < 16 << 20,
        "what the kernel buffers and no more: {sent}"
    );
}

#[tokio::test]
async fn a_connection_refused_cut_or_silent_is_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let error = fetch(&url).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unreachable);
    assert!(
        error.detail.ends_with("it refuses connections"),
        "{}",
        error.detail
    );

    let cut =
        Scripted::start("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{")
            .await;
    assert_eq!(
        fetch(&cut.url).await.unwrap_err().kind,
        FailureKind::Interrupted
    );

    let nothing = Scripted::start("").await;
    assert_eq!(
        fetch(&nothing.url).await.unwrap_err().kind,
        FailureKind::Interrupted
    );

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let short = EndpointSettings {
        timeout: Duration::from_millis(200),
        ..settings(&url)
    };
    let call = TokenCall::new(
        Endpoint::new(&short).unwrap(),
        ClientAuth::Basic(client()),
        Extras::default(),
    );
    let began = clock::now();
    let error = ClientCredentials::new(call.unwrap())
        .fetch(Fetch::FIRST)
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_endpoint_gets_eight_calls_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    tokio::spawn({
        let most = Arc::clone(&most);
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    read_request(&mut stream).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    let body = answer("200 OK", "", r#"{"access_token":"t"}"#);
                    let _ = stream.write_all(body.as_bytes()).await;
                });
            }
        }
    });
    let source = source(&url, ClientAuth::Basic(client()), Extras::default());
    let source = Arc::new(source);
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { source.fetch(Fetch::FIRST).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().expect("a token");
    }
    assert_eq!(most.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_tls_endpoint_is_verified_against_its_ca_and_name() {
    let ca = rcgen::CertifiedIssuer::self_signed(
        {
            let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params
        },
        rcgen::KeyPair::generate().unwrap(),
    )
    .unwrap();
    let url_for = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    };
    for (name, trusted, good) in [
        ("localhost", true, true),
        ("other", true, false),
        ("localhost", false, false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        let acceptor = url_for(name);
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return 0;
            };
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            let body = r#"{"access_token":"t"}"#;
            let _ = stream
                .write_all(answer("200 OK", "", body).as_bytes())
                .await;
            let _ = stream.shutdown().await;
            read
        });
        let pem = if trusted {
            ca.pem()
        } else {
            rcgen::generate_simple_self_signed(vec!["x".to_owned()])
                .unwrap()
                .cert
                .pem()
        };
        let settings = EndpointSettings {
            ca: Some(pem.into_bytes()),
            ..settings(&url)
        };
        let call = TokenCall::new(
            Endpoint::new(&settings).unwrap(),
            ClientAuth::Basic(client()),
            Extras::default(),
        );
        let result = ClientCredentials::new(call.unwrap())
            .fetch(Fetch::FIRST)
            .await;
        assert_eq!(result.is_ok(), good, "{name} {trusted}: {result:?}");
        let received = server.await.unwrap();
        assert_eq!(
            received > 0,
            good,
            "no byte of the secret before the certificate is trusted"
        );
        if let Err(error) = result {
            assert_eq!(error.kind, FailureKind::Untrusted);
            assert!(error.detail.contains("certificate"), "{}", error.detail);
        }
    }
}

#[test]
fn urls_that_would_leak_are_refused() {
    let refused = |url: &str| Endpoint::new(&EndpointSettings::new(url)).unwrap_err();
    assert!(matches!(
        refused("http://login.example.com/"),
        EndpointError::Plaintext
    ));
    assert!(matches!(
        refused("https://u:p@login.example.com/"),
        EndpointError::UserInfo
    ));
    assert!(matches!(
        refused("https://login.example.com/#x"),
        EndpointError::Fragment
    ));
    assert!(matches!(
        refused("ftp://login.example.com/"),
        EndpointError::Url
    ));
    assert!(matches!(refused("login"), EndpointError::Url));
    for fine in [
        "http://127.0.0.1:1/",
        "http://[::1]:1/",
        "http://localhost/",
        "https://x.example/",
    ] {
        Endpoint::new(&EndpointSettings::new(fine)).expect(fine);
    }
    let bad_ca = EndpointSettings {
        ca: Some(b"x".to_vec()),
        ..EndpointSettings::new("https://x/")
    };
    assert!(matches!(
        Endpoint::new(&bad_ca).unwrap_err(),
        EndpointError::Ca
    ));
}

#[test]
fn nothing_is_sent_twice() {
    let build = |auth, extras| {
        TokenCall::new(
            Endpoint::new(&settings("https://x/")).unwrap(),
            auth,
            extras,
        )
        .map(|_| ())
    };
    let param = |name: &str| Extras {
        params: vec![(name.into(), Secret::new("x"))],
        scope: Some("s".into()),
        ..Extras::default()
    };
    for name in ["grant_type", "client_id", "client_secret", "scope"] {
        let error = build(ClientAuth::Basic(client()), param(name)).unwrap_err();
        assert_eq!(error, TokenCallError::Parameter(name.into()));
    }
    assert!(build(ClientAuth::Basic(client()), param("tenant")).is_ok());
    let header = |name: &'static str| Extras {
        headers: vec![(
            http::HeaderName::from_static(name),
            HeaderValue::from_static("x"),
        )],
        ..Extras::default()
    };
    assert!(build(ClientAuth::Basic(client()), header("authorization")).is_err());
    assert!(build(ClientAuth::Body(client()), header("authorization")).is_ok());
    assert!(build(ClientAuth::Body(client()), header("content-length")).is_err());
}

#[test]
fn every_setting_is_part_of_the_identity() {
    let base = || Extras {
        scope: Some("s".into()),
        ..Extras::default()
    };
    let of = |url: &str, auth: ClientAuth, extras: Extras| source(url, auth, extras).fingerprint();
    let with = |change: &dyn Fn(&mut Extras)| {
        let mut extras = base();
        change(&mut extras);
        of("https://x/", ClientAuth::Basic(client()), extras)
    };
    let pair = |name: &str| vec![(name.to_owned(), Secret::new("v"))];
    let other_secret = Client {
        id: "me@home".into(),
        secret: Secret::new("other"),
    };
    let moved = Client {
        id: "me@homep".into(),
        secret: Secret::new("%ss"),
    };
    let all = [
        with(&|_| {}),
        of("https://y/", ClientAuth::Basic(client()), base()),
        of("https://x/?a", ClientAuth::Basic(client()), base()),
        of("https://x/", ClientAuth::BasicRaw(client()), base()),
        of("https://x/", ClientAuth::Body(client()), base()),
        of("https://x/", ClientAuth::Basic(other_secret), base()),
        of("https://x/", ClientAuth::Basic(moved), base()),
        with(&|extras| extras.scope = None),
        with(&|extras| extras.scope = Some("t".into())),
        with(&|extras| extras.audiences = vec!["a".into()]),
        with(&|extras| extras.resources = vec!["a".into()]),
        with(&|extras| extras.params = pair("p")),
        with(&|extras| extras.query = pair("p")),
        with(&|extras| {
            extras.headers = vec![("p".parse().unwrap(), HeaderValue::from_static("v"))]
        }),
        with(&|extras| extras.default_expires_in = Duration::from_secs(1)),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "{at}");
    }
    assert_eq!(all[0], with(&|_| {}));
}
