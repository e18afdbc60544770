//! A body that remembers what it passed on, up to a limit, so that a request can be sent once more.
//!
//! Nothing is held back or read ahead: a large upload streams, and once it is past the limit what was
//! remembered is dropped and the request is no longer replayable. First run and replay share the client's
//! stream: a replay repeats what is remembered and reads on from there, so an upload of which the first
//! run read only a part is replayed too.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::BodyError;

/// One run over a remembered body. Generic over the stream so that tests can make one.
#[derive(Debug)]
pub struct Tee<B = hyper::body::Incoming> {
    shared: Arc<Mutex<Shared<B>>>,
    run: u8,
    position: usize,
    trailers_sent: bool,
}

/// The other end of a [`Tee`]: starts the replay.
#[derive(Debug)]
pub struct TeeHandle<B = hyper::body::Incoming>(Arc<Mutex<Shared<B>>>);

#[derive(Debug)]
struct Shared<B> {
    source: B,
    /// Whole length of the body, where it is known.
    length: SizeHint,
    /// The run that may read; an older one is cut off.
    run: u8,
    kept: Vec<Bytes>,
    room: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// The source failed, or more came than there is room for.
    lost: bool,
}

impl<B: Body<Data = Bytes>> Tee<B> {
    /// Remembers up to `limit` bytes of `source`.
    pub fn new(source: B, limit: usize) -> (Self, TeeHandle<B>) {
        let shared = Arc::new(Mutex::new(Shared {
            length: source.size_hint(),
            source,
            run: 0,
            kept: Vec::new(),
            room: limit,
            trailers: None,
            ended: false,
            lost: false,
        }));
        let tee = Self {
            shared: Arc::clone(&shared),
            run: 0,
            position: 0,
            trailers_sent: false,
        };
        (tee, TeeHandle(shared))
    }
}

impl<B> TeeHandle<B> {
    /// The body once more from its start, or `None` where it is no longer whole. Cuts off the run before.
    pub fn replay(self) -> Option<(Tee<B>, Self)> {
        let run = {
            let mut shared = lock(&self.0);
            if shared.lost {
                return None;
            }
            shared.run += 1;
            shared.run
        };
        let tee = Tee {
            shared: Arc::clone(&self.0),
            run,
            position: 0,
            trailers_sent: false,
        };
        Some((tee, self))
    }
}

impl<B> Shared<B> {
    fn keep(&mut self, data: &Bytes) {
        if self.lost {
            return;
        }
        if data.len() > self.room {
            self.lost = true;
            self.kept = Vec::new();
        } else {
            self.room -= data.len();
            self.kept.push(data.clone());
        }
    }
}

impl<B> Body for Tee<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut shared = lock(&this.shared);
        if shared.run != this.run {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(data) = shared.kept.get(this.position) {
            this.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if shared.ended {
            let trailers = shared.trailers.clone().filter(|_| !this.trailers_sent);
            this.trailers_sent = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let polled = Pin::new(&mut shared.source).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    shared.keep(data);
                    this.position = shared.kept.len();
                } else if let Some(trailers) = frame.trailers_ref() {
                    shared.trailers = Some(trailers.clone());
                    shared.ended = true;
                    this.trailers_sent = true;
                }
            }
            Poll::Ready(Some(Err(_))) => shared.lost = true,
            Poll::Ready(None) => shared.ended = true,
            Poll::Pending => {}
        }
        polled.map_err(BodyError::Client)
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        shared.run == self.run
            && self.position >= shared.kept.len()
            && (self.trailers_sent || shared.trailers.is_none())
            && (shared.ended || shared.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.position == 0 {
            lock(&self.shared).length
        } else {
            SizeHint::default()
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    /// A stream that yields its pieces and counts how many were taken.
    #[derive(Debug)]
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
        }
    }

    fn pieces(count: usize) -> Pieces {
        Pieces((0..count).map(|i| Bytes::from(format!("{i:04}"))).collect())
    }

    async fn all(tee: Tee<Pieces>) -> Bytes {
        tee.collect()
            .await
            .expect("the pieces do not fail")
            .to_bytes()
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_replayed_whole() {
        let (first, handle) = Tee::new(pieces(3), 12);
        assert_eq!(all(first).await, "000000010002");
        let (second, _) = handle.replay().expect("it fits");
        assert_eq!(all(second).await, "000000010002");
    }

    #[tokio::test]
    async fn a_body_that_was_read_in_part_is_replayed_from_its_start_and_read_on() {
        let (mut first, handle) = Tee::new(pieces(3), 12);
        first.frame().await.expect("a piece").expect("no error");
        let (second, _) = handle.replay().expect("it fits");
        assert_eq!(all(second).await, "000000010002");
        assert!(matches!(
            first.frame().await,
            Some(Err(BodyError::Superseded))
        ));
    }

    #[tokio::test]
    async fn a_body_past_the_limit_goes_on_but_is_not_replayable() {
        let (first, handle) = Tee::new(pieces(3), 11);
        assert_eq!(all(first).await, "000000010002");
        assert!(handle.replay().is_none());
    }
}
