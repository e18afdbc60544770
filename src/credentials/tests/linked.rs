use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::fake::{Fake, Step, cache};
use crate::{
    clock,
    credentials::{
        BoxFuture, CacheSettings, Credential, CredentialHandle, FailureKind, Fetch, FetchError,
        Fingerprint, FingerprintBuilder, Linked, Refreshing, Rejection, Retry, Source,
    },
    secret::Secret,
};

const WAIT: Duration = Duration::from_secs(10);

/// Turns the token of its link into one of its own, and remembers what it was asked for.
#[derive(Debug)]
struct Exchange {
    link: Linked,
    asked: Mutex<Vec<(Option<String>, bool)>>,
    refresh: Option<Secret>,
}

impl Exchange {
    fn of(link: &Linked) -> Arc<Self> {
        Arc::new(Self {
            link: link.clone(),
            asked: Mutex::default(),
            refresh: None,
        })
    }

    fn slot(self: &Arc<Self>) -> CredentialHandle {
        let source = Arc::clone(self) as Arc<dyn Source>;
        cache().handle("outer", source, CacheSettings::default())
    }

    fn asked(&self) -> Vec<(Option<String>, bool)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Source for Exchange {
    fn grant(&self) -> &'static str {
        "exchange"
    }

    fn fingerprint(&self) -> Fingerprint {
        self.link
            .fingerprint(FingerprintBuilder::new("exchange"))
            .finish()
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        self.refresh.is_some().then_some(Refreshing {
            first: None,
            restarts: true,
            reuse_window: Duration::ZERO,
        })
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let previous = ask.previous.and_then(|previous| {
            let token = previous.part("access_token")?;
            Some(token.expose().to_owned())
        });
        let mut asked = self.asked.lock().unwrap();
        asked.push((previous, ask.refused));
        let number = asked.len();
        Box::pin(async move {
            let sent = clock::now();
            let lease = self.link.lease(ask.subject).await?;
            let inner = lease.part("access_token").expect("a token").expose();
            let token = Secret::new(format!("outer{number}-of-{inner}"));
            Ok(Credential {
                refresh: self.refresh.clone(),
                made_from: vec![lease],
                ..Credential::bearer(token, Some(Duration::from_secs(60)), sent)
            })
        })
    }
}

fn linked_to(source: &Arc<Fake>) -> (Linked, CredentialHandle) {
    let handle = source.slot();
    let linked = Linked::new("name", &**source);
    linked.connect(handle.clone());
    (linked, handle)
}

async fn token(slot: &CredentialHandle) -> String {
    let lease = slot.lease(WAIT).await.expect("a lease");
    lease
        .part("access_token")
        .expect("a token")
        .expose()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_it_builds_on_is_obtained_once_for_both() {
    let inner = Fake::tokens(Duration::from_secs(3600));
    let (link, handle) = linked_to(&inner);
    let outer = Exchange::of(&link).slot();
    assert_eq!(token(&outer).await, "outer1-of-t1");
    assert_eq!(token(&handle).await, "t1");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_renews_the_last_link_and_says_so() {
    let inner = Fake::tokens(Duration::from_secs(3600));
    let (link, _handle) = linked_to(&inner);
    let exchange = Exchange::of(&link);
    let outer = exchange.slot();
    let lease = outer.lease(WAIT).await.expect("a lease");
    assert_eq!(outer.reject(&lease), Rejection::Renewing);
    assert_eq!(token(&outer).await, "outer2-of-t1");
    assert_eq!(inner.calls(), 1, "the one before is left alone");
    assert_eq!(
        exchange.asked(),
        [(None, false), (Some("outer1-of-t1".into()), true)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_renewal_ahead_is_no_refusal() {
    let inner = Fake::tokens(Duration::from_secs(3600));
    let (link, _handle) = linked_to(&inner);
    let exchange = Exchange::of(&link);
    let outer = exchange.slot();
    token(&outer).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(
        exchange.asked()[1..],
        [(Some("outer1-of-t1".to_owned()), false)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_it_is_refreshed_with_outlives_an_expired_token() {
    let inner = Fake::tokens(Duration::from_secs(3600));
    let (link, _handle) = linked_to(&inner);
    let with = |refresh| {
        let exchange = Exchange {
            refresh,
            ..Arc::into_inner(Exchange::of(&link)).expect("one alone")
        };
        Arc::new(exchange)
    };
    for (refresh, left) in [
        (None, None),
        (Some(Secret::new("r")), Some("outer1-of-t1".to_owned())),
    ] {
        let exchange = with(refresh);
        let source = Arc::clone(&exchange) as Arc<dyn Source>;
        let settings = CacheSettings {
            prewarm: true,
            ..CacheSettings::default()
        };
        // Prewarmed and never used: it lapses.
        let outer = cache().handle("outer", source, settings);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(exchange.asked().len(), 1);
        token(&outer).await;
        assert_eq!(exchange.asked()[1], (left, false));
    }
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_link_is_told_with_its_name_and_next_attempt() {
    let after = Some(Duration::from_secs(7));
    let inner = Fake::new(Duration::ZERO, move |_| {
        Step::Fail(FailureKind::RateLimited, Retry::Transient { after })
    });
    let (link, _handle) = linked_to(&inner);
    let outer = Exchange::of(&link).slot();
    let error = outer.lease(WAIT).await.expect_err("no link, no token");
    assert_eq!(&*error.detail, "credential name: no");
    assert!(error.retry_after >= Some(Duration::from_secs(6)));
}
