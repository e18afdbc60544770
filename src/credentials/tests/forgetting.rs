//! A reload has removed a credential: nothing of it is left.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::sleep};

use super::fake::{Fake, cache};
use crate::{
    clock,
    credentials::{
        BoxFuture, CacheSettings, Credential, Credentials, Fetch, FetchError, Fingerprint,
        FingerprintBuilder, Source, Subject, Watched,
    },
    secret::Secret,
};

const WAIT: Duration = Duration::from_secs(10);

/// A token for each user, from a file that is followed.
#[derive(Debug)]
struct OfUsers(Watched);

impl Source for OfUsers {
    fn grant(&self) -> &'static str {
        "fake"
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new("of-users").finish()
    }

    fn per_subject(&self) -> bool {
        true
    }

    fn watched(&self) -> Vec<&Watched> {
        vec![&self.0]
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        let life = Some(Duration::from_secs(3600));
        let credential = Credential::bearer(Secret::new("token"), life, clock::now());
        Box::pin(std::future::ready(Ok(credential)))
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Has `source` obtain a token, and forgets it: what is then left of its slots, tokens, sources and tasks.
async fn forget(cache: &Credentials, source: Arc<dyn Source>, subject: Subject) {
    let before = tasks();
    let source_gone = Arc::downgrade(&source);
    let root = cache.handle("name", source, CacheSettings::default());
    let slot = root.of(&subject).unwrap();
    let lease = slot.lease(WAIT).await.unwrap();
    let (slot_gone, token_gone) = (Arc::downgrade(&slot.0), Arc::downgrade(&lease.0.issue));
    assert!(tasks() > before);
    drop((root, slot));
    assert!(slot_gone.upgrade().is_none());
    assert!(token_gone.upgrade().is_some(), "a request still sends it");
    drop(lease);
    // Whoever looks at files does so every second.
    sleep(Duration::from_secs(2)).await;
    assert!(token_gone.upgrade().is_none());
    assert!(source_gone.upgrade().is_none());
    assert_eq!(tasks(), before);
    assert_eq!(cache.views(), []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_removed_credential() {
    let source = Fake::tokens(Duration::from_secs(3600));
    forget(&cache(), source, Subject::Own).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_the_users_of_a_removed_credential() {
    let source = OfUsers(Watched::new("/nowhere/at/all".into()));
    let subject = Subject::User("jo".into());
    forget(&cache(), Arc::new(source), subject).await;
}
