//! The future of a layer that hands the request on, refuses it at once, or answers it itself.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Error, Failure, Outcome};

pin_project! {
    /// Resolves as `inner` does, or with a refusal.
    #[project = EarlyProjection]
    pub enum Early<F> {
        /// The request was handed on.
        Inner { #[pin] inner: F },
        /// It is answered by the layer itself.
        Own { answer: Pin<Box<dyn Future<Output = Outcome> + Send>> },
        /// It was refused. `None` once that was told. Boxed: an error is larger than what most futures hold.
        Refused { failure: Option<Box<Failure>> },
    }
}

impl<F> Early<F> {
    pub(super) fn of(handed_on: Result<F, Error>) -> Self {
        match handed_on {
            Ok(inner) => Self::Inner { inner },
            Err(error) => Self::Refused {
                failure: Some(error.into()),
            },
        }
    }
}

impl<F: Future<Output = Outcome>> Future for Early<F> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.project() {
            EarlyProjection::Inner { inner } => inner.poll(cx),
            EarlyProjection::Own { answer } => answer.as_mut().poll(cx),
            EarlyProjection::Refused { failure } => Poll::Ready(Err(failure
                .take()
                .unwrap_or_else(|| Error::Internal.into()))),
        }
    }
}
