//! What tests of the whole proxy share: the proxy itself in this process, and everyone it talks to, on
//! loopback and by a script. Clients and servers are threads that write and read bytes: nothing between a
//! test and the wire tidies them up.

mod canary;
mod client;
pub mod h2;
mod http2;
mod process;
mod proxy;
mod relay;
mod tls;
mod tokens;
mod upstream;
mod wire;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

pub use self::{
    canary::{SECRET, check, logged_lines, token},
    client::{Answer, Client},
    h2::H2,
    http2::{Call, Ends, Http2Upstream},
    process::{Process, bearerd},
    proxy::{TestProxy, text_of},
    relay::Relay,
    tls::{Authority, Pair},
    tokens::{TokenAnswer, TokenEndpoint},
    upstream::{Exchange, Upstream},
    wire::{End, Message},
};

/// Nothing in a test takes longer, unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Asks `what` until it is true.
#[track_caller]
pub fn until(wanted: &str, mut what: impl FnMut() -> bool) {
    let rounds = PATIENCE.as_millis() / 2;
    for _ in 0..rounds {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("in {PATIENCE:?} it did not come to this: {wanted}");
}

/// An address of this machine that refuses connections.
pub fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Holds a script until the test says go.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everyone through from now on.
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open; a test that failed does not leave it waiting for ever.
    pub fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        let _ = self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open);
    }
}

/// A configuration with one route for everything, without a credential.
pub fn plain(upstream: &Upstream) -> String {
    format!(
        "routes:\n  - {{ name: all, match: /, upstream: 'http://{}/' }}\n",
        upstream.address()
    )
}

/// A configuration with one route for everything that carries the credential `main`; `more` are further
/// keys of the route, each on a line of its own.
pub fn with_credential(tokens: &TokenEndpoint, upstream: &Upstream, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "{}routes:\n  - name: all\n    match: /\n    upstream: http://{}/\n    credential: main\n{more}",
        credentials(tokens),
        upstream.address()
    )
}

/// The credential `main`, from `tokens`.
pub fn credentials(tokens: &TokenEndpoint) -> String {
    format!(
        "credentials:\n  main:\n    client_credentials:\n      token_url: http://{}/token\n      \
         client_id: tester\n      client_secret: {{ env: SECRET }}\n      timeout: 2s\n",
        tokens.address()
    )
}
