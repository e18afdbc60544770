//! The waker of an upstream connection's task, which can be made deaf for a moment.
//!
//! hyper wakes the connection whenever somebody takes a piece of its body, also the last piece, behind which it has
//! nothing left to do: a whole poll of it for nothing in every exchange, a twentieth of all that a small one costs.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
    task::{Wake, Waker},
};

/// Wakes the task of one connection; shared by the task and the exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Bell(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    task: OnceLock<Waker>,
}

impl Bell {
    /// What hyper gets in the place of `task`, the waker that the connection's task keeps for its life.
    pub(super) fn waker(&self, task: &Waker) -> Waker {
        self.0.task.get_or_init(|| task.clone());
        Waker::from(Arc::clone(&self.0))
    }

    /// Does `work`, and tells whether it would have woken the task. Other threads wake it all the same.
    pub(super) fn while_deaf<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        DEAF.set(Some(self.address()));
        let guard = Hearing;
        let done = work();
        let rung = RUNG.take();
        drop(guard);
        (done, rung)
    }

    /// Wakes the task.
    pub(super) fn ring(&self) {
        self.0.ring();
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl Inner {
    fn ring(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if DEAF.get() == Some(Arc::as_ptr(self).addr()) {
            RUNG.set(true);
        } else {
            self.ring();
        }
    }
}

/// Ends the deafness, also by a panic.
struct Hearing;

impl Drop for Hearing {
    fn drop(&mut self) {
        DEAF.set(None);
        RUNG.set(false);
    }
}

thread_local! {
    /// Which bell this thread does not hear.
    static DEAF: Cell<Option<usize>> = const { Cell::new(None) };
    static RUNG: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_deaf_bell_tells_that_it_rang_and_wakes_nobody() {
        let count = Arc::<Count>::default();
        let (bell, other) = (Bell::default(), Bell::default());
        let task = Waker::from(Arc::clone(&count));
        let (waker, others) = (bell.waker(&task), other.waker(&task));
        let woken = || count.0.load(Ordering::Relaxed);

        let ((), rung) = bell.while_deaf(|| waker.wake_by_ref());
        assert!(rung);
        assert_eq!(woken(), 0);

        let ((), rung) = bell.while_deaf(|| others.wake_by_ref());
        assert!(!rung);
        assert_eq!(woken(), 1);

        let elsewhere = waker.clone();
        let ((), rung) = bell.while_deaf(|| {
            let thread = std::thread::spawn(move || elsewhere.wake());
            thread.join().expect("it does not panic");
        });
        assert!(!rung);
        waker.wake_by_ref();
        assert_eq!(woken(), 3);
    }
}
