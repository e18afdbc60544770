//! Credentials of many users: whose is whose, how many are kept, when they end.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{fake::cache, scratch::Scratch};
use crate::{
    clock,
    credentials::{
        BoxFuture, CacheSettings, Credential, CredentialErrorKind, CredentialHandle, Credentials,
        FailureKind, Fetch, FetchError, Fingerprint, FingerprintBuilder, Refreshing, Rejection,
        Source, Subject, SubjectToken, Watched,
        cache::{Kin, Slot},
        refresher,
    },
    secret::Secret,
};

/// Answers each subject with a token that tells whose it is.
#[derive(Debug, Default)]
struct PerUser {
    calls: AtomicUsize,
    /// Those whose calls are under way.
    flying: Mutex<Vec<String>>,
    refuses: AtomicBool,
    /// Gives refresh tokens too, which nothing replaces.
    refreshes: bool,
    file: Option<Watched>,
}

impl PerUser {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn keeping(self: &Arc<Self>, max_subjects: usize) -> CredentialHandle {
        self.kept_in(&cache(), max_subjects)
    }

    fn kept_in(self: &Arc<Self>, cache: &Credentials, max_subjects: usize) -> CredentialHandle {
        let settings = CacheSettings {
            max_subjects,
            ..CacheSettings::default()
        };
        cache.handle("name", Arc::clone(self) as Arc<dyn Source>, settings)
    }
}

impl Source for PerUser {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("per-user").finish()
    }

    fn per_subject(&self) -> bool {
        true
    }

    fn watched(&self) -> Vec<&Watched> {
        self.file.iter().collect()
    }

    fn refreshing(&self) -> Option<Refreshing<'_>> {
        self.refreshes.then_some(Refreshing::OR_ANEW)
    }

    fn fetch<'a>(&'a self, ask: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async move {
            let whose = match ask.subject {
                Subject::User(name) => name.to_string(),
                Subject::Tokens(tokens) => tokens.subject.token.expose().to_owned(),
                Subject::Own => return Err(FetchError::malformed("asked for nobody's")),
            };
            let again = self.flying.lock().unwrap().contains(&whose);
            assert!(!again, "two calls for one user at once");
            self.flying.lock().unwrap().push(whose.clone());
            let n = self.calls.fetch_add(1, Ordering::SeqCst);
            let sent = clock::now();
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.flying.lock().unwrap().retain(|it| *it != whose);
            if self.refuses.load(Ordering::SeqCst) {
                return Err(FetchError::permanent(FailureKind::Rejected, "no"));
            }
            let token = Secret::new(format!("{whose}#{n}"));
            let refresh = self.refreshes.then(|| Secret::new("once"));
            Ok(Credential {
                refresh,
                ..Credential::bearer(token, Some(HOUR), sent)
            })
        })
    }
}

fn user(number: usize) -> Subject {
    Subject::user(format!("user-{number}")).unwrap()
}

fn exchanged(token: &str, expires: Option<clock::Instant>) -> Subject {
    let token = SubjectToken {
        token: Secret::new(token),
        expires,
    };
    Subject::tokens(token, None).unwrap()
}

fn of(handle: &CredentialHandle, subject: &Subject) -> CredentialHandle {
    handle.of(subject).unwrap()
}

async fn token(handle: &CredentialHandle, subject: &Subject) -> String {
    let lease = of(handle, subject).lease(WAIT).await.unwrap();
    lease.part("access_token").unwrap().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_of_fifty_users_each_get_their_users_token() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(10_000);
    let tasks: Vec<_> = (0..1000)
        .map(|n| {
            let handle = handle.clone();
            tokio::spawn(async move { (n % 50, token(&handle, &user(n % 50)).await) })
        })
        .collect();
    for task in tasks {
        let (number, token) = task.await.unwrap();
        assert!(token.starts_with(&format!("user-{number}#")), "{token}");
    }
    assert_eq!(source.calls(), 50, "one call for each user");
    let view = handle.view();
    assert_eq!(view.subjects.unwrap().kept, 50);
    assert_eq!(view.counters.fetches, 50);
    assert_eq!(view.state.as_str(), "fresh");
}

#[tokio::test(start_paused = true)]
async fn a_name_and_a_token_that_read_the_same_are_two_subjects() {
    let handle = Arc::new(PerUser::default()).keeping(10);
    let name = token(&handle, &user(1)).await;
    assert_ne!(name, token(&handle, &exchanged("user-1", None)).await);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_renews_the_refused_users_token_alone() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(10);
    let (one, other) = (
        token(&handle, &user(1)).await,
        token(&handle, &user(2)).await,
    );
    let lease = of(&handle, &user(1)).try_lease().unwrap();
    // By the route's own hold, as the layers do.
    assert_eq!(handle.reject(&lease), Rejection::Renewing);
    assert_ne!(token(&handle, &user(1)).await, one);
    assert_eq!(token(&handle, &user(2)).await, other);
    assert_eq!(source.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_makes_room() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(3);
    for number in [1, 2, 3, 1, 4] {
        token(&handle, &user(number)).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(source.calls(), 4);
    let subjects = handle.view().subjects.unwrap();
    assert_eq!((subjects.kept, subjects.evicted), (3, 1));
    token(&handle, &user(1)).await;
    assert_eq!(source.calls(), 4, "used again, so it stayed");
    token(&handle, &user(2)).await;
    assert_eq!(source.calls(), 5);
    assert_eq!(
        handle.view().counters.fetches,
        5,
        "nobody's counts are lost"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_waited_for_is_not_evicted() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(2);
    let waiting = [user(1), user(2)].map(|user| {
        let handle = handle.clone();
        tokio::spawn(async move { token(&handle, &user).await })
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let refused = handle.of(&user(3)).unwrap_err();
    assert_eq!(refused.kind, CredentialErrorKind::Overloaded);
    for task in waiting {
        task.await.unwrap();
    }
    token(&handle, &user(3)).await;
    assert_eq!(source.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_thousand_users_later_the_bound_still_holds() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(1000);
    for round in 0..40 {
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let handle = handle.clone();
                tokio::spawn(async move { token(&handle, &user(round * 50 + n)).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(handle.view().subjects.unwrap().kept <= 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_back_is_forgotten() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(10);
    token(&handle, &user(1)).await;
    // Used in this life, so it is renewed once; not used in the next, it lapses.
    tokio::time::sleep(HOUR * 3).await;
    assert_eq!(source.calls(), 2);
    assert_eq!(handle.view().subjects.unwrap().kept, 0);
    assert_eq!(handle.view().counters.fetches, 2);
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_user_is_remembered_though_nobody_holds_the_slot() {
    let source = Arc::new(PerUser::default());
    let settings = CacheSettings {
        probe_after: Duration::from_secs(1200),
        ..CacheSettings::default()
    };
    let handle = cache().handle("name", Arc::clone(&source) as Arc<dyn Source>, settings);
    source.refuses.store(true, Ordering::SeqCst);
    assert!(of(&handle, &user(1)).lease(WAIT).await.is_err());
    // Its task has looked ten times meanwhile whether anything would be missed.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let again = of(&handle, &user(1)).lease(WAIT).await.unwrap_err();
    assert_eq!(again.retry_after, Some(Duration::from_secs(600)));
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn neither_room_nor_time_takes_the_only_copy_of_a_refresh_token() {
    let source = Arc::new(PerUser {
        refreshes: true,
        ..PerUser::default()
    });
    let handle = source.keeping(1);
    token(&handle, &user(1)).await;
    let refused = handle.of(&user(2)).unwrap_err();
    assert_eq!(refused.kind, CredentialErrorKind::Overloaded);
    tokio::time::sleep(HOUR * 9).await;
    assert_eq!(handle.view().subjects.unwrap().kept, 1);
}

#[tokio::test(start_paused = true)]
async fn an_exchanged_token_neither_outlives_its_subject_nor_is_renewed_beyond_it() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(10);
    let ends = clock::now() + Duration::from_secs(600);
    let subject = exchanged("subject", Some(ends));
    token(&handle, &subject).await;
    let own = of(&handle, &subject);
    tokio::time::sleep_until(ends - Duration::from_secs(2)).await;
    assert!(own.try_lease().is_some());
    assert_eq!(source.calls(), 1, "a successor would end at the same time");
    tokio::time::sleep_until(ends).await;
    assert!(own.try_lease().is_none());
    let refused = own.lease(WAIT).await.unwrap_err();
    assert_eq!(refused.kind, CredentialErrorKind::Rejected);
    assert_eq!(source.calls(), 1, "nobody is asked with a dead token");
}

#[tokio::test(start_paused = true)]
async fn a_subject_that_lives_longer_has_its_token_renewed() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(10);
    let subject = exchanged("subject", Some(clock::now() + HOUR + HOUR / 2));
    token(&handle, &subject).await;
    tokio::time::sleep(HOUR - Duration::from_secs(5)).await;
    assert_eq!(source.calls(), 2);
    token(&handle, &subject).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(source.calls(), 2, "the subject ended before it");
    assert!(of(&handle, &subject).try_lease().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_had_made_room_does_not_take_its_successor_out() {
    let source = Arc::new(PerUser::default());
    let handle = source.keeping(10);
    token(&handle, &user(1)).await;
    let Kin::Root(subjects) = &handle.0.kin else {
        panic!("each user has one");
    };
    let outdated = handle.0.of_subject(user(1), Arc::downgrade(subjects));
    let outdated = Arc::new(outdated);
    let _another = Arc::clone(&outdated);
    assert!(!subjects.forget(&outdated));
    assert_eq!(handle.view().subjects.unwrap().kept, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_may_set_another_bound_which_holds_from_the_next_user_on() {
    let (source, cache) = (Arc::new(PerUser::default()), cache());
    let before = source.kept_in(&cache, 5);
    for number in 0..5 {
        token(&before, &user(number)).await;
    }
    let after = source.kept_in(&cache, 2);
    assert_eq!(after.view().subjects.unwrap().kept, 5);
    token(&after, &user(5)).await;
    assert_eq!(after.view().subjects.unwrap().kept, 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_renews_the_token_of_each_user() {
    let path = Scratch::new();
    std::fs::write(&path, "one").unwrap();
    let source = Arc::new(PerUser {
        file: Some(Watched::new(path.to_owned())),
        ..PerUser::default()
    });
    let handle = source.keeping(10);
    token(&handle, &user(1)).await;
    token(&handle, &user(2)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(source.calls(), 2);
    std::fs::write(&path, "another").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(source.calls(), 4);
}

/// There may be a hundred thousand of them.
#[test]
fn a_slot_and_its_task_stay_small() {
    let slot = size_of::<Slot>();
    assert!(slot <= 896, "{slot} bytes");
    let task = size_of_val(&refresher::serve(Weak::new(), Arc::default()));
    assert!(task <= 1000, "{task} bytes");
}

const HOUR: Duration = Duration::from_secs(3600);
const WAIT: Duration = Duration::from_secs(10);
