//! For vendors whose server calls the redirect URI itself: a listener on loopback, open while a step waits for it.
//!
//! An address has one listener, whoever waits there; a call is handed to the run whose `state` it brings, once.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CACHE_CONTROL};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinSet,
    time::timeout,
};
use zeroize::Zeroizing;

use crate::credentials::{
    FailureKind, FetchError,
    endpoint::{Answer, Landing},
};

/// One call that a step waits for; the listener closes with the last of them.
pub(super) struct Awaited {
    address: SocketAddr,
    state: String,
    to: Landing,
    wait: Duration,
    query: oneshot::Receiver<Zeroizing<String>>,
}

/// A listener, as long as somebody waits at it.
struct Door {
    /// By `state`.
    waiting: BTreeMap<String, Waiting>,
    /// Somebody has left.
    left: Arc<Notify>,
}

struct Waiting {
    path: String,
    hand: oneshot::Sender<Zeroizing<String>>,
}

/// The doors of this process: two recipes, and two generations of one, may share an address.
static DOORS: Mutex<BTreeMap<SocketAddr, Door>> = Mutex::new(BTreeMap::new());

impl Awaited {
    /// Waits from now on for a call of `to` with this state.
    ///
    /// # Errors
    /// [`FetchError`] where the address can't be listened on.
    pub(super) fn new(
        address: SocketAddr,
        to: Landing,
        state: &str,
        wait: Duration,
    ) -> Result<Self, FetchError> {
        let path = Request::get(&to.place)
            .body(())
            .map(|request| request.uri().path().to_owned())
            .map_err(|_| FetchError::malformed("`redirect.to` is no URL of a web server"))?;
        let (hand, query) = oneshot::channel();
        let mut doors = doors();
        let door = match doors.entry(address) {
            Entry::Occupied(door) => door.into_mut(),
            Entry::Vacant(place) => {
                let opened = Opened::new(address).map_err(|error| {
                    let detail = format!("can't listen on {address} for the redirect: {error}");
                    FetchError::transient(FailureKind::Internal, detail)
                })?;
                let left = Arc::new(Notify::new());
                tokio::spawn(opened.keep(Arc::clone(&left)));
                place.insert(Door {
                    waiting: BTreeMap::new(),
                    left,
                })
            }
        };
        door.waiting
            .insert(state.to_owned(), Waiting { path, hand });
        drop(doors);
        Ok(Self {
            address,
            state: state.to_owned(),
            to,
            wait,
            query,
        })
    }

    /// Puts the call in the place of a redirect, unless the answer has one.
    ///
    /// # Errors
    /// [`FetchError`] where nobody has come in time.
    pub(super) async fn complete(mut self, answer: &mut Answer) -> Result<(), FetchError> {
        let come = match self.query.try_recv() {
            Ok(query) => Some(query),
            Err(_) if answer.landing.is_some() => return Ok(()),
            Err(_) => {
                let come = timeout(self.wait, &mut self.query).await;
                come.ok().and_then(Result::ok)
            }
        };
        let Some(query) = come else {
            let detail = "nobody has called the redirect URI in time";
            return Err(FetchError::transient(FailureKind::Timeout, detail));
        };
        answer.landing = Some(Landing {
            place: self.to.place.clone(),
            query,
        });
        Ok(())
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(door) = doors().get_mut(&self.address) {
            door.waiting.remove(&self.state);
            door.left.notify_one();
        }
    }
}

/// The socket of a door. Both go at the same time, so that the next one can be opened at once.
struct Opened {
    address: SocketAddr,
    listener: Option<TcpListener>,
}

impl Opened {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let listener = Some(TcpListener::from_std(socket)?);
        Ok(Self { address, listener })
    }

    /// Lets in whoever calls, until nobody waits any more.
    async fn keep(mut self, left: Arc<Notify>) {
        let address = self.address;
        let mut calls = JoinSet::new();
        while let Some(listener) = &self.listener {
            tokio::select! {
                () = left.notified() => self.close(false),
                Some(_) = calls.join_next() => {}
                accepted = listener.accept(), if calls.len() < MOST_CALLS => match accepted {
                    Ok((stream, _)) => {
                        calls.spawn(timeout(LONGEST_CALL, answer(stream, address)));
                    }
                    // No descriptor is free, as it may be again soon.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
    }

    fn close(&mut self, anyway: bool) {
        let mut doors = doors();
        let door = doors.get(&self.address);
        if self.listener.is_some() && (anyway || door.is_none_or(|door| door.waiting.is_empty())) {
            doors.remove(&self.address);
            self.listener = None;
        }
    }
}

/// Also when the runtime goes away under it.
impl Drop for Opened {
    fn drop(&mut self) {
        self.close(true);
    }
}

/// Answers one request, and then hands on what it brought.
async fn answer(stream: TcpStream, address: SocketAddr) {
    let come = Mutex::new(None);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let taken = take(&request, address);
        let status = match taken {
            Some(_) => StatusCode::OK,
            None => StatusCode::NOT_FOUND,
        };
        if taken.is_some() {
            *come.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        }
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = status;
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A caller that does not wait for its answer has called all the same.
    drop(served);
    let come = come.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((hand, query)) = come {
        let _ = hand.send(query);
    }
}

/// Takes the run that this request is for out of those that wait.
fn take<B>(
    request: &Request<B>,
    address: SocketAddr,
) -> Option<(oneshot::Sender<Zeroizing<String>>, Zeroizing<String>)> {
    let query = request.uri().query().unwrap_or_default();
    let mut states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
    let (Some((_, state)), None) = (states.next(), states.next()) else {
        return None;
    };
    let mut doors = doors();
    let waiting = &mut doors.get_mut(&address)?.waiting;
    let known = waiting.get(&*state)?;
    if request.method() != Method::GET || request.uri().path() != known.path {
        return None;
    }
    let known = waiting.remove(&*state)?;
    Some((known.hand, Zeroizing::new(query.to_owned())))
}

fn doors() -> MutexGuard<'static, BTreeMap<SocketAddr, Door>> {
    DOORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls that are answered at the same time; more wait to be accepted.
const MOST_CALLS: usize = 16;
const LONGEST_CALL: Duration = Duration::from_secs(2);
/// The least that hyper takes.
const LONGEST_HEAD: usize = 8 * 1024;
const PAUSE: Duration = Duration::from_millis(50);
