//! Sends one request over a worker's pools.

use std::{
    error::Error as _,
    future::{Future, poll_fn},
    io,
    ops::ControlFlow,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use http::{Request, Response, StatusCode, Version, header};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::sync::oneshot;

use super::{
    Answer, Http2, OutgoingBody, ResponseBody, Scheme, SendError, Upstream,
    allowance::BEFORE_HEAD,
    heard::alert,
    http2::{convert, is_invalid, is_unprocessed, revert, wants_older},
    mux::{Stream, Way},
    outgoing::Progress,
    pool::{Connection, Pool},
    proxy::address,
    response::Held,
    tunnel, websocket,
};
use crate::clock::{Instant, Verdict, Watch, Watchdog};

/// One worker's connections to all upstreams.
#[derive(Clone, Debug)]
pub struct Pools(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    watchdog: Watchdog,
    /// By the upstream's id.
    pools: Mutex<Vec<Option<Arc<Pool>>>>,
}

/// How long each wait of one request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A connection of the pool or a new one, TLS included.
    pub connect: Duration,
    /// From the end of the request's head (or its body, where it is still sent) to the response's head.
    pub response_head: Duration,
    /// Between two pieces of a body, either way.
    pub idle_body: Duration,
    /// Between two pieces of a stream that lives on, either way.
    pub idle_stream: Duration,
}

/// What is agreed for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long each wait may take.
    pub timeouts: Timeouts,
    /// Whether it asks for a WebSocket.
    pub websocket: bool,
    /// Whether it is one of gRPC's, which are made for HTTP/2.
    pub grpc: bool,
    /// When its answer must have ended, where it may not outlive its credential.
    pub until: Option<Instant>,
    /// Whether it needs a new connection: where one has died, the other idle ones may be as dead.
    pub fresh: bool,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response_head: Duration::from_secs(60),
            idle_body: Duration::from_secs(60),
            idle_stream: Duration::from_secs(300),
        }
    }
}

impl Pools {
    /// No connections yet; deadlines are kept by `watchdog`.
    pub fn new(watchdog: Watchdog) -> Self {
        Self(Arc::new(Inner {
            watchdog,
            pools: Mutex::default(),
        }))
    }

    /// The connections to `upstream`.
    pub fn of(&self, upstream: &Arc<Upstream>) -> Arc<Pool> {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if upstream.id() >= pools.len() {
            pools.resize(upstream.id() + 1, None);
        }
        let make = || Arc::new(Pool::new(Arc::clone(upstream), self.0.watchdog.clone()));
        Arc::clone(pools[upstream.id()].get_or_insert_with(make))
    }

    /// Drops connections that ended while idle, and pools of upstreams that no configuration names.
    pub fn sweep(&self) {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in pools.iter_mut() {
            if let Some(pool) = slot {
                pool.sweep();
                if pool.is_orphan() {
                    pool.close_idle();
                    *slot = None;
                }
            }
        }
    }
}

impl Pool {
    /// Sends `request` and returns the response once its head is complete.
    ///
    /// A request that was never written is sent again over another connection, whatever its method; one
    /// that was written is not: that is the caller's decision.
    ///
    /// # Errors
    /// [`SendError`] where no complete head came back.
    pub async fn send(
        self: &Arc<Self>,
        mut request: Box<Request<OutgoingBody>>,
        terms: Terms,
    ) -> Result<Response<Answer>, SendError> {
        if self.upstream().takes_http2(&terms) {
            match Box::pin(self.send_multiplexed(request, &terms)).await? {
                ControlFlow::Break(response) => return Ok(response),
                ControlFlow::Continue(unsent) => request = unsent,
            }
        }
        let timeouts = terms.timeouts;
        // What is encrypted goes through a tunnel.
        let proxy = match self.upstream().tls() {
            None => self.upstream().config().proxy.as_ref(),
            Some(_) => None,
        };
        if let Some(proxy) = proxy {
            address(&mut request, self.upstream(), proxy);
        }
        let progress = request.body().progress();
        if progress.is_some() && request.headers().contains_key(header::EXPECT) {
            wait_for_hundred(&mut request, timeouts.response_head.min(PATIENCE));
        }
        let mut unwritten = 0;
        loop {
            let fresh = terms.fresh || unwritten >= MAX_STALE;
            let mut connection = self.check_out(timeouts.connect, fresh).await?;
            connection.allowance.begin(BEFORE_HEAD);
            begin(&connection.watch, progress.as_ref(), timeouts);
            match connection.sender.try_send_request(*request).await {
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Box::pin(tunnel::open(response, connection, terms)).await;
                }
                Ok(response)
                    if proxy.is_some()
                        && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
                {
                    return Err(SendError::Proxy(Some(response.status().as_u16())));
                }
                Ok(response) => {
                    return Ok(response.map(|incoming| {
                        let held = Held::Connection(connection);
                        Answer::Body(ResponseBody::new(incoming, held, progress, &terms))
                    }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => {
                        *request = unsent;
                        unwritten += 1;
                    }
                    _ => return Err(classify(error.into_error(), &connection)),
                },
            }
        }
    }
}

/// An answer over HTTP/2, or the request unsent: its upstream speaks HTTP/1.1 alone.
type Multiplexed = ControlFlow<Response<Answer>, Box<Request<OutgoingBody>>>;

impl Pool {
    /// As [`Self::send`], as a stream of a connection that others use as well.
    async fn send_multiplexed(
        self: &Arc<Self>,
        mut request: Box<Request<OutgoingBody>>,
        terms: &Terms,
    ) -> Result<Multiplexed, SendError> {
        let progress = request.body().progress();
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
        let accept = key.filter(|_| terms.websocket).map(websocket::accept);
        for _ in 0..=MAX_STALE {
            let Way::Stream(mut stream) = self.stream(terms.timeouts.connect).await? else {
                return Ok(ControlFlow::Continue(request));
            };
            convert(&mut request, self.upstream());
            if terms.websocket {
                if !stream.takes_connect().await {
                    return Err(SendError::Protocol(None));
                }
                websocket::convert(&mut request);
            }
            begin(&stream.watch, progress.as_ref(), terms.timeouts);
            match exchange(&stream, *request).await {
                Some(Ok(response)) if terms.websocket && response.status().is_success() => {
                    stream.answered();
                    let mut response = tunnel::open_stream(response, stream, *terms).await?;
                    websocket::revert(&mut response, accept);
                    return Ok(ControlFlow::Break(response));
                }
                Some(Ok(mut response)) => {
                    stream.answered();
                    // Toward the client it is what its connection speaks.
                    *response.version_mut() = Version::HTTP_11;
                    let held = Held::Stream(stream);
                    return Ok(ControlFlow::Break(response.map(|incoming| {
                        Answer::Body(ResponseBody::new(incoming, held, progress, terms))
                    })));
                }
                None => return Err(SendError::HeadTimeout),
                Some(Err(mut error)) => match error.take_message() {
                    Some(unsent) => {
                        request = Box::new(unsent);
                        revert(&mut request);
                    }
                    None => return Err(classify_stream(error.into_error(), &stream, progress)),
                },
            }
        }
        Err(SendError::ConnectTimeout)
    }
}

/// Sends `request` on `stream`; `None` where its deadline struck. Dropped, it resets the stream.
async fn exchange(
    stream: &Stream,
    request: Request<OutgoingBody>,
) -> Option<Result<Response<Incoming>, TrySendError<Request<OutgoingBody>>>> {
    let mut sent = pin!(stream.sender().try_send_request(request));
    poll_fn(|cx| {
        stream.watch.wakes(cx.waker());
        if stream.watch.verdict() != Verdict::Live {
            return Poll::Ready(None);
        }
        sent.as_mut().poll(cx).map(Some)
    })
    .await
}

fn classify_stream(
    error: hyper::Error,
    stream: &Stream,
    progress: Option<Arc<Progress>>,
) -> SendError {
    if progress.is_some_and(|progress| progress.is_broken()) {
        SendError::ClientBody(error)
    } else if wants_older(&error) {
        stream.fall_back();
        SendError::Unprocessed(error)
    } else if is_unprocessed(&error) {
        SendError::Unprocessed(error)
    } else if let Some(alert) = stream.alert() {
        SendError::Tls(alert)
    } else if is_invalid(&error) || stream.is_flooded() {
        SendError::Protocol(Some(error))
    } else {
        SendError::Reset {
            reused: stream.reused,
            source: error,
        }
    }
}

impl Upstream {
    /// Whether such a request goes by HTTP/2 if the upstream speaks it. A WebSocket does where nothing else will.
    fn takes_http2(&self, terms: &Terms) -> bool {
        self.may_take_http2(terms.grpc)
            && (!terms.websocket || self.config().http2 == Http2::PriorKnowledge)
    }

    /// The same of a request that asks for no WebSocket, but may be one of gRPC's.
    pub fn may_take_http2(&self, grpc: bool) -> bool {
        let config = self.config();
        let offered = config.scheme == Scheme::Https;
        match config.http2 {
            Http2::PriorKnowledge => true,
            Http2::Auto => offered,
            Http2::AsNeeded => offered && grpc,
        }
    }
}

/// Sets the exchange's first bounds; a body that moves sets the next ones.
fn begin(watch: &Watch, progress: Option<&Arc<Progress>>, timeouts: Timeouts) {
    match progress {
        None => watch.within(timeouts.response_head),
        Some(progress) => {
            let longest = timeouts.idle_body.max(timeouts.response_head);
            watch.within(longest);
            progress.attach(watch.share(), timeouts);
        }
    }
}

/// The body waits for the upstream's 100: so a refusal comes before a large upload is spent.
fn wait_for_hundred(request: &mut Request<OutgoingBody>, patience: Duration) {
    let open: oneshot::Sender<()> = request.body_mut().expect_continue(patience);
    let open = Mutex::new(Some(open));
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE
            && let Some(open) = open.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            let _ = open.send(());
        }
    });
}

fn classify(error: hyper::Error, connection: &Connection) -> SendError {
    if connection.watch.verdict() == Verdict::Expired {
        SendError::HeadTimeout
    } else if error.is_user() {
        SendError::ClientBody(error)
    } else if let Some(alert) = told(&error).and_then(alert) {
        SendError::Tls(io::Error::new(io::ErrorKind::InvalidData, alert))
    } else if error.is_parse() || connection.allowance.is_spent() {
        SendError::Protocol(Some(error))
    } else {
        SendError::Reset {
            reused: connection.reused,
            source: error,
        }
    }
}

/// In TLS 1.3 our certificate is judged after the handshake: the word on it comes in the place of an answer.
fn told(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// Connections found closed before a new one is made for certain.
const MAX_STALE: usize = 3;
/// How long an upstream may take to say 100 before the body is sent anyway.
const PATIENCE: Duration = Duration::from_secs(1);
