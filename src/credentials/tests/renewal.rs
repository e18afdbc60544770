//! What is kept around a fetch: restarts, other processes, and refresh tokens that may be spent once.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::scratch::Scratch;
use crate::{
    clock,
    credentials::{
        AnyStore, BoxFuture, CacheSettings, Credential, CredentialErrorKind, CredentialHandle,
        Credentials, FailureKind, Fetch, FetchError, FileStore, Fingerprint, FingerprintBuilder,
        Keyring, Refreshing, Source, Subject,
        error::Refused,
        store::{Claim, Claimed, Record, SlotId, Store, StoreError},
        tests::canary::Listener,
    },
    secret::Secret,
};

mod notes;
mod rotation;

const HOUR: Duration = Duration::from_secs(3600);
const WAIT: Duration = Duration::from_secs(20);

/// A server that rotates refresh tokens, and what happens to the next calls.
#[derive(Debug, Default)]
struct Server(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What was sent: the refresh token, or nothing.
    asked: Vec<Option<String>>,
    issued: usize,
    next: Vec<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    /// The server acts, and its answer is lost.
    Lost,
    /// It says no, and nothing happens to the refresh token.
    Refused(u16),
    /// It says that the refresh token is no good.
    Ended,
    /// Nothing is sent.
    Unreachable,
    /// The token had expired when it was issued.
    Dead,
    /// The process is gone before the answer is there.
    Never,
}

impl Server {
    fn then(&self, fates: impl IntoIterator<Item = Fate>) {
        let mut fates: Vec<_> = fates.into_iter().collect();
        fates.reverse();
        self.0.lock().unwrap().next = fates;
    }

    fn asked(&self) -> Vec<Option<String>> {
        self.0.lock().unwrap().asked.clone()
    }

    fn calls(&self) -> usize {
        self.asked().len()
    }
}

/// As `refresh_token`, or with another way (`restarts`) as `password`; without either as `client_credentials`.
#[derive(Debug)]
struct Client {
    server: Arc<Server>,
    first: Option<Secret>,
    refreshes: bool,
    restarts: bool,
    reuse_window: Duration,
    per_subject: bool,
}

impl Client {
    fn of(server: &Arc<Server>) -> Self {
        Self {
            server: Arc::clone(server),
            first: Some(Secret::new("r0")),
            refreshes: true,
            restarts: false,
            reuse_window: Duration::ZERO,
            per_subject: false,
        }
    }

    /// Its refresh tokens are of no use: nothing is lost where one is.
    fn harmless(server: &Arc<Server>) -> Self {
        Self {
            first: None,
            refreshes: false,
            ..Self::of(server)
        }
    }
}

impl Source for Client {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("fake").finish()
    }

    fn per_subject(&self) -> bool {
        self.per_subject
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        self.refreshes.then_some(Refreshing {
            first: self.first.as_ref(),
            restarts: self.restarts,
            reuse_window: self.reuse_window,
        })
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let sent = ask.previous.and_then(|it| it.refresh.as_ref());
        let sent = sent.map(|it| it.expose().to_owned());
        Box::pin(async move {
            if sent.is_none() && self.refreshes && !self.restarts {
                return Err(FetchError::permanent(FailureKind::Rejected, "log in").before_sending());
            }
            let (fate, n) = {
                let mut known = self.server.0.lock().unwrap();
                let fate = known.next.pop().unwrap_or(Fate::Served);
                if fate != Fate::Unreachable {
                    known.asked.push(sent);
                }
                known.issued += usize::from(matches!(fate, Fate::Served | Fate::Dead));
                (fate, known.issued)
            };
            let failed = |kind| FetchError::transient(kind, "no");
            let refusal = |status, code| Some(Refused { status, code });
            match fate {
                Fate::Served => Ok(Credential {
                    refresh: Some(Secret::new(format!("r{n}"))),
                    ..Credential::bearer(Secret::new(format!("t{n}")), Some(HOUR), clock::now())
                }),
                Fate::Dead => Ok(Credential {
                    refresh: Some(Secret::new(format!("r{n}"))),
                    ..Credential::bearer(Secret::new("dead"), Some(Duration::ZERO), clock::now())
                }),
                Fate::Lost => Err(failed(FailureKind::Timeout)),
                Fate::Refused(status) => Err(FetchError {
                    refusal: refusal(status, None),
                    ..failed(FailureKind::Failing)
                }),
                Fate::Ended => Err(FetchError {
                    refusal: refusal(400, Some("invalid_grant")),
                    ..FetchError::permanent(FailureKind::Rejected, "no")
                }),
                Fate::Unreachable => Err(failed(FailureKind::Unreachable).before_sending()),
                Fate::Never => std::future::pending().await,
            }
        })
    }
}

pub(super) fn store(path: &Path) -> FileStore {
    let key = Secret::new(STANDARD.encode([7; 32]));
    FileStore::new(path.to_owned(), Keyring::new(&key, None).unwrap(), 100)
}

/// A process of its own, as far as a store can tell.
fn process(client: Client, path: Option<&std::path::Path>) -> CredentialHandle {
    match path {
        Some(path) => process_in(store(path), client),
        None => Credentials::new(tokio::runtime::Handle::current()).handle(
            "name",
            Arc::new(client),
            CacheSettings::default(),
        ),
    }
}

/// The same with `store`.
fn process_in(store: impl Into<AnyStore>, client: Client) -> CredentialHandle {
    let credentials = Credentials::new(tokio::runtime::Handle::current());
    credentials.keep_in(store);
    credentials.handle("name", Arc::new(client), CacheSettings::default())
}

async fn token(handle: &CredentialHandle) -> String {
    let lease = handle.lease(WAIT).await.unwrap();
    lease.part("access_token").unwrap().expose().to_owned()
}

async fn error(handle: &CredentialHandle) -> CredentialErrorKind {
    handle.lease(WAIT).await.unwrap_err().kind
}

/// Refuses what is leased, and leases what comes of it.
async fn refuse(handle: &CredentialHandle) -> Result<String, CredentialErrorKind> {
    let lease = handle.lease(WAIT).await.map_err(|error| error.kind)?;
    handle.accept(&lease);
    let _ = handle.reject(&lease);
    let lease = handle.lease(WAIT).await.map_err(|error| error.kind)?;
    Ok(lease.part("access_token").unwrap().expose().to_owned())
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[tokio::test]
async fn a_restart_asks_for_nothing_that_is_still_good() {
    let (server, path) = (Arc::default(), Scratch::new());
    assert_eq!(
        token(&process(Client::of(&server), Some(&path))).await,
        "t1"
    );
    let again = process(Client::of(&server), Some(&path));
    assert_eq!(token(&again).await, "t1");
    assert_eq!(server.calls(), 1);
    let counters = again.view().counters;
    assert_eq!((counters.adopted, counters.fetches), (1, 0));
}

#[tokio::test]
async fn a_refused_one_is_renewed_once_for_all_processes() {
    let (server, path) = (Arc::default(), Scratch::new());
    let all: Vec<_> = (0..5)
        .map(|_| process(Client::of(&server), Some(&path)))
        .collect();
    for handle in &all {
        assert_eq!(token(handle).await, "t1");
    }
    for handle in &all {
        assert_eq!(refuse(handle).await.unwrap(), "t2");
    }
    assert_eq!(server.asked(), some(&["r0", "r1"]));
}

#[tokio::test]
async fn each_refresh_token_is_sent_once_and_its_successor_is_kept() {
    for name in ["kept", "memory"] {
        let server = Arc::default();
        let path = Scratch::new();
        let handle = process(Client::of(&server), (name == "kept").then_some(&*path));
        assert_eq!(token(&handle).await, "t1");
        assert_eq!(refuse(&handle).await.unwrap(), "t2");
        assert_eq!(refuse(&handle).await.unwrap(), "t3");
        assert_eq!(server.asked(), some(&["r0", "r1", "r2"]), "{name}");
    }
}

#[tokio::test]
async fn after_a_lost_answer_the_refresh_token_is_in_doubt_and_not_sent_again() {
    for name in ["kept-lost", "memory-lost"] {
        let server: Arc<Server> = Arc::default();
        let path = Scratch::new();
        let path = (name == "kept-lost").then_some(&*path);
        let handle = process(Client::of(&server), path);
        assert_eq!(token(&handle).await, "t1");
        server.then([Fate::Lost]);
        assert_eq!(refuse(&handle).await, Err(CredentialErrorKind::Timeout));
        handle.renew_now().await.unwrap_err();
        let failed = handle.lease(WAIT).await.unwrap_err();
        assert_eq!(failed.kind, CredentialErrorKind::InDoubt, "{name}");
        assert_eq!(failed.retry_after, None, "no time mends it");
        assert_eq!(server.asked(), some(&["r0", "r1"]), "{name}");
        if path.is_some() {
            // Nor after a restart: what was issued before still serves, as long as it is not refused.
            let again = process(Client::of(&server), path);
            assert_eq!(token(&again).await, "t1");
            assert_eq!(refuse(&again).await, Err(CredentialErrorKind::InDoubt));
            assert_eq!(server.calls(), 2);
        }
    }
}

#[tokio::test]
async fn that_it_is_in_doubt_is_told_also_where_another_failure_came_before() {
    let listener = Listener::default();
    // With one dispatcher alone, an event that another test's thread meets first is never heard here.
    let _second = tracing::Dispatch::new(Listener::default());
    let _guard = tracing::subscriber::set_default(listener.clone());
    let server: Arc<Server> = Arc::default();
    let handle = process(Client::of(&server), None);
    server.then([Fate::Lost]);
    assert_eq!(error(&handle).await, CredentialErrorKind::Timeout);
    for _ in 0..2 {
        handle.renew_now().await.unwrap_err();
        assert_eq!(error(&handle).await, CredentialErrorKind::InDoubt);
    }
    let told = listener.text();
    let warned = told
        .matches("message=not obtained: its refresh token was sent")
        .count();
    assert_eq!(warned, 1, "{told}");
}

#[tokio::test]
async fn a_process_that_dies_while_it_asks_leaves_the_slot_in_doubt() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let dying = process(Client::of(&server), Some(&path));
    assert_eq!(token(&dying).await, "t1");
    server.then([Fate::Never]);
    let lease = dying.lease(WAIT).await.unwrap();
    let _ = dying.reject(&lease);
    while server.calls() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What the system does when the process is gone.
    for lock in std::fs::read_dir(&path).unwrap().map(Result::unwrap) {
        if lock.path().extension().is_some_and(|it| it == "lock") {
            std::fs::remove_file(lock.path()).unwrap();
        }
    }
    let next = process(Client::of(&server), Some(&path));
    assert_eq!(token(&next).await, "t1", "it serves until it ends");
    assert_eq!(refuse(&next).await, Err(CredentialErrorKind::InDoubt));
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn the_first_refresh_token_of_the_file_is_spent_once_too() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    server.then([Fate::Lost]);
    let handle = process(Client::of(&server), Some(&path));
    assert_eq!(error(&handle).await, CredentialErrorKind::Timeout);
    let again = process(Client::of(&server), Some(&path));
    assert_eq!(error(&again).await, CredentialErrorKind::InDoubt);
    assert_eq!(server.asked(), some(&["r0"]));
}

#[tokio::test]
async fn a_refusal_or_a_call_that_was_never_sent_leaves_the_refresh_token_good() {
    for fate in [Fate::Refused(503), Fate::Refused(401), Fate::Unreachable] {
        let (server, path) = (Arc::<Server>::default(), Scratch::new());
        let handle = process(Client::of(&server), Some(&path));
        assert_eq!(token(&handle).await, "t1");
        server.then([fate]);
        refuse(&handle).await.unwrap_err();
        handle.renew_now().await.unwrap();
        assert_eq!(token(&handle).await, "t2", "{fate:?}");
        assert_eq!(server.asked().last(), some(&["r1"]).last(), "{fate:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_gave_up_waiting_leaves_it_in_doubt() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    server.then([Fate::Refused(504)]);
    let handle = process(Client::of(&server), Some(&path));
    error(&handle).await;
    handle.renew_now().await.unwrap_err();
    assert_eq!(error(&handle).await, CredentialErrorKind::InDoubt);
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn one_that_the_server_takes_no_more_is_not_sent_again() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let handle = process(Client::of(&server), Some(&path));
    assert_eq!(token(&handle).await, "t1");
    server.then([Fate::Ended]);
    assert_eq!(refuse(&handle).await, Err(CredentialErrorKind::Rejected));
    handle.renew_now().await.unwrap_err();
    assert_eq!(error(&handle).await, CredentialErrorKind::Rejected);
    let again = process(Client::of(&server), Some(&path));
    assert_eq!(token(&again).await, "t1");
    assert_eq!(refuse(&again).await, Err(CredentialErrorKind::Rejected));
    assert_eq!(server.asked(), some(&["r0", "r1"]));
}

#[tokio::test]
async fn within_its_reuse_window_it_is_sent_once_more() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = || Client {
        reuse_window: Duration::from_secs(60),
        ..Client::of(&server)
    };
    server.then([Fate::Lost]);
    let handle = process(client(), Some(&path));
    assert_eq!(error(&handle).await, CredentialErrorKind::Timeout);
    handle.renew_now().await.unwrap();
    assert_eq!(token(&handle).await, "t1");
    assert_eq!(server.asked(), some(&["r0", "r0"]));
}

#[tokio::test]
async fn what_can_begin_anew_does() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = || Client {
        first: None,
        restarts: true,
        ..Client::of(&server)
    };
    let handle = process(client(), Some(&path));
    assert_eq!(token(&handle).await, "t1");
    server.then([Fate::Lost]);
    assert_eq!(refuse(&handle).await, Err(CredentialErrorKind::Timeout));
    handle.renew_now().await.unwrap();
    assert_eq!(token(&handle).await, "t2");
    assert_eq!(server.asked(), [None, Some("r1".into()), None]);
}

#[tokio::test]
async fn without_its_store_nothing_is_spent_but_what_is_harmless_goes_on() {
    let server: Arc<Server> = Arc::default();
    let path = Scratch::new();
    std::fs::write(&path, "no folder").unwrap();
    let inside = path.join("store");
    let handle = process(Client::of(&server), Some(&inside));
    assert_eq!(error(&handle).await, CredentialErrorKind::Store);
    assert_eq!(server.calls(), 0);
    let handle = process(Client::harmless(&server), Some(&inside));
    assert_eq!(token(&handle).await, "t1");
    assert!(handle.view().counters.store_failures > 0, "it can be seen");
}

#[tokio::test]
async fn what_could_not_be_saved_is_served_and_saved_later() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let harmless = || Client::harmless(&server);
    std::fs::write(&path, "no folder").unwrap();
    let inside = path.join("store");
    let handle = process(harmless(), Some(&inside));
    assert_eq!(token(&handle).await, "t1");
    std::fs::remove_file(&path).unwrap();
    until("it is saved", || !sealed_in(&inside).is_empty()).await;
    let again = process(harmless(), Some(&inside));
    assert_eq!(token(&again).await, "t1");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn what_the_store_has_lost_is_told_again_and_its_refresh_token_rests_meanwhile() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let one = replica(Client::of(&server), &path, &Arc::default());
    let two = replica(Client::of(&server), &path, &Arc::default());
    assert_eq!(
        (token(&one).await, token(&two).await),
        ("t1".into(), "t1".into())
    );
    // The second one does not know yet that the first one has spent what they share.
    assert_eq!(refuse(&one).await.unwrap(), "t2");
    let [record] = &*sealed_in(&path) else {
        panic!("one record");
    };
    std::fs::remove_file(record).unwrap();
    assert_eq!(
        refuse(&two).await,
        Err(CredentialErrorKind::Failing),
        "what it has may be spent"
    );
    until("it learns of the newer one", || {
        two.try_lease()
            .is_some_and(|it| it.part("access_token").unwrap().expose() == "t2")
    })
    .await;
    assert_eq!(server.asked(), some(&["r0", "r1"]));
    // By then nothing newer can be on its way.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(refuse(&two).await.unwrap(), "t3");
    assert_eq!(server.asked(), some(&["r0", "r1", "r2"]));
}

/// A fleet's store, that saves and then says that it can't so many times, as a Redis does whose answer comes too late.
#[derive(Debug)]
struct Late(FileStore, Arc<AtomicUsize>);

struct LateClaim(Box<dyn Claim>, Arc<AtomicUsize>);

impl Store for Late {
    fn claim<'a>(
        &'a self,
        id: &'a SlotId,
        after: u64,
    ) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async move {
            Ok(match self.0.claim(id, after).await? {
                Claimed::Ours(claim, record) => {
                    Claimed::Ours(Box::new(LateClaim(claim, Arc::clone(&self.1))), record)
                }
                theirs => theirs,
            })
        })
    }

    fn newest<'a>(&'a self, id: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        self.0.newest(id)
    }

    fn is_of_a_fleet(&self) -> bool {
        true
    }
}

/// A process of its own, whose store is a fleet's.
fn replica(client: Client, path: &Path, late: &Arc<AtomicUsize>) -> CredentialHandle {
    let store = Late(store(path), Arc::clone(late));
    process_in(AnyStore(Arc::new(store)), client)
}

impl Claim for LateClaim {
    fn save<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.0.save(record).await?;
            let late = self
                .1
                .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            late.map_or(Ok(()), |_| Err(StoreError::new("late")))
        })
    }
}

#[tokio::test]
async fn a_note_that_was_written_in_vain_does_not_leave_the_refresh_token_in_doubt() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let late = Arc::new(AtomicUsize::new(0));
    let handle = replica(Client::of(&server), &path, &late);
    assert_eq!(token(&handle).await, "t1");
    late.store(1, Relaxed);
    assert_eq!(refuse(&handle).await, Err(CredentialErrorKind::Store));
    assert_eq!(server.asked(), some(&["r0"]), "nothing was sent");
    handle.renew_now().await.unwrap();
    assert_eq!(token(&handle).await, "t2");
    assert_eq!(server.asked(), some(&["r0", "r1"]));
}

fn sealed_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "sealed"))
        .collect()
}

/// Waits for it, five seconds at most.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..100 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_login_elsewhere_is_taken_up_by_a_process_that_runs() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = || Client {
        first: None,
        ..Client::of(&server)
    };
    let running = process(client(), Some(&path));
    assert_eq!(error(&running).await, CredentialErrorKind::Rejected);
    let brought = Credential {
        refresh: Some(Secret::new("r9")),
        ..Credential::bearer(Secret::new("login"), Some(HOUR), clock::now())
    };
    process(client(), Some(&path)).keep(&brought).await.unwrap();
    until("it is taken up", || running.try_lease().is_some()).await;
    assert_eq!(token(&running).await, "login");
    assert_eq!(server.calls(), 0);
    assert_eq!(refuse(&running).await.unwrap(), "t1");
    assert_eq!(server.asked(), some(&["r9"]));
}

#[tokio::test]
async fn who_asks_in_vain_takes_what_another_process_has_fetched_meanwhile() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = || Client::harmless(&server);
    let failing = process(client(), Some(&path));
    server.then([Fate::Ended]);
    let failed = failing.lease(WAIT).await.unwrap_err();
    assert!(
        failed.retry_after > Some(Duration::from_secs(20)),
        "{failed:?}"
    );
    assert_eq!(token(&process(client(), Some(&path))).await, "t1");
    until("it is taken up", || failing.try_lease().is_some()).await;
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn so_does_each_user_of_a_credential() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = || Client {
        per_subject: true,
        ..Client::harmless(&server)
    };
    let user = |handle: &CredentialHandle, name: &str| {
        let subject = Subject::user(name).unwrap();
        handle.of(&subject).unwrap()
    };
    let (one, other) = (
        process(client(), Some(&path)),
        process(client(), Some(&path)),
    );
    server.then([Fate::Ended, Fate::Ended]);
    let failing = [user(&one, "ann"), user(&one, "bob")];
    for slot in &failing {
        error(slot).await;
    }
    assert_eq!(token(&user(&other, "ann")).await, "t1");
    until("it is taken up", || failing[0].try_lease().is_some()).await;
    assert!(failing[1].try_lease().is_none(), "another user's");
    assert_eq!(server.calls(), 3);
}

#[tokio::test]
async fn what_has_ended_meanwhile_causes_no_calls_before_their_time() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = || Client::harmless(&server);
    let failing = process(client(), Some(&path));
    server.then([Fate::Ended]);
    error(&failing).await;
    let dead = Credential {
        refresh: Some(Secret::new("r9")),
        ..Credential::bearer(Secret::new("dead"), Some(Duration::ZERO), clock::now())
    };
    process(client(), Some(&path)).keep(&dead).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(server.calls(), 1);
}

/// A store that counts how often it is asked for the newest.
#[derive(Debug, Default)]
struct Far(AtomicUsize);

impl Store for Far {
    fn claim<'a>(&'a self, _: &'a SlotId, _: u64) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async { Err(StoreError::new("far")) })
    }

    fn newest<'a>(&'a self, _: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        self.0.fetch_add(1, Relaxed);
        Box::pin(async { Ok(None) })
    }

    fn period(&self) -> Duration {
        Duration::from_secs(10)
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_far_away_is_not_asked_every_second_but_in_need() {
    let server = Arc::<Server>::default();
    let far = Arc::new(Far::default());
    let handle = process_in(AnyStore(Arc::<Far>::clone(&far)), Client::of(&server));
    tokio::time::sleep(Duration::from_secs(100)).await;
    let asked = far.0.swap(0, Relaxed);
    assert!((9..=21).contains(&asked), "{asked} times");
    // Nothing is spent without it: requests ask in vain.
    error(&handle).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = far.0.load(Relaxed);
    assert!(asked >= 8, "{asked} times");
}

#[tokio::test(start_paused = true)]
async fn nor_is_it_for_users_whose_tokens_are_good() {
    let server = Arc::<Server>::default();
    let far = Arc::new(Far::default());
    let client = Client {
        per_subject: true,
        ..Client::harmless(&server)
    };
    let handle = process_in(AnyStore(Arc::<Far>::clone(&far)), client);
    let user = Subject::user("ann").unwrap();
    let user = handle.of(&user).unwrap();
    assert_eq!(token(&user).await, "t1");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(far.0.load(Relaxed), 0);
}

#[tokio::test]
async fn where_the_store_is_and_what_ails_it_is_for_operators() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    std::fs::write(&path, "no folder").unwrap();
    let inside = path.join("store");
    let handle = process(Client::of(&server), Some(&inside));
    let told = handle.lease(WAIT).await.unwrap_err();
    assert!(told.detail.contains("the store"), "{told}");
    assert!(!told.to_string().contains("place"), "{told}");
    let shown = inside.display().to_string();
    let failure = handle.account().failure.unwrap();
    assert!(failure.detail.contains(&shown), "{failure}");
    let view = handle.view();
    assert!(view.store_error.is_some_and(|it| it.contains(&shown)));
}

/// A store on a disk that has room for so many records more.
#[derive(Debug)]
struct Disk {
    store: FileStore,
    room: Arc<AtomicUsize>,
}

impl Disk {
    fn with_room(path: &std::path::Path, room: usize) -> (AnyStore, Arc<AtomicUsize>) {
        let (store, room) = (store(path), Arc::new(AtomicUsize::new(room)));
        let known = Arc::clone(&room);
        (AnyStore(Arc::new(Self { store, room })), known)
    }
}

impl Store for Disk {
    fn claim<'a>(
        &'a self,
        id: &'a SlotId,
        after: u64,
    ) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async move {
            Ok(match self.store.claim(id, after).await? {
                Claimed::Ours(claim, record) => {
                    let room = Arc::clone(&self.room);
                    Claimed::Ours(Box::new(OnDisk { claim, room }), record)
                }
                theirs => theirs,
            })
        })
    }

    fn newest<'a>(&'a self, id: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        self.store.newest(id)
    }
}

struct OnDisk {
    claim: Box<dyn Claim>,
    room: Arc<AtomicUsize>,
}

impl Claim for OnDisk {
    fn save<'a>(&'a mut self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        let room = |room: usize| room.checked_sub(1);
        if self.room.fetch_update(Relaxed, Relaxed, room).is_err() {
            return Box::pin(async { Err(StoreError::new("no space left")) });
        }
        self.claim.save(record)
    }
}

#[tokio::test]
async fn where_the_note_finds_no_room_a_credential_with_another_way_takes_that() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = || Client {
        first: None,
        restarts: true,
        ..Client::of(&server)
    };
    let (disk, room) = Disk::with_room(&path, 1);
    let handle = process_in(disk, client());
    assert_eq!(token(&handle).await, "t1");
    assert_eq!(refuse(&handle).await.unwrap(), "t2");
    assert_eq!(server.asked(), [None, None], "no refresh token was sent");
    room.store(9, Relaxed);
    until("it is saved", || handle.view().store_error.is_none()).await;
    assert_eq!(token(&process(client(), Some(&path))).await, "t2");
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn where_the_note_finds_no_room_nothing_is_sent_and_nothing_is_in_doubt() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let (disk, room) = Disk::with_room(&path, 0);
    let handle = process_in(disk, Client::of(&server));
    assert_eq!(error(&handle).await, CredentialErrorKind::Store);
    assert_eq!(server.calls(), 0);
    assert_eq!(handle.view().counters.failures, 0, "nobody was called");
    room.store(9, Relaxed);
    until("it is saved", || handle.view().store_error.is_none()).await;
    assert_eq!(
        token(&process(Client::of(&server), Some(&path))).await,
        "t1"
    );
    assert_eq!(server.asked(), some(&["r0"]));
}

#[tokio::test]
async fn what_came_with_a_dead_token_is_saved_when_there_is_room() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let (disk, room) = Disk::with_room(&path, 1);
    let handle = process_in(disk, Client::of(&server));
    server.then([Fate::Dead]);
    assert_eq!(error(&handle).await, CredentialErrorKind::Malformed);
    room.store(9, Relaxed);
    until("it is saved", || handle.view().store_error.is_none()).await;
    drop(handle);
    assert_eq!(
        token(&process(Client::of(&server), Some(&path))).await,
        "t2"
    );
    assert_eq!(server.asked(), some(&["r0", "r1"]));
}

#[tokio::test]
async fn a_slot_in_doubt_is_not_tried_every_second() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let before = process(Client::of(&server), Some(&path));
    server.then([Fate::Lost]);
    error(&before).await;
    drop(before);
    let handle = process(Client::of(&server), Some(&path));
    assert_eq!(error(&handle).await, CredentialErrorKind::InDoubt);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let tried = handle.view().last_fetch.unwrap().ago;
    assert!(tried > Duration::from_secs(2), "{tried:?} ago");
    assert_eq!(server.calls(), 1);
    assert_eq!(handle.view().counters.failures, 0, "nobody was called");
}

#[tokio::test]
async fn a_refresh_token_that_nobody_sends_makes_no_record_irreplaceable() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let key = Secret::new(STANDARD.encode([7; 32]));
    let full = FileStore::new(path.to_path_buf(), Keyring::new(&key, None).unwrap(), 0);
    let handle = process_in(full, Client::harmless(&server));
    assert_eq!(token(&handle).await, "t1");
    assert!(handle.view().store_error.is_some(), "it has room for none");
}
