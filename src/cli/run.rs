//! `bearerd run`: serves until SIGTERM or SIGINT.

use std::{io::IsTerminal, path::PathBuf, sync::Arc};

use clap::ValueEnum;

use super::{file, harden, inherited, output::Failure, proxy::Proxy, variable};
use crate::{
    app::Origin,
    config::{interpolate::process_env, raw::LogFormat},
    telemetry::{
        access,
        logs::{self, Format, LogGuard},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration
    file: Option<PathBuf>,
    /// How many threads serve clients [default: the file's `workers`, one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// How log lines look [default: the file's `log`, else text on a terminal and JSON elsewhere]
    #[arg(long, value_name = "FORMAT")]
    log: Option<Log>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Log {
    Text,
    Json,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // Before the first thread: it changes the environment.
    let inherited = inherited::take()?;
    let log = start_log(args.log)?;
    // Before the first secret is read.
    harden::harden();
    let path = file::find(args.file.as_deref());
    let workers = args.workers.map(usize::from);
    let proxy = Proxy::start(
        Origin::File(path),
        Arc::new(process_env),
        workers,
        inherited,
    )?;
    let settings = proxy.app().settings();
    if let (None, Some(format)) = (args.log, settings.log.format) {
        log.set_format(match format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        });
    }
    access::set_access(settings.log.access);
    for address in proxy.addresses() {
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    }
    proxy.serve_until_signal()
}

fn start_log(wanted: Option<Log>) -> Result<LogGuard, Failure> {
    let format = match wanted {
        Some(Log::Json) => Format::Json,
        Some(Log::Text) => Format::Text,
        None if std::io::stderr().is_terminal() => Format::Text,
        None => Format::Json,
    };
    init_log(format, "info")
}

/// Starts the log with the filter of `BEARERD_LOG`, else `RUST_LOG`, else `otherwise`.
pub(super) fn init_log(format: Format, otherwise: &str) -> Result<LogGuard, Failure> {
    let filter = variable("BEARERD_LOG").or_else(|| variable("RUST_LOG"));
    logs::init(format, filter.as_deref().unwrap_or(otherwise))
        .map_err(|error| Failure::usage("the log can't be set up").because(&error))
}
