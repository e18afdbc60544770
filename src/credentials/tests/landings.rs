//! Waiting for a flight, where the runtime that was to deliver its outcome has gone.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Waker},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

use crate::credentials::flight::{Landing, Landings};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Lets `waiting` look once, in `runtime`.
fn look(runtime: &Runtime, waiting: Pin<&mut impl Future>) {
    let _entered = runtime.enter();
    let looked = waiting.poll(&mut Context::from_waker(Waker::noop()));
    assert!(looked.is_pending());
}

#[test]
fn who_comes_after_the_end_of_a_runtime_sleeps_until_the_landing() {
    let landings = Landings::default();
    let gone = runtime();
    let mut first = pin!(landings.wait(1));
    look(&gone, first.as_mut());
    // Whoever it was to tell on this thread is told no more; `first` holds what it listened to.
    drop(gone);
    let landings = &landings;
    let looks = runtime().block_on(async {
        let (mut waiting, mut looks) = (pin!(landings.wait(1)), 0);
        let counted = poll_fn(|cx| {
            looks += 1;
            waiting.as_mut().poll(cx)
        });
        let landing = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            landings.land(1, Landing::Arrived);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            landed = counted => assert!(matches!(landed, Landing::Arrived)),
            () = landing => {}
        }
        looks
    });
    assert!(looks < 10, "it looked {looks} times");
}
