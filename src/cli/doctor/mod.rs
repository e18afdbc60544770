//! `bearerd doctor`: obtains each credential once, live, and says what a person needs to know of it.

mod advice;
mod examine;
mod jwt;
mod report;
mod tell;

use std::path::PathBuf;

use super::{
    file, harden,
    output::{self, Failure},
    run::init_log,
    small_runtime,
};
use crate::{compile, credentials::Subject, telemetry::logs::Format};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One credential of the file, with those that it builds on [default: all]
    name: Option<String>,
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The user for whom credentials are obtained of which every user has another
    #[arg(long, value_name = "USER")]
    subject: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let _log = init_log(Format::Text, "off")?;
    harden::harden();
    let path = file::find(args.config.as_deref());
    let subject = match &args.subject {
        None => Subject::Own,
        Some(name) => Subject::user(name.as_str())
            .map_err(|error| Failure::usage("no such user").because(&error))?,
    };
    let runtime = small_runtime()?;
    let compiled = file::look(&path, &runtime, compile::load_file)?;
    file::show(&compiled.report);
    let handles = examine::chosen(&compiled.credentials, args.name.as_deref())?;
    let report = runtime.block_on(examine::all(&handles, &subject));
    if args.json {
        let json = serde_json::to_string_pretty(&report).unwrap_or_default();
        output::data(json + "\n")?;
    } else {
        output::data(tell::text(&report))?;
    }
    match report.failed() {
        0 => Ok(()),
        failed => {
            let all = report.credentials.len();
            let message = format!("credentials not obtained: {failed} of {all}");
            Err(Failure::failed(message))
        }
    }
}

#[cfg(test)]
mod tests;
