//! `bearerd demo`: the proxy at work among stand-ins, on this machine.
//!
//! It runs the project's own `routes.yaml`: the same file that serves production once its variables name
//! the real parties.

mod arrived;
mod asked;
mod key;
mod paint;
mod parties;
mod scenes;
mod services;
mod stand_in;
mod tokens;
mod tour;

use std::{net::SocketAddr, sync::Arc};

use tokio::runtime::Runtime;

use self::parties::Parties;
use super::{
    output::{Failure, data},
    proxy::Proxy,
    run::init_log,
    signals::Signals,
};
use crate::{
    app::Origin,
    config::{interpolate::process_env, raw::ListenAddress},
    downstream::Inherited,
    telemetry::logs::Format,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take the tour and end: exit code 0 only if every request arrived authenticated
    #[arg(long)]
    once: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let _log = init_log(Format::Text, "warn,bearerd::access=off")?;
    let parties_runtime = runtime()?;
    let parties = parties_runtime
        .block_on(Parties::start())
        .map_err(|error| Failure::failed("the stand-ins can't be started").because(&error))?;
    let variables = parties.variables();
    let origin = Origin::Text {
        name: "routes.yaml".into(),
        text: ROUTES.into(),
    };
    let lookup = move |name: &str| variables.get(name).cloned().or_else(|| process_env(name));
    let proxy = Proxy::start(origin, Arc::new(lookup), Some(1), Inherited::default())?;
    let Some(address) = proxy.addresses().first().and_then(ListenAddress::tcp) else {
        return Err(Failure::failed("the demo has no listener"));
    };
    data(introduction(address))?;
    let (stop, control) = proxy.serve_in_background();
    let good = parties_runtime.block_on(tour::take(address, &parties))?;
    if !args.once {
        data(invitation(address))?;
        parties_runtime
            .block_on(async {
                let mut signals = Signals::listen()?;
                signals.next().await;
                Ok(())
            })
            .map_err(|error: std::io::Error| Failure::failed("no signals").because(&error))?;
    }
    // Nothing of a demo is worth waiting for.
    let _ = stop.send(true);
    control.shutdown_background();
    if good {
        Ok(())
    } else {
        Err(Failure::failed("not every request arrived as it should"))
    }
}

/// The stand-ins keep to themselves: what they do costs the proxy nothing.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("stand-in")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("no threads to be had").because(&error))
}

fn introduction(proxy: SocketAddr) -> String {
    format!(
        "Everything here runs on this machine; the file is the project's own routes.yaml.

   client  ------------->  bearerd  ------------->  upstream
   no credential           {proxy:<15}          demands a token
                              |
                              +------------------>  token service
"
    )
}

fn invitation(proxy: SocketAddr) -> String {
    format!(
        "
Try it, without any credential:

   curl -s http://{proxy}/api/orders/7
   curl -s http://{proxy}/symphony/pod/v2/sessioninfo
   curl -s http://{proxy}/symbl/v1/conversations/c1
   curl -s http://{proxy}/aicrisk/api/Risks
   curl -s http://{proxy}/brightpattern/configapi/v2/users
   curl -s http://{proxy}/iceberg/v1/namespaces
   curl -s http://{proxy}/api/orders -d '{{\"item\":\"lamp\"}}'
   curl -s http://{proxy}/nowhere

Ctrl-C ends it.
"
    )
}

const ROUTES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/routes.yaml"));
