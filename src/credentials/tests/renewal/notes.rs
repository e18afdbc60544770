//! The note that a refresh token is under way: when none is written any more, and what no process writes over.

use std::sync::OnceLock;

use super::*;
use crate::credentials::{
    cache::Slot,
    renewal::{compare, see_saved},
    store::{NONE_WILL_DO, Spending},
};

/// What the store at `path` has of the credential, changed by `change`.
async fn change(handle: &CredentialHandle, path: &Path, change: impl FnOnce(&mut Record)) {
    let id = handle.0.id_of(&*handle.source());
    let store = store(path);
    let Ok(Claimed::Ours(mut claim, Some(mut record))) = store.claim(&id, NONE_WILL_DO).await
    else {
        panic!("there is one");
    };
    change(&mut record);
    claim.save(&record).await.unwrap();
}

async fn kept(handle: &CredentialHandle, path: &Path) -> Record {
    let id = handle.0.id_of(&*handle.source());
    store(path).newest(&id).await.unwrap().unwrap()
}

#[tokio::test]
async fn no_refresh_token_is_sent_once_the_process_ends() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let credentials = Credentials::new(tokio::runtime::Handle::current());
    credentials.keep_in(store(&path));
    let source = Arc::new(Client::of(&server));
    let handle = credentials.handle("name", source, CacheSettings::default());
    assert_eq!(token(&handle).await, "t1");
    credentials.finish().await;
    assert_eq!(refuse(&handle).await, Err(CredentialErrorKind::Failing));
    assert_eq!(server.asked(), some(&["r0"]));
    let note = kept(&handle, &path).await.spending;
    assert!(note.is_none(), "the next process is in no doubt");
}

/// Else a server that never answers would keep its window open for ever.
#[tokio::test]
async fn what_is_sent_again_keeps_the_time_at_which_it_was_sent_first() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let client = Client {
        reuse_window: Duration::from_secs(60),
        ..Client::of(&server)
    };
    let handle = process(client, Some(&path));
    assert_eq!(token(&handle).await, "t1");
    let long_ago = clock::unix_time().as_secs() - 30;
    let first = Some(Spending { since: long_ago });
    change(&handle, &path, |record| record.spending = first).await;
    server.then([Fate::Lost]);
    handle.renew_now().await.unwrap_err();
    assert_eq!(server.asked(), some(&["r0", "r1"]));
    assert_eq!(kept(&handle, &path).await.spending, first);
}

#[tokio::test]
async fn what_is_saved_later_takes_the_place_of_nothing_that_others_know_better() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    // Of what can begin anew, nobody looks for more.
    let client = Client {
        first: None,
        restarts: true,
        ..Client::of(&server)
    };
    let handle = replica(client, &path, &Arc::default());
    assert_eq!(token(&handle).await, "t1");
    let ours = kept(&handle, &path).await;
    let noted = Record {
        spending: Some(Spending { since: 1 }),
        ..ours.clone()
    };
    // It has ended, so that nobody takes it over; what renews it is newer all the same.
    let newer = Record {
        number: ours.number + 1,
        ends: Some(ours.sent),
        refresh: Some(Secret::new("r9")),
        ..ours
    };
    for known in [noted, newer] {
        change(&handle, &path, |record| *record = known.clone()).await;
        {
            let mut state = handle.0.state();
            state.kept.is_saved = false;
            see_saved(&handle.0, &mut state);
        }
        until("it is seen to", || handle.0.state().kept.is_saved).await;
        assert_eq!(kept(&handle, &path).await, known);
    }
}

/// A fleet's store that has lost everything, and is told something new while it is asked.
#[derive(Debug, Default)]
struct Losing {
    slot: OnceLock<CredentialHandle>,
    numbers: u64,
}

impl Store for Losing {
    fn claim<'a>(&'a self, _: &'a SlotId, _: u64) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async { Err(StoreError::new("gone")) })
    }

    fn newest<'a>(&'a self, _: &'a SlotId) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        let slot = &self.slot.get().unwrap().0;
        slot.state().kept.number += self.numbers;
        Box::pin(async { Ok(None) })
    }

    fn is_of_a_fleet(&self) -> bool {
        true
    }
}

/// Whether the refresh token rests, and whether it is to be saved, once `slot` was compared with a store that lost it.
async fn compared(handle: &CredentialHandle, numbers: u64) -> (bool, bool) {
    let store = Losing {
        slot: OnceLock::from(handle.clone()),
        numbers,
    };
    let slot: &Arc<Slot> = &handle.0;
    compare(slot, &store).await;
    let state = slot.state();
    let rests = state.kept.record.as_ref().unwrap().rests.is_some();
    (rests, !state.kept.is_saved)
}

#[tokio::test]
async fn what_a_store_has_lost_rests_and_what_was_saved_meanwhile_is_no_loss() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let handle = replica(Client::of(&server), &path, &Arc::default());
    assert_eq!(token(&handle).await, "t1");
    assert_eq!(compared(&handle, 1).await, (false, false), "it is another");
    // What could not be saved yet was never there.
    handle.0.state().kept.is_saved = false;
    assert_eq!(compared(&handle, 0).await, (false, true));
    handle.0.state().kept.is_saved = true;
    assert_eq!(compared(&handle, 0).await, (true, true));
}
