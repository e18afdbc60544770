//! One connection to a Redis, and what is done while there is none: nothing waits for it.
//!
//! An answer that does not come within its deadline ends the connection. From then on every question fails at once,
//! while a task of its own tries to connect again: so what Redis costs when it is slow or gone is paid once.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    task::AbortHandle,
};
use tokio_rustls::TlsConnector;

use crate::{
    config::RedisUrl,
    credentials::{EndpointError, endpoint::trusting, store::StoreError},
    secret::Secret,
};

/// Where a Redis is, and who we are there.
#[derive(Clone, Debug)]
pub struct RedisServer {
    /// The address; who we are comes from the others.
    pub url: RedisUrl,
    /// The ACL user; Redis's default one where there is none.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The only authorities to trust, as PEM; the platform's where there is none.
    pub ca: Option<Vec<u8>>,
}

/// The way to a Redis.
pub(super) struct Link(Arc<Inner>);

struct Inner {
    server: RedisServer,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    state: Mutex<State>,
    /// Held while the first connection is made.
    joining: tokio::sync::Mutex<()>,
    /// Questions at once: those that wait for their turn do not count it against the deadline.
    turns: Semaphore,
}

#[derive(Clone)]
enum State {
    /// Nobody has asked yet.
    New,
    Open(Arc<Open>),
    /// A task tries to connect again; until it has, this is the answer to everything.
    Gone(StoreError),
}

struct Open {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// [`EndpointError`] where the authorities or the host's name are of no use for TLS.
    pub(super) fn new(server: RedisServer) -> Result<Self, EndpointError> {
        let tls = match server.url.tls {
            false => None,
            true => {
                let config = trusting(server.ca.as_deref())?.with_no_client_auth();
                let name = ServerName::try_from(server.url.host.clone())
                    .map_err(|_| EndpointError::ServerName)?;
                Some((Arc::new(config), name))
            }
        };
        Ok(Self(Arc::new(Inner {
            server,
            tls,
            state: Mutex::new(State::New),
            joining: tokio::sync::Mutex::default(),
            turns: Semaphore::new(TURNS),
        })))
    }

    /// The answer to `command`.
    ///
    /// # Errors
    /// [`StoreError`] where it did not come in time, or is a refusal; then it is not known whether it was done.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let turn = self.0.turns.acquire().await;
        let open = self.open().await?;
        let mut connection = open.connection.clone();
        let asked = tokio::time::timeout(DEADLINE, command.query_async(&mut connection)).await;
        drop(turn);
        let why = match asked {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => shown(&error),
            Err(_) => format!("no answer within {DEADLINE:?}"),
        };
        Err(self.0.lose(&open, &why))
    }

    async fn open(&self) -> Result<Arc<Open>, StoreError> {
        let known = |state: State| match state {
            State::New => None,
            State::Open(open) => Some(Ok(open)),
            State::Gone(error) => Some(Err(error)),
        };
        if let Some(known) = known(self.0.state().clone()) {
            return known;
        }
        let _first = self.0.joining.lock().await;
        if let Some(known) = known(self.0.state().clone()) {
            return known;
        }
        let joined = self.0.connect().await;
        let mut state = self.0.state();
        match joined {
            Ok(open) => {
                *state = State::Open(Arc::clone(&open));
                Ok(open)
            }
            Err(error) => {
                *state = State::Gone(error.clone());
                tokio::spawn(rejoin(Arc::downgrade(&self.0)));
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.0.server.url).finish()
    }
}

impl Inner {
    /// Ends a connection, unless another has taken its place.
    fn lose(self: &Arc<Self>, lost: &Arc<Open>, why: &str) -> StoreError {
        let error = self.error(why);
        let mut state = self.state();
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(open, lost)) {
            *state = State::Gone(error.clone());
            tokio::spawn(rejoin(Arc::downgrade(self)));
        }
        error
    }

    async fn connect(&self) -> Result<Arc<Open>, StoreError> {
        match tokio::time::timeout(CONNECT, self.dial()).await {
            Ok(dialled) => dialled.map(Arc::new).map_err(|why| self.error(&why)),
            Err(_) => Err(self.error(&format!("no connection within {CONNECT:?}"))),
        }
    }

    async fn dial(&self) -> Result<Open, String> {
        let url = &self.server.url;
        let stream = TcpStream::connect((&*url.host, url.port))
            .await
            .map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => self.greet(stream).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let secured = connector.connect(name.clone(), stream).await;
                self.greet(secured.map_err(|error| error.to_string())?)
                    .await
            }
        }
    }

    async fn greet<S>(&self, stream: S) -> Result<Open, String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let server = &self.server;
        let mut info = RedisConnectionInfo::default()
            .set_db(server.url.database.into())
            .set_skip_set_lib_name();
        if let Some(username) = &server.username {
            info = info.set_username(username);
        }
        if let Some(password) = &server.password {
            info = info.set_password(password.expose());
        }
        // The deadlines are ours.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config)
                .await
                .map_err(|error| shown(&error))?;
        let open = Open {
            driver: tokio::spawn(driver).abort_handle(),
            connection: connection.clone(),
        };
        // One that is still loading takes connections already.
        let ready: Result<String, _> = ::redis::cmd("PING").query_async(&mut connection).await;
        ready.map_err(|error| shown(&error))?;
        Ok(open)
    }

    fn error(&self, why: &str) -> StoreError {
        StoreError::new(format!("{}: {why}", self.server.url))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects again, with growing pauses, for as long as the store is there.
async fn rejoin(inner: Weak<Inner>) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let joined = inner.connect().await;
        let mut state = inner.state();
        match joined {
            Ok(open) => {
                *state = State::Open(open);
                return;
            }
            Err(error) => *state = State::Gone(error),
        }
    }
}

/// What a server says is not repeated, but for its code: it may quote what it was sent.
fn shown(error: &RedisError) -> String {
    match error.code() {
        Some(code @ ("MOVED" | "ASK" | "CLUSTERDOWN")) => {
            format!("it is a cluster, which is not spoken here ({code})")
        }
        Some(code) if code.len() <= 20 && code.bytes().all(|b| b.is_ascii_uppercase()) => {
            format!("it refuses with {code}")
        }
        Some(_) => "it refuses".to_owned(),
        None => error.category().to_owned(),
    }
}

/// For the answer to one question.
const DEADLINE: Duration = Duration::from_millis(50);

/// For a connection, with TLS and login.
const CONNECT: Duration = Duration::from_millis(500);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

const TURNS: usize = 32;

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{GOOD, ask, server_of},
        *,
    };

    #[tokio::test]
    async fn a_question_that_fails_late_ends_no_connection_but_its_own() {
        let (link, _) = server_of(|_| GOOD).await;
        let lost = link.open().await.unwrap();
        link.0.lose(&lost, "no answer");
        assert!(ask(&link).await.is_err());
        for _ in 0..1000 {
            if matches!(&*link.0.state(), State::Open(_)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        link.0.lose(&lost, "no answer to another");
        assert_eq!(ask(&link).await.as_deref(), Ok("hello"));
    }
}
