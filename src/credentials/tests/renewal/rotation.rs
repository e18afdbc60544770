//! An operator has a credential renewed, because its token leaked: no process goes on with what a store has.

use super::*;

#[tokio::test]
async fn a_process_that_has_just_begun_makes_a_call_and_replaces_what_the_store_has() {
    for refreshes in [false, true] {
        let (server, path) = (Arc::<Server>::default(), Scratch::new());
        let client = || match refreshes {
            true => Client::of(&server),
            false => Client::harmless(&server),
        };
        assert_eq!(token(&process(client(), Some(&path))).await, "t1");
        let begun = process(client(), Some(&path));
        begun.renew_now().await.unwrap();
        assert_eq!(token(&begun).await, "t2");
        assert_eq!(token(&process(client(), Some(&path))).await, "t2");
        assert_eq!(server.calls(), 2);
    }
}

#[tokio::test]
async fn other_processes_take_the_new_one_though_theirs_is_good() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    let [one, other, idle] = [(); 3].map(|()| process(Client::harmless(&server), Some(&path)));
    for handle in [&one, &other] {
        assert_eq!(token(handle).await, "t1");
    }
    one.renew_now().await.unwrap();
    until("the other one has it", || {
        other
            .try_lease()
            .is_some_and(|it| it.part("access_token").unwrap().expose() == "t2")
    })
    .await;
    assert_eq!(server.calls(), 2);
    assert!(idle.try_lease().is_none(), "nobody has asked for one there");
}

#[tokio::test]
async fn a_call_that_was_under_way_is_not_the_operators() {
    let (server, path) = (Arc::<Server>::default(), Scratch::new());
    assert_eq!(
        token(&process(Client::harmless(&server), Some(&path))).await,
        "t1"
    );
    let begun = process(Client::harmless(&server), Some(&path));
    let asking = tokio::spawn(begun.lease(WAIT));
    for _ in 0..1000 {
        if begun.0.state().life.is_flying() {
            break;
        }
        tokio::task::yield_now().await;
    }
    begun.renew_now().await.unwrap();
    asking.await.unwrap().unwrap();
    assert_eq!((token(&begun).await, server.calls()), ("t2".into(), 2));
}
