//! The command line: one file per command, each turned into an exit code here.
//!
//! 0 is success, 1 a command that did not succeed, 2 a wrong command line or configuration. Stdout is
//! data, stderr is talk.

mod check;
mod demo;
mod doctor;
mod explain;
mod file;
mod harden;
mod http;
mod inherited;
mod login;
mod notify;
mod operator;
mod output;
mod preset;
mod proxy;
mod rotate;
mod run;
mod schema;
mod signals;
mod status;
mod token;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use output::Failure;
use tokio::runtime::{Builder, Runtime};

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Preset(args) => preset::run(&args),
        Command::Login(args) => login::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Rotate(args) => rotate::run(&args),
        Command::Schema => schema::run(),
        Command::Demo(args) => demo::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// An authenticating reverse proxy: plain requests in, requests with the right upstream token out.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; SIGHUP or a changed file reloads
    Run(run::Args),
    /// Report everything that is wrong with a file, at once
    Check(check::Args),
    /// Say which route a request takes and why, and what would be sent; offline
    Explain(explain::Args),
    /// Obtain one credential and describe it
    Token(token::Args),
    /// Obtain every credential once and say what is found: lives, scopes, clocks, and what to change
    Doctor(doctor::Args),
    /// List the presets, or print one with its parameters
    Preset(preset::Args),
    /// Log in as a person for one credential; the result is kept in the file's `store`, or beside the file
    Login(login::Args),
    /// Ask a running proxy for its credentials: states, lives, uses; through the admin listener
    Status(status::Args),
    /// Have a running proxy renew one credential now; through the admin listener
    Rotate(rotate::Args),
    /// Print the JSON Schema of the file, for completion in editors
    Schema,
    /// Show it at work, with stand-ins for everything else, on this machine
    Demo(demo::Args),
}

/// A variable of the program itself; the file's own are read by `config`.
#[expect(
    clippy::disallowed_methods,
    reason = "the command line may read the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A runtime for a command that needs one thread only.
fn small_runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("no runtime to be had").because(&error))
}

const AFTER_HELP: &str = "\
FILE is routes.yaml in the current folder, or what BEARERD_CONFIG names.
BEARERD_LOG (else RUST_LOG) filters the log: info, warn, bearerd=trace.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
