//! Many credentials on one endpoint: who may call, who goes first, and what is left of one that is in trouble.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{
    fake::cache,
    http::{answer, read_request, settings},
    renewal,
    scratch::Scratch,
};
use crate::{
    clock,
    credentials::{
        BoxFuture, CacheSettings, Client, ClientAuth, Credential, CredentialErrorKind,
        CredentialHandle, Credentials, Endpoint, EndpointSettings, Extras, FailureKind, Fetch,
        FetchError, Fingerprint, FingerprintBuilder, Refreshing, Retry, Source, TokenCall,
        calls::Calls, grants::ClientCredentials,
    },
    secret::Secret,
};

const WAIT: Duration = Duration::from_secs(10);

/// Answers as `script` says of each request, and counts.
struct Server {
    url: String,
    /// What credentials share; it keeps what is known of the endpoint.
    endpoint: Endpoint,
    calls: Arc<AtomicUsize>,
    up: Arc<AtomicBool>,
    /// What each call said who it was, in order.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// While it is not `up`, this is its answer.
    async fn start(down: String, takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let server = Self {
            endpoint: Endpoint::new(&settings(&url)).unwrap(),
            url,
            calls: Arc::default(),
            up: Arc::default(),
            seen: Arc::default(),
        };
        let (calls, up) = (Arc::clone(&server.calls), Arc::clone(&server.up));
        let seen = Arc::clone(&server.seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
                let (down, up, seen) = (down.clone(), Arc::clone(&up), Arc::clone(&seen));
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await;
                    let name = request.rsplit("scope=").next().unwrap_or_default();
                    seen.lock().unwrap().push(name.to_owned());
                    tokio::time::sleep(takes).await;
                    let token = format!(r#"{{"access_token":"t{number}","expires_in":3600}}"#);
                    let text = match up.load(Ordering::SeqCst) {
                        true => answer("200 OK", "", &token),
                        false => down,
                    };
                    let _ = stream.write_all(text.as_bytes()).await;
                });
            }
        });
        server
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call(&self, scope: &str) -> TokenCall {
        self.call_by(&self.endpoint, scope)
    }

    fn call_by(&self, endpoint: &Endpoint, scope: &str) -> TokenCall {
        let auth = ClientAuth::Basic(Client {
            id: "me".into(),
            secret: Secret::new("secret"),
        });
        let extras = Extras {
            scope: Some(scope.into()),
            ..Extras::default()
        };
        TokenCall::new(endpoint.clone(), auth, extras).unwrap()
    }

    fn source(&self, scope: &str) -> Arc<dyn Source> {
        Arc::new(ClientCredentials::new(self.call(scope)))
    }

    /// Fails so often that a pause of a second begins.
    async fn trip(&self) {
        for n in 0..5 {
            let failed = self.source(&format!("c{n}")).fetch(Fetch::FIRST).await;
            assert!(failed.is_err());
        }
    }

    fn slot(&self, cache: &Credentials, scope: &str) -> CredentialHandle {
        cache.handle(scope, self.source(scope), CacheSettings::default())
    }
}

#[tokio::test]
async fn a_thousand_credentials_call_a_dead_endpoint_once_a_pause() {
    let server = Server::start(answer("503 Down", "", ""), Duration::ZERO).await;
    let cache = cache();
    let slots: Vec<_> = (0..1000)
        .map(|n| server.slot(&cache, &format!("c{n}")))
        .collect();
    let began = clock::now();
    // Requests for all of them come all the time.
    while began.elapsed() < Duration::from_millis(3500) {
        for slot in &slots {
            drop(tokio::spawn(slot.lease(WAIT)));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Those at once until the fifth has failed, and then no more than a probe a second, however slow this machine is.
    let most = 5 + 8 + 1 + began.elapsed().as_secs() as usize;
    assert!(server.calls() <= most, "{} calls", server.calls());
    let error = slots[999].lease(WAIT).await.unwrap_err();
    assert_eq!(error.kind, CredentialErrorKind::Failing);
    let told = error.retry_after.unwrap();
    assert!(told <= Duration::from_secs(31), "{told:?}");
    assert!(error.detail.contains("times in a row"), "{error}");

    server.up.store(true, Ordering::SeqCst);
    let back = clock::now();
    for slot in &slots {
        while slot.lease(WAIT).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(back.elapsed() < Duration::from_secs(120));
        }
    }
}

#[tokio::test]
async fn what_an_account_alone_has_brought_on_itself_stops_no_other() {
    let refusals = [
        answer("400 No", "", r#"{"error":"invalid_grant"}"#),
        answer("401 No", "", r#"{"error":"invalid_client"}"#),
        answer("500 No", "", r#"{"error":"invalid_client"}"#),
        answer("429 Slow", "Retry-After: 60\r\n", ""),
        answer("200 OK", "", "{}"),
    ];
    for refusal in refusals {
        let server = Server::start(refusal.clone(), Duration::ZERO).await;
        for n in 0..10 {
            let own = Endpoint::new(&settings(&server.url)).unwrap();
            let call = server.call_by(&own, &format!("c{n}"));
            assert!(call.run(&[("grant_type", "x")]).await.is_err());
        }
        assert_eq!(server.calls(), 10, "{refusal}");
    }
}

#[tokio::test]
async fn a_limit_holds_all_calls_of_one_credential_and_no_other_s() {
    let limited = answer("429 Slow", "Retry-After: 60\r\n", "");
    let server = Server::start(limited, Duration::ZERO).await;
    let source = server.source("one");
    let first = source.fetch(Fetch::FIRST).await.unwrap_err();
    assert_eq!(
        (first.kind, first.unsent),
        (FailureKind::RateLimited, false)
    );
    // Another user's, say.
    let second = source.fetch(Fetch::FIRST).await.unwrap_err();
    assert_eq!(
        (second.kind, second.unsent),
        (FailureKind::RateLimited, true)
    );
    assert!(
        matches!(second.retry, Retry::Held { after } if after > Duration::from_secs(58)),
        "{second:?}"
    );
    assert_eq!(server.calls(), 1);
    server.up.store(true, Ordering::SeqCst);
    let other = Endpoint::new(&settings(&server.url)).unwrap();
    let other = server.call_by(&other, "other");
    assert!(other.run(&[("grant_type", "x")]).await.is_ok());
}

#[tokio::test]
async fn who_gets_no_turn_has_sent_nothing() {
    let server = Server::start(String::new(), Duration::from_secs(60)).await;
    let busy: Vec<_> = (0..8)
        .map(|n| {
            let source = server.source(&format!("c{n}"));
            tokio::spawn(async move { source.fetch(Fetch::FIRST).await.map(|_| ()) })
        })
        .collect();
    while server.seen.lock().unwrap().len() < 8 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let short = EndpointSettings {
        timeout: Duration::from_millis(200),
        ..settings(&server.url)
    };
    let endpoint = Endpoint::new(&short).unwrap();
    let call = TokenCall::new(endpoint, ClientAuth::Nobody, Extras::default());
    let error = call.unwrap().run(&[("grant_type", "x")]).await.unwrap_err();
    assert_eq!((error.kind, error.unsent), (FailureKind::Timeout, true));
    assert!(!error.leaves_in_doubt());
    assert_eq!(server.calls(), 8);
    busy.into_iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn a_request_does_not_stand_behind_renewals_ahead() {
    let server = Server::start(String::new(), Duration::from_millis(100)).await;
    server.up.store(true, Ordering::SeqCst);
    let fetch = |name: String, calls: &Calls| {
        let source = server.source(&name);
        tokio::spawn(calls.of(async move { source.fetch(Fetch::FIRST).await.map(|_| ()) }))
    };
    let ahead: Vec<_> = (0..100)
        .map(|n| {
            let calls = Calls::default();
            (fetch(format!("ahead{n}"), &calls), calls)
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let cold = Calls::default();
    cold.hurry().cancel();
    let began = clock::now();
    fetch("cold".to_owned(), &cold).await.unwrap().unwrap();
    // And one that was ahead of time, until somebody came to wait for it.
    ahead[99].1.hurry().cancel();
    let hurried = clock::now();
    while !server.seen.lock().unwrap().iter().any(|it| it == "ahead99") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        hurried.elapsed() < Duration::from_millis(600),
        "it still stood in line"
    );
    assert!(
        began.elapsed() < Duration::from_millis(1000),
        "it stood in line"
    );
    let seen = server.seen.lock().unwrap().len();
    assert!(seen < 50, "{seen} went first");
    ahead.into_iter().for_each(|(task, _)| task.abort());
}

/// Renews by refresh tokens alone.
#[derive(Debug)]
struct Renewing(TokenCall, Secret);

impl Source for Renewing {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("fake").finish()
    }

    fn endpoints(&self) -> Vec<&str> {
        vec![self.0.shown()]
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        Some(Refreshing {
            first: Some(&self.1),
            restarts: false,
            ..Refreshing::OR_ANEW
        })
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async move {
            let refresh = ask.previous.and_then(|it| it.refresh.as_ref()).unwrap();
            let form = [("refresh_token", refresh.expose())];
            self.0.run(&form).await
        })
    }
}

#[tokio::test]
async fn what_a_pause_holds_back_keeps_its_refresh_token() {
    let server = Server::start(answer("503 Down", "", ""), Duration::ZERO).await;
    let path = Scratch::new();
    let process = || {
        let cache = cache();
        cache.keep_in(renewal::store(&path));
        let source = Renewing(server.call("renewing"), Secret::new("r0"));
        cache.handle("name", Arc::new(source), CacheSettings::default())
    };
    server.trip().await;
    let handle = process();
    let error = handle.lease(WAIT).await.unwrap_err();
    assert_eq!(error.kind, CredentialErrorKind::Failing, "{error}");
    assert_eq!(server.calls(), 5);
    // Another process finds nothing that is in doubt, and spends it.
    server.up.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(process().lease(WAIT).await.is_ok());
    assert_eq!(server.calls(), 6);
}

#[tokio::test]
async fn an_endpoint_that_fails_in_between_leaves_the_refresh_token_good() {
    let server = Server::start(answer("503 Down", "", ""), Duration::ZERO).await;
    server.trip().await;
    let call = server.call("renewing");
    let error = call.run(&[("refresh_token", "r0")]).await.unwrap_err();
    assert!(matches!(error.retry, Retry::Held { .. }), "{error:?}");
    assert!(!error.leaves_in_doubt(), "{error:?}");
}
