//! A stream that has become a tunnel (RFC 8441): joined with its upstream in a task of its own.

use std::{future::poll_fn, task::Poll};

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::{
    layers::Tunnel,
    server::phase::{Busy, FAREWELL},
};

/// Joins `tunnel` with the client's end of it once that is `opening`; the request is under way until both have ended.
pub(in crate::server) fn carry(opening: OnUpgrade, tunnel: Tunnel, busy: Busy) {
    tokio::spawn(async move {
        let watch = busy.phase().watch().sibling();
        poll_fn(|cx| {
            watch.wakes(cx.waker());
            Poll::Ready(())
        })
        .await;
        // It is there as soon as hyper has handed out the head, or never.
        if let Ok(Ok(client)) = tokio::time::timeout(FAREWELL, opening).await {
            tunnel.run(TokioIo::new(client), Bytes::new(), &watch).await;
        }
        drop(busy);
    });
}
