//! The real client against an endpoint that asks for a certificate (RFC 8705).

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig, pki_types::PrivatePkcs8KeyDer, server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::http::answer;
use crate::{
    credentials::{
        ClientAuth, ClientIdentity, Endpoint, EndpointError, EndpointSettings, Extras, Fetch,
        Fingerprint, FingerprintBuilder, Source, TokenCall, grants::ClientCredentials,
    },
    secret::Secret,
};

type Ca = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

fn ca(name: &str) -> Ca {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
}

fn leaf(ca: &Ca, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, ca).unwrap(), key)
}

fn identity(ca: &Ca) -> ClientIdentity {
    let (certificate, key) = leaf(ca, "client");
    ClientIdentity {
        certificates: certificate.pem().into_bytes(),
        key: Secret::new(key.serialize_pem()),
    }
}

/// What the server saw of a call: the name asked for, the request.
struct Seen {
    sni: Option<String>,
    request: String,
}

/// Asks its clients for a certificate of `ca`; its own is for `name`.
async fn server(ca: &Ca, name: &str) -> (u16, mpsc::UnboundedReceiver<Seen>) {
    let (certificate, key) = leaf(ca, name);
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            let _ = send.send(Seen {
                sni: stream.get_ref().1.server_name().map(str::to_owned),
                request: String::from_utf8_lossy(&buffer[..read]).into_owned(),
            });
            let body = r#"{"access_token":"t","expires_in":60}"#;
            let _ = stream
                .write_all(answer("200 OK", "", body).as_bytes())
                .await;
            let _ = stream.shutdown().await;
        }
    });
    (port, seen)
}

fn settings(ca: &Ca, url: String) -> EndpointSettings {
    EndpointSettings {
        ca: Some(ca.pem().into_bytes()),
        ..EndpointSettings::new(url)
    }
}

fn source(settings: &EndpointSettings) -> ClientCredentials {
    let endpoint = Endpoint::new(settings).unwrap();
    let auth = ClientAuth::Tls { id: "me".into() };
    ClientCredentials::new(TokenCall::new(endpoint, auth, Extras::default()).unwrap())
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate_and_sends_its_id() {
    let ours = ca("ours");
    let (port, mut seen) = server(&ours, "localhost").await;
    let url = || format!("https://localhost:{port}/token");
    let good = EndpointSettings {
        identity: Some(identity(&ours)),
        ..settings(&ours, url())
    };
    source(&good).fetch(Fetch::FIRST).await.expect("known");
    let request = seen.recv().await.unwrap().request;
    assert!(request.contains("client_id=me"), "{request}");
    assert!(!request.contains("client_secret"), "{request}");

    let another = EndpointSettings {
        identity: Some(identity(&ca("others"))),
        ..settings(&ours, url())
    };
    for bad in [settings(&ours, url()), another] {
        source(&bad).fetch(Fetch::FIRST).await.expect_err("unknown");
        assert!(seen.try_recv().is_err(), "no request without a certificate");
    }
}

#[tokio::test]
async fn a_server_can_be_known_by_another_name_than_it_is_reached_by() {
    let ours = ca("ours");
    let (port, mut seen) = server(&ours, "login.internal").await;
    let url = || format!("https://127.0.0.1:{port}/token?t=1");
    let named = |name: &str| EndpointSettings {
        identity: Some(identity(&ours)),
        server_name: Some(name.into()),
        ..settings(&ours, url())
    };
    let good = source(&named("login.internal"));
    assert_eq!(
        good.endpoints(),
        [format!("https://127.0.0.1:{port}/token")]
    );
    good.fetch(Fetch::FIRST).await.expect("known");
    let call = seen.recv().await.unwrap();
    assert_eq!(call.sni.as_deref(), Some("login.internal"));
    let host = format!("host: 127.0.0.1:{port}\r\n");
    assert!(call.request.contains(&host), "{}", call.request);
    assert_eq!(call.request.matches("ost: ").count(), 1);
    assert!(call.request.starts_with("POST /token?t=1 "));
    let bad = source(&named("login.example.com"));
    bad.fetch(Fetch::FIRST).await.expect_err("another name");
    assert!(seen.try_recv().is_err());
}

#[test]
fn what_can_not_be_shown_is_refused_when_the_file_is_loaded() {
    let (ours, url) = (ca("ours"), || "https://x.example/".to_owned());
    let with = |identity: ClientIdentity| {
        let settings = EndpointSettings {
            identity: Some(identity),
            ..settings(&ours, url())
        };
        Endpoint::new(&settings).map(|_| ()).unwrap_err()
    };
    let another_key = ClientIdentity {
        key: identity(&ours).key,
        ..identity(&ours)
    };
    assert!(matches!(with(another_key), EndpointError::Pair));
    let no_key = ClientIdentity {
        key: Secret::new("hunter2"),
        ..identity(&ours)
    };
    assert!(matches!(with(no_key), EndpointError::Key(_)));
    let no_certificate = ClientIdentity {
        certificates: b"x".to_vec(),
        ..identity(&ours)
    };
    assert!(matches!(with(no_certificate), EndpointError::Certificate));
    let named = |name: &str, url: &str| {
        let settings = EndpointSettings {
            server_name: Some(name.into()),
            ..EndpointSettings::new(url)
        };
        Endpoint::new(&settings).map(|_| ())
    };
    assert!(named("x.internal", "https://10.0.0.1/").is_ok());
    for bad in ["a b", "", "10.0.0.1", "[::1]", "a/b"] {
        let refused = named(bad, "https://x.example/");
        assert!(
            matches!(refused, Err(EndpointError::ServerName)),
            "{bad}: {refused:?}"
        );
    }
    let plain = named("x.internal", "http://localhost/");
    assert!(matches!(plain, Err(EndpointError::NoTls)));
}

#[test]
fn certificate_key_and_name_are_part_of_the_identity_and_not_of_debug() {
    let ours = ca("ours");
    let base = || settings(&ours, "https://x.example/".to_owned());
    let of = |settings: &EndpointSettings| -> Fingerprint {
        let endpoint = Endpoint::new(settings).unwrap();
        assert!(!format!("{endpoint:?} {settings:?}").contains("PRIVATE"));
        endpoint.fingerprint(FingerprintBuilder::new("g")).finish()
    };
    let one = identity(&ours);
    let all = [
        of(&base()),
        of(&EndpointSettings {
            identity: Some(one.clone()),
            ..base()
        }),
        of(&EndpointSettings {
            identity: Some(identity(&ours)),
            ..base()
        }),
        of(&EndpointSettings {
            server_name: Some("y.example".into()),
            ..base()
        }),
    ];
    for (at, fingerprint) in all.iter().enumerate() {
        assert!(!all[..at].contains(fingerprint), "{at}");
    }
    let again = EndpointSettings {
        identity: Some(one),
        ..base()
    };
    assert_eq!(of(&again), all[1]);
}
