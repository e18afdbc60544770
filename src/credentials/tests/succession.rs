//! A reload changes a credential's secret: tried aside, in use once it works, and no request waits.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{fake::cache, scratch::Scratch};
use crate::{
    clock,
    credentials::{
        BoxFuture, CacheSettings, Credential, CredentialHandle, Credentials, FailureKind, Fetch,
        FetchError, Fingerprint, FingerprintBuilder, Refreshing, Rejection, Source, Subject,
        SuccessorView, Watched,
    },
    secret::Secret,
};

const WAIT: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_millis(100);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A token endpoint, and the secrets that it takes.
#[derive(Debug, Default)]
struct Server {
    takes: Mutex<Vec<&'static str>>,
    is_down: AtomicBool,
    issued: AtomicUsize,
    /// By which secret each call was made, for whom, and the refresh token that it sent.
    asked: Mutex<Vec<(&'static str, Subject, Option<String>)>>,
}

impl Server {
    fn taking(secrets: &[&'static str]) -> Arc<Self> {
        let server = Self::default();
        server.take(secrets);
        Arc::new(server)
    }

    fn take(&self, secrets: &[&'static str]) {
        *self.takes.lock().unwrap() = secrets.to_vec();
    }

    fn asked(&self) -> Vec<&'static str> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(secret, ..)| *secret).collect()
    }
}

#[derive(Debug)]
struct Account {
    server: Arc<Server>,
    scope: &'static str,
    secret: &'static str,
    life: Duration,
    takes: Duration,
    per_user: bool,
    /// Renews by a refresh token that only a person can replace.
    refreshes: Option<Secret>,
    file: Option<Watched>,
}

impl Account {
    fn new(server: &Arc<Server>, secret: &'static str) -> Self {
        Self {
            server: Arc::clone(server),
            scope: "read",
            secret,
            life: s(100),
            takes: CALL,
            per_user: false,
            refreshes: None,
            file: None,
        }
    }
}

impl Source for Account {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("account")
            .text(self.scope)
            .authentication(|b| b.text(self.secret))
            .finish()
    }

    fn per_subject(&self) -> bool {
        self.per_user
    }

    fn watched(&self) -> Vec<&Watched> {
        self.file.iter().collect()
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        self.refreshes.as_ref().map(|first| Refreshing {
            first: Some(first),
            restarts: false,
            reuse_window: Duration::ZERO,
        })
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let spent = ask.previous.and_then(|it| it.refresh.as_ref());
        let spent = spent.map(|it| it.expose().to_owned());
        Box::pin(async move {
            let sent = clock::now();
            sleep(self.takes).await;
            let asked = (self.secret, ask.subject.clone(), spent);
            self.server.asked.lock().unwrap().push(asked);
            if self.server.is_down.load(Relaxed) {
                return Err(FetchError::transient(FailureKind::Unreachable, "down"));
            }
            if !self.server.takes.lock().unwrap().contains(&self.secret) {
                let mut refused = FetchError::permanent(FailureKind::Rejected, "no such secret");
                refused.refusal = Some(crate::credentials::Refused {
                    status: 401,
                    code: Some("invalid_client"),
                });
                return Err(refused);
            }
            let n = self.server.issued.fetch_add(1, Relaxed) + 1;
            let token = Secret::new(format!("{}-{n}", self.secret));
            let mut credential = Credential::bearer(token, Some(self.life), sent);
            if self.refreshes.is_some() {
                credential.refresh = Some(Secret::new(format!("r{n}")));
            }
            Ok(credential)
        })
    }
}

/// What a reload does.
fn reload(cache: &Credentials, source: Account) -> CredentialHandle {
    cache.handle("name", Arc::new(source), CacheSettings::default())
}

fn token(slot: &CredentialHandle) -> String {
    let lease = slot.try_lease().expect("one that can be sent at once");
    lease.part("access_token").unwrap().expose().to_owned()
}

fn successor(slot: &CredentialHandle) -> SuccessorView {
    slot.view().successor.expect("a secret that is not in use")
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_that_works_takes_over_and_nobody_waits() {
    let (cache, server) = (cache(), Server::taking(&["old", "new"]));
    let old = reload(&cache, Account::new(&server, "old"));
    old.lease(WAIT).await.unwrap();
    let new = reload(&cache, Account::new(&server, "new"));
    assert_eq!(token(&new), "old-1", "while the new one is tried");
    assert!(!successor(&new).refused);
    sleep(2 * CALL).await;
    assert_eq!(token(&new), "new-2");
    assert_eq!(token(&old), "new-2", "requests of the old generation, too");
    let view = new.view();
    assert_eq!((view.successor, view.verifications.ok), (None, 1));
    assert_eq!(view.counters.waits, 1, "the first one of all");
    for _ in 0..100 {
        token(&new);
        sleep(s(1)).await;
    }
    assert_eq!(server.asked(), ["old", "new", "new"]);
}

#[tokio::test(start_paused = true)]
async fn the_file_of_the_secret_that_took_over_is_no_news_any_more() {
    let (cache, server) = (cache(), Server::taking(&["old", "new"]));
    let (old, new) = (Scratch::new(), Scratch::new());
    let account = |secret, file: &Scratch| Account {
        file: Some(Watched::new(file.to_path_buf())),
        ..Account::new(&server, secret)
    };
    std::fs::write(&new, "there").unwrap();
    let slot = reload(&cache, account("old", &old));
    slot.lease(WAIT).await.unwrap();
    reload(&cache, account("new", &new));
    sleep(s(10)).await;
    assert_eq!(server.asked(), ["old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_secret_that_is_refused_changes_nothing_but_what_is_told() {
    let (cache, server) = (cache(), Server::taking(&["old", "right"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "wrong"));
    let mut old = 0;
    for _ in 0..300 {
        old += usize::from(token(&slot).starts_with("old-"));
        sleep(s(1)).await;
    }
    assert_eq!(old, 300, "renewed by the old secret");
    let told = successor(&slot);
    assert!(told.refused);
    assert_eq!(told.failure, Some(FailureKind::Rejected));
    let tried = server.asked().iter().filter(|it| **it == "wrong").count();
    assert_eq!(tried, 4, "at once, then after 30, 60 and 120 seconds");
    assert_eq!(slot.view().verifications.refused, 4);

    reload(&cache, Account::new(&server, "right"));
    sleep(2 * CALL).await;
    assert!(token(&slot).starts_with("right-"));
    assert_eq!(slot.view().successor, None);
    assert_eq!(slot.view().counters.waits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_the_server_takes_later_is_found_to_work() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "new"));
    sleep(s(5)).await;
    assert!(successor(&slot).refused);
    server.take(&["new"]);
    sleep(s(30)).await;
    assert_eq!(token(&slot), "new-2");
}

#[tokio::test(start_paused = true)]
async fn what_a_credential_is_for_changes_at_once() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    let write = Account {
        scope: "write",
        ..Account::new(&server, "old")
    };
    let other = reload(&cache, write);
    assert!(other.try_lease().is_none());
    other.lease(WAIT).await.unwrap();
    assert_eq!((&*token(&slot), &*token(&other)), ("old-1", "old-2"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_taken_back_is_tried_no_more() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "wrong"));
    sleep(s(1)).await;
    reload(&cache, Account::new(&server, "old"));
    assert_eq!(slot.view().successor, None);
    assert_eq!(token(&slot), "old-1");
    sleep(s(60)).await;
    assert_eq!(server.asked(), ["old", "wrong"]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_of_several_secrets_wins() {
    let (cache, server) = (cache(), Server::taking(&["old", "second", "third"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "second"));
    sleep(CALL / 2).await;
    reload(&cache, Account::new(&server, "third"));
    sleep(s(1)).await;
    assert_eq!(token(&slot), "third-3");
    assert_eq!(server.asked(), ["old", "second", "third"]);
    assert_eq!(slot.view().successor, None);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_could_not_be_tried_is_used_when_the_old_token_ends() {
    let (cache, server) = (cache(), Server::taking(&["old", "new"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    server.is_down.store(true, Relaxed);
    reload(&cache, Account::new(&server, "new"));
    for _ in 0..98 {
        assert_eq!(token(&slot), "old-1");
        sleep(s(1)).await;
    }
    assert!(!successor(&slot).refused);
    sleep(s(3)).await;
    assert_eq!(slot.view().successor, None, "there is nothing left to lose");
    let before = server.asked().len();
    assert!(slot.lease(WAIT).await.is_err());
    server.is_down.store(false, Relaxed);
    sleep(s(60)).await;
    slot.lease(WAIT).await.unwrap();
    assert!(server.asked()[before..].iter().all(|it| *it == "new"));
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_hangs_keeps_no_token_from_being_renewed() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    let hangs = Account {
        takes: s(3600),
        ..Account::new(&server, "new")
    };
    reload(&cache, hangs);
    for _ in 0..500 {
        assert!(token(&slot).starts_with("old-"));
        sleep(s(1)).await;
    }
    assert_eq!(successor(&slot).failure, Some(FailureKind::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_used_at_once_where_there_is_no_token() {
    let (cache, server) = (cache(), Server::taking(&["right"]));
    let slot = reload(&cache, Account::new(&server, "wrong"));
    assert!(slot.lease(WAIT).await.is_err());
    reload(&cache, Account::new(&server, "right"));
    slot.lease(WAIT)
        .await
        .expect("no pause after another's failure");
    assert_eq!(token(&slot), "right-1");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_wrong_secret_gets_the_token_of_the_right_one() {
    let (cache, server) = (cache(), Server::taking(&["right"]));
    let slot = reload(&cache, Account::new(&server, "wrong"));
    let waiting = tokio::spawn(slot.lease(WAIT));
    sleep(CALL / 2).await;
    reload(&cache, Account::new(&server, "right"));
    waiting.await.unwrap().unwrap();
    assert_eq!(server.asked(), ["wrong", "right"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_followed_by_one_of_the_old_secret_where_the_new_is_refused() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    let lease = slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "wrong"));
    sleep(s(1)).await;
    slot.accept(&lease);
    assert_eq!(slot.reject(&lease), Rejection::Renewing);
    slot.lease(WAIT).await.unwrap();
    assert_eq!(token(&slot), "old-2");
}

#[tokio::test(start_paused = true)]
async fn where_both_secrets_are_refused_the_one_of_the_file_is_asked_for() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    let lease = slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "wrong"));
    sleep(s(1)).await;
    server.take(&[]);
    slot.accept(&lease);
    assert_eq!(slot.reject(&lease), Rejection::Renewing);
    assert!(slot.lease(WAIT).await.is_err());
    assert_eq!(slot.view().successor, None);
    server.take(&["wrong"]);
    sleep(s(31)).await;
    slot.lease(WAIT).await.unwrap();
    assert_eq!(token(&slot), "wrong-2");
}

#[tokio::test(start_paused = true)]
async fn an_operator_has_a_refused_secret_tried_again() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let slot = reload(&cache, Account::new(&server, "old"));
    slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "new"));
    sleep(s(1)).await;
    let rotation = cache.rotate("name").await.unwrap();
    let error = rotation.failure.expect("it is refused still");
    assert!(error.detail.contains("no such secret"), "{error}");
    assert_eq!(token(&slot), "old-1");
    server.take(&["new"]);
    let rotation = cache.rotate("name").await.unwrap();
    assert!(rotation.is_complete(), "{rotation:?}");
    assert_eq!(token(&slot), "new-2");
}

#[tokio::test(start_paused = true)]
async fn another_secret_goes_on_with_the_newest_refresh_token() {
    let (cache, server) = (cache(), Server::taking(&["old", "new"]));
    let refreshing = |secret| Account {
        refreshes: Some(Secret::new("r0")),
        ..Account::new(&server, secret)
    };
    let slot = reload(&cache, refreshing("old"));
    slot.lease(WAIT).await.unwrap();
    for secret in ["wrong", "new"] {
        reload(&cache, refreshing(secret));
        sleep(s(1)).await;
    }
    assert_eq!(token(&slot), "new-2");
    let asked = server.asked.lock().unwrap();
    let sent: Vec<_> = asked.iter().map(|(_, _, sent)| sent.as_deref()).collect();
    assert_eq!(sent, [Some("r0"), Some("r1"), Some("r1")]);
}

#[tokio::test(start_paused = true)]
async fn one_user_tries_a_secret_for_all() {
    let (cache, server) = (cache(), Server::taking(&["old", "new"]));
    let of_users = |secret| Account {
        per_user: true,
        ..Account::new(&server, secret)
    };
    let root = reload(&cache, of_users("old"));
    let user = |name: &str| {
        let subject = Subject::User(name.into());
        root.of(&subject).unwrap()
    };
    for name in ["jo", "kim"] {
        user(name).lease(WAIT).await.unwrap();
    }
    reload(&cache, of_users("wrong"));
    sleep(s(1)).await;
    assert!(successor(&root).refused);
    user("lee").lease(WAIT).await.unwrap();
    assert_eq!(server.asked(), ["old", "old", "wrong", "old"]);

    reload(&cache, of_users("new"));
    sleep(s(1)).await;
    assert_eq!(root.view().successor, None);
    user("max").lease(WAIT).await.unwrap();
    assert_eq!(server.asked()[4..], ["new", "new"]);
    let fresh: Vec<_> = ["jo", "kim", "lee"]
        .into_iter()
        .filter(|name| token(&user(name)).starts_with("new-"))
        .collect();
    assert_eq!(fresh.len(), 1, "the others keep theirs: {fresh:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changes_never_leave_a_request_without_a_token_of_the_account() {
    let (cache, server) = (cache(), Server::taking(&["a", "b"]));
    let slot = reload(&cache, Account::new(&server, "a"));
    slot.lease(WAIT).await.unwrap();
    let requests = tokio::spawn({
        let slot = slot.clone();
        async move {
            loop {
                let token = token(&slot);
                assert!(
                    token.starts_with("a-") || token.starts_with("b-"),
                    "{token}"
                );
                sleep(Duration::from_millis(7)).await;
            }
        }
    });
    for number in 0..1000_u64 {
        reload(
            &cache,
            Account::new(&server, ["b", "wrong", "a", "worse"][number as usize % 4]),
        );
        // Some before the call of the one before has ended, some after.
        sleep(Duration::from_millis(number * 37 % 300)).await;
    }
    reload(&cache, Account::new(&server, "b"));
    sleep(s(1)).await;
    assert!(token(&slot).starts_with("b-"));
    assert_eq!(slot.view().successor, None);
    assert_eq!(slot.view().counters.waits, 1);
    assert!(!requests.is_finished(), "a request found no token");
    let verifications = slot.view().verifications;
    assert!(
        verifications.ok > 100 && verifications.refused > 100,
        "{verifications:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_operator_has_the_tokens_of_all_users_renewed_and_is_told_how_many_were() {
    let (cache, server) = (cache(), Server::taking(&["old"]));
    let of_users = Account {
        per_user: true,
        ..Account::new(&server, "old")
    };
    let root = reload(&cache, of_users);
    for number in 0..100 {
        let subject = Subject::User(format!("user-{number}").into());
        let own = root.of(&subject).unwrap();
        own.lease(WAIT).await.unwrap();
    }
    let rotation = cache.rotate("name").await.unwrap();
    assert!(
        rotation.per_subject && rotation.is_complete(),
        "{rotation:?}"
    );
    assert_eq!((rotation.renewed, server.asked().len()), (100, 200));
    server.take(&[]);
    let rotation = cache.rotate("name").await.unwrap();
    assert_eq!((rotation.renewed, rotation.failed), (0, 100));
    assert!(rotation.failure.is_some());
    assert_eq!(cache.rotate("other").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_forgotten_with_the_one_that_follows_it() {
    let (cache, server) = (cache(), Server::taking(&["old", "new"]));
    let old: Arc<dyn Source> = Arc::new(Account::new(&server, "old"));
    let gone = Arc::downgrade(&old);
    let slot = cache.handle("name", old, CacheSettings::default());
    slot.lease(WAIT).await.unwrap();
    reload(&cache, Account::new(&server, "new"));
    assert!(gone.upgrade().is_some());
    sleep(s(1)).await;
    assert!(gone.upgrade().is_none());
}
