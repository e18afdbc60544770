//! The stack as hyper calls it, and what a connection has to know of each answer.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    http2::{Stall, Streams, carry, compact},
    phase::{Busy, Phase},
};
use crate::{
    body::RequestBody,
    clock::now,
    layers::{Connection, Inbound, ReplyBody},
    upstream::ResponseBodyError,
};

/// The stack of one connection.
pub(super) struct Handler<S> {
    /// A request is handed over in one go, and served outside of the lock: it is never waited for.
    stack: Mutex<S>,
    connection: Arc<Connection>,
    phase: Arc<Phase>,
    /// Where requests come at once, each on its stream.
    streams: Option<Streams>,
}

impl<S> Handler<S> {
    pub(super) fn new(stack: S, connection: Connection, phase: Arc<Phase>) -> Self {
        Self {
            stack: Mutex::new(stack),
            connection: Arc::new(connection),
            phase,
            streams: None,
        }
    }

    /// The same for HTTP/2.
    pub(super) fn with_streams(self, streams: Streams) -> Self {
        Self {
            streams: Some(streams),
            ..self
        }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Handler<S>
where
    S: Service<Inbound, Response = Response<ReplyBody>, Error = Infallible>,
{
    type Response = Response<ServedBody>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let opens = self.streams.is_some() && request.method() == Method::CONNECT;
        let opening = opens.then(|| hyper::upgrade::on(&mut request));
        let busy = self.phase.begin();
        let stall = self.streams.as_ref().map(|streams| {
            let stall = Arc::<Stall>::default();
            streams.announce(Arc::clone(&stall));
            stall
        });
        let knows_chunks = request.version() != Version::HTTP_10;
        let inbound = Inbound {
            request: request.map(RequestBody::new),
            connection: Arc::clone(&self.connection),
            received: now(),
            too_many: busy.is_too_many(),
        };
        // The stack is always ready.
        let mut stack = self.stack.lock().unwrap_or_else(PoisonError::into_inner);
        Answering {
            inner: stack.call(inbound),
            knows_chunks,
            busy: Some(busy),
            stall,
            opening,
        }
    }
}

pin_project! {
    /// The future of one answer.
    pub(super) struct Answering<F> {
        #[pin]
        inner: F,
        knows_chunks: bool,
        busy: Option<Busy>,
        stall: Option<Arc<Stall>>,
        // The client's end of the tunnel that this may become, in HTTP/2.
        opening: Option<OnUpgrade>,
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<ReplyBody>, Infallible>>,
{
    type Output = Result<Response<ServedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let mut busy = this.busy.take();
        let tunnel = response.body_mut().take_tunnel();
        let open_ended = !*this.knows_chunks && response.body().size_hint().exact().is_none();
        if let Some(busy) = &mut busy {
            busy.answered();
            if open_ended {
                busy.phase().set_open_ended(true);
            }
        }
        match (tunnel, this.opening.take()) {
            (Some(tunnel), Some(opening)) => {
                if let Some(busy) = busy.take() {
                    carry(opening, tunnel, busy);
                }
            }
            (Some(tunnel), None) => {
                if let Some(busy) = &busy {
                    busy.phase().becomes(tunnel);
                }
            }
            (None, _) => {}
        }
        let stall = this.stall.take();
        if stall.is_some() {
            compact(response.headers_mut());
        }
        Poll::Ready(Ok(response.map(|body| ServedBody {
            body,
            rest: Bytes::new(),
            open_ended,
            busy,
            stall,
        })))
    }
}

/// Tells the connection when the answer is complete: hyper drops the body then.
pub(super) struct ServedBody {
    body: ReplyBody,
    /// What of a long piece is not handed out yet.
    rest: Bytes,
    /// Only the connection's end delimits it.
    open_ended: bool,
    busy: Option<Busy>,
    stall: Option<Arc<Stall>>,
}

impl ServedBody {
    /// A piece of a stream: short, since what was handed out lies with hyper until the client has room for it.
    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = data.split_off(data.len().min(PIECE));
        if let (Some(stall), Some(busy)) = (&self.stall, &self.busy)
            && !self.is_end_stream()
        {
            let phase = busy.phase();
            stall.begin(phase.watch(), phase.timeouts().write);
        }
        Frame::data(data)
    }
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = self.get_mut();
        if let Some(stall) = &this.stall {
            stall.end();
            if !this.rest.is_empty() {
                let rest = std::mem::take(&mut this.rest);
                return Poll::Ready(Some(Ok(this.piece(rest))));
            }
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if this.stall.is_some() {
            return Poll::Ready(frame.map(|frame| {
                frame.map(|frame| match frame.into_data() {
                    Ok(data) => this.piece(data),
                    Err(other) => other,
                })
            }));
        }
        let ended = match &frame {
            None => true,
            Some(Ok(_)) => this.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if this.open_ended
            && ended
            && let Some(busy) = &this.busy
        {
            busy.phase().set_open_ended(false);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer that hyper gets at once, in HTTP/2.
const PIECE: usize = 32 * 1024;
