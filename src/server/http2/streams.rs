//! Runs the streams of a connection, each a task, and ends one whose client takes nothing of it.
//!
//! A stream that may not be sent on waits in hyper where none of our code is asked. So its task is wrapped,
//! and dropped when the client has had its time: h2 then resets the stream and drops what waits in it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use crate::clock::{Verdict, Watch};

/// Hyper's executor for one connection.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Streams {
    /// The stall of the request whose stream hyper spawns next: it does so right after calling the service.
    next: Arc<Mutex<Option<Arc<Stall>>>>,
}

/// How long the client has taken nothing of one stream.
#[derive(Debug, Default)]
pub(in crate::server) struct Stall {
    /// Made for answers of more than one piece only.
    watch: OnceLock<Watch>,
}

impl Streams {
    /// Names the stall of the stream that is spawned next.
    pub(in crate::server) fn announce(&self, stall: Arc<Stall>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(stall);
    }

    fn announced(&self) -> Option<Arc<Stall>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.take()
    }
}

impl Stall {
    /// A piece of the answer is handed out: the client has to make room for it within `limit`.
    pub(in crate::server) fn begin(&self, connection: &Watch, limit: Duration) {
        self.watch
            .get_or_init(|| connection.sibling())
            .within(limit);
    }

    /// The client has made room.
    pub(in crate::server) fn end(&self) {
        if let Some(watch) = self.watch.get() {
            watch.rest();
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Watched {
            stream,
            stall: self.announced(),
            told: false,
        });
    }
}

pin_project! {
    /// A stream's task.
    struct Watched<F> {
        #[pin]
        stream: F,
        stall: Option<Arc<Stall>>,
        told: bool,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let watch = || this.stall.as_ref().and_then(|stall| stall.watch.get());
        if watch().is_some_and(|watch| watch.verdict() != Verdict::Live) {
            return Poll::Ready(());
        }
        let polled = this.stream.poll(cx);
        if polled.is_pending()
            && !*this.told
            && let Some(watch) = watch()
        {
            // A task has one waker all its life.
            watch.wakes(cx.waker());
            *this.told = true;
        }
        polled
    }
}
