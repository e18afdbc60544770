//! The future of a layer that either refuses at once or hands the request on.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Error, Outcome};

pin_project! {
    /// Resolves as `inner` does, or with a refusal.
    #[project = EarlyProjection]
    #[derive(Debug)]
    pub enum Early<F> {
        /// The request was handed on.
        Inner { #[pin] inner: F },
        /// It was refused. `None` once that was told.
        Refused { error: Option<Error> },
    }
}

impl<F> Early<F> {
    pub(super) fn of(handed_on: Result<F, Error>) -> Self {
        match handed_on {
            Ok(inner) => Self::Inner { inner },
            Err(error) => Self::Refused { error: Some(error) },
        }
    }
}

impl<F: Future<Output = Outcome>> Future for Early<F> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.project() {
            EarlyProjection::Inner { inner } => inner.poll(cx),
            EarlyProjection::Refused { error } => {
                Poll::Ready(Err(error.take().unwrap_or(Error::Internal).into()))
            }
        }
    }
}
