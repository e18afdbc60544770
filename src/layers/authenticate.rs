//! Finds out who calls.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::{Admitted, Connection, Error, Failure, Head, Reply, early::Early};
use crate::{body::RequestBody, callers::Caller, clock::Instant, routes::Snapshot};

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
    S: Service<Authenticated, Response = Box<Reply>, Error = Box<Failure>>,
{
    type Response = Box<Reply>;
    type Error = Box<Failure>;
    type Future = Early<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, admitted: Admitted) -> Self::Future {
        let caller = admitted
            .snapshot()
            .callers
            .authenticate(&admitted.head().headers);
        Early::of(match caller {
            Ok(caller) => Ok(self.inner.call(Authenticated { admitted, caller })),
            Err(_) => Err(Error::CallerUnknown),
        })
    }
}
