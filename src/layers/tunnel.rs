//! A client's request that became a tunnel: counted and logged when that ends.

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{InFlight, access_log::Line};
use crate::{clock::Watch, upstream};

/// The upstream's end of it, and who wants to know of its end. Dropped unused, it counts as aborted.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) upstream: Box<upstream::Tunnel>,
    pub(super) in_flight: Option<(InFlight, StatusCode)>,
    pub(super) line: Option<Line>,
}

impl Tunnel {
    /// Joins it with the client's end, of which `early` has come already; returns when both have ended.
    ///
    /// `watch` must wake the task that this runs in; it keeps the idle deadline.
    pub async fn run<C>(self, client: C, early: Bytes, watch: &Watch)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let carried = self.upstream.join(client, early, watch).await;
        if let Some((in_flight, status)) = self.in_flight {
            in_flight.answered(status);
        }
        if let Some(line) = self.line {
            line.carried(&carried);
        }
    }
}
