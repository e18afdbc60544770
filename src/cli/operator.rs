//! Asks the admin listener of a running proxy.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use super::{
    file,
    http::{Answer, send},
    output::Failure,
    small_runtime,
};
use crate::{admin::ASKED, compile};

/// Asks the proxy that runs with this file.
pub(super) fn ask(config: Option<&Path>, method: Method, path: &str) -> Result<Answer, Failure> {
    let file = file::find(config);
    let runtime = small_runtime()?;
    let compiled = file::look(&file, &runtime, compile::load_file_without_secrets)?;
    let Some(address) = compiled.settings.admin else {
        let message = format!("{} has no `admin` listener to ask", file.display());
        return Err(Failure::usage(message).hint("give it one: `admin: 127.0.0.1:9901`"));
    };
    let request = Request::builder().method(method).uri(path);
    let request = request.header(ASKED, "1").body(Full::<Bytes>::default());
    let asking = async { send(address, request.map_err(io::Error::other)?, PATIENCE).await };
    runtime.block_on(asking).map_err(|error| {
        Failure::failed(format!("no proxy answers at {address}"))
            .because(&error)
            .hint(format!("does `bearerd run {}` run?", file.display()))
    })
}

/// Beyond what the listener itself takes.
const PATIENCE: Duration = Duration::from_secs(40);
