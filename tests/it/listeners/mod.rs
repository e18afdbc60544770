//! Where clients connect: by TLS or by a unix socket, and as whom.

mod balancers;
mod clients;
mod tls;
mod unix;

use crate::support::{Authority, Pair, Upstream, plain};

/// A configuration with one route for everything and one listener that speaks TLS; `more` are further keys of its `tls`.
fn over_tls(pair: &Pair, upstream: &Upstream, more: &str) -> String {
    format!(
        "listen: [{{ address: '127.0.0.1:0', tls: {{ {}{more} }} }}]\n{}",
        pair.yaml(),
        plain(upstream)
    )
}

/// An authority and a certificate of it for `localhost`.
fn localhost(name: &str) -> (Authority, Pair) {
    let authority = Authority::new(name);
    let pair = authority.pair(&["localhost"]);
    (authority, pair)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
