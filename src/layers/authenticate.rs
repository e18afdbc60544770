//! Finds out who calls.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::Service;

use super::{Admitted, Connection, Error, Failure, Head, Outcome, Reply, early::Early};
use crate::{
    body::RequestBody,
    callers::{Caller, CallerUnknown, Flight, Verdict},
    clock::Instant,
    routes::Snapshot,
};

/// Refuses requests of nobody that the file knows, where it has `callers`.
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
}

impl<S> Authenticate<S> {
    /// Stands before `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

/// A request whose caller is known.
#[derive(Debug)]
pub struct Authenticated {
    admitted: Admitted,
    caller: Caller,
}

impl Authenticated {
    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// When its head was complete.
    pub fn received(&self) -> Instant {
        self.admitted.received()
    }

    /// The head.
    pub fn head(&self) -> &Head {
        self.admitted.head()
    }

    /// The configuration that the request keeps to its end.
    pub fn snapshot(&self) -> &Snapshot {
        self.admitted.snapshot()
    }

    /// Takes it apart.
    pub fn into_parts(self) -> (Box<Head>, RequestBody, Arc<Connection>, Caller) {
        let (head, body, connection, _) = self.admitted.into_parts();
        (head, body, connection, self.caller)
    }
}

impl<S> Service<Admitted> for Authenticate<S>
where
    S: Service<Authenticated, Response = Box<Reply>, Error = Box<Failure>> + Clone,
{
    type Response = Box<Reply>;
    type Error = Box<Failure>;
    type Future = ResponseFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, admitted: Admitted) -> Self::Future {
        let state = match judge(&admitted) {
            Verdict::Known(caller) => State::Call {
                inner: Early::of(Ok(self.inner.call(Authenticated { admitted, caller }))),
            },
            Verdict::Unknown(why) => State::Call {
                inner: Early::of(Err(Error::CallerUnknown(why))),
            },
            Verdict::Later(flight) => State::Wait {
                wait: Some(Box::new(Wait {
                    flight,
                    admitted,
                    // The ready service: a clone of it may not be.
                    service: self.inner.clone(),
                })),
            },
        };
        ResponseFuture { state }
    }
}

fn judge(admitted: &Admitted) -> Verdict {
    let callers = &admitted.snapshot().callers;
    callers.authenticate(&admitted.head().headers, admitted.connection().shown())
}

pin_project! {
    /// The future of [`Authenticate`].
    pub struct ResponseFuture<S, F> {
        #[pin]
        state: State<S, F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        Wait { wait: Option<Box<Wait<S>>> },
        Call { #[pin] inner: Early<F> },
    }
}

/// A request whose token names a key that is being fetched. Cancel safe: the fetch belongs to a task of its own.
struct Wait<S> {
    flight: Flight,
    admitted: Admitted,
    service: S,
}

impl<S, F> Future for ResponseFuture<S, F>
where
    S: Service<Authenticated, Response = Box<Reply>, Error = Box<Failure>, Future = F>,
    F: Future<Output = Outcome>,
{
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let handed_on = match self.as_mut().project().state.project() {
                StateProjection::Call { inner } => return inner.poll(cx),
                StateProjection::Wait { wait } => {
                    if let Some(waiting) = wait {
                        ready!(Pin::new(&mut waiting.flight).poll(cx));
                    }
                    wait.take().map_or(Err(Error::Internal), |it| it.resume())
                }
            };
            let inner = Early::of(handed_on);
            self.as_mut().project().state.set(State::Call { inner });
        }
    }
}

impl<S: Service<Authenticated>> Wait<S> {
    #[expect(
        clippy::boxed_local,
        reason = "it stands in a box: moving it out would copy it"
    )]
    fn resume(mut self: Box<Self>) -> Result<S::Future, Error> {
        match judge(&self.admitted) {
            Verdict::Known(caller) => {
                let admitted = self.admitted;
                Ok(self.service.call(Authenticated { admitted, caller }))
            }
            Verdict::Unknown(why) => Err(Error::CallerUnknown(why)),
            // Still not here: waited for once is enough.
            Verdict::Later(_) => Err(Error::CallerUnknown(CallerUnknown::NoKeys)),
        }
    }
}
