//! The request's body on its way out: tells the connection's watch that it moves, and when it is complete.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{sync::oneshot, time::Sleep};

use super::Timeouts;
use crate::{
    body::{BodyError, RequestBody},
    clock::Watch,
};

/// A request's body as a connection sends it: `None` for an empty one.
///
/// Boxed, since hyper moves a request a dozen times on its way to the socket, and most have no body.
#[derive(Debug)]
pub struct OutgoingBody(Option<Box<Moving>>);

#[derive(Debug)]
struct Moving {
    body: RequestBody,
    progress: Arc<Progress>,
    gate: Option<Gate>,
}

/// How far a body has come, seen from the exchange that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Progress {
    sent: AtomicBool,
    broke: AtomicBool,
    watch: Mutex<Option<(Watch, Timeouts)>>,
}

/// Holds a body back until the upstream says 100, or for so long that it evidently won't.
#[derive(Debug)]
struct Gate {
    /// Gone once the final answer has come: that is no permission.
    hundred: Option<oneshot::Receiver<()>>,
    patience: Pin<Box<Sleep>>,
}

impl OutgoingBody {
    /// `body`, sent as fast as the upstream takes it.
    pub fn new(body: RequestBody) -> Self {
        Self((!body.is_empty()).then(|| {
            Box::new(Moving {
                body,
                progress: Arc::default(),
                gate: None,
            })
        }))
    }

    /// Holds the body back until the returned sender is used or `patience` is over (RFC 9110, 10.1.1).
    /// An empty body needs no permission.
    pub(super) fn expect_continue(&mut self, patience: Duration) -> oneshot::Sender<()> {
        let (sender, hundred) = oneshot::channel();
        if let Some(moving) = &mut self.0 {
            moving.gate = Some(Gate {
                hundred: Some(hundred),
                patience: Box::pin(tokio::time::sleep(patience)),
            });
        }
        sender
    }

    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.0.as_ref().map(|moving| Arc::clone(&moving.progress))
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Progress {
    /// Whether the whole body was handed to the connection.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the client's body broke off.
    pub(super) fn is_broken(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
    }

    /// Ties the body to the connection that sends it now.
    pub(super) fn attach(&self, watch: Watch, timeouts: Timeouts) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some((watch, timeouts));
    }

    fn moved(&self, ended: bool) {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((watch, timeouts)) = watch.as_ref() {
            watch.within(if ended {
                timeouts.response_head
            } else {
                timeouts.idle_body
            });
        }
        if ended {
            self.sent.store(true, Ordering::Relaxed);
        }
    }
}

impl Gate {
    fn is_permitted(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(hundred) = &mut self.hundred else {
            return false;
        };
        match Pin::new(hundred).poll(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.hundred = None;
                false
            }
            Poll::Pending => false,
        }
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(this) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        if let Some(gate) = &mut this.gate {
            if !gate.is_permitted(cx) && gate.patience.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.gate = None;
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if matches!(frame, Some(Err(_))) {
            this.progress.broke.store(true, Ordering::Relaxed);
        } else {
            this.progress
                .moved(frame.is_none() || this.body.is_end_stream());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|it| it.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or(SizeHint::with_exact(0), |it| it.body.size_hint())
    }
}
