//! `bearerd login`: a person logs in for a credential, once; the proxy renews what comes of it.

use std::{
    io::{self, BufRead},
    path::PathBuf,
};

use zeroize::Zeroizing;

use super::{
    file, harden,
    output::{self, Failure},
    run::init_log,
    small_runtime,
    token::find,
};
use crate::{
    compile,
    credentials::{BoxFuture, FailureKind, FetchError, Person},
    secret::Secret,
    telemetry::logs::Format,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The credential's name in the file
    name: String,
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let _log = init_log(Format::Text, "off")?;
    harden::harden();
    let path = file::find(args.config.as_deref());
    let runtime = small_runtime()?;
    let compiled = file::look(&path, &runtime, compile::load_file)?;
    let handle = find(&compiled.credentials, &args.name)?;
    let source = handle.source();
    let Some(login) = source.login() else {
        let name = &args.name;
        return Err(
            Failure::usage(format!("the credential `{name}` needs no person to log in"))
                .hint(format!("`bearerd token {name}` obtains it at once")),
        );
    };
    let brought = runtime.block_on(async {
        let credential = login.login(&mut Terminal).await?;
        handle.keep(&credential).await
    });
    brought.map_err(|error| not_logged_in(&error))?;
    let place = match login.file() {
        Some(file) if compiled.settings.store.is_none() => format!(
            "{}, readable by you alone and not encrypted: give the file a `store` to have it encrypted",
            file.path().display()
        ),
        _ => "the store".to_owned(),
    };
    output::say(format_args!(
        "Logged in. The refresh token is kept in {place}. A proxy that runs takes it up at once."
    ));
    Ok(())
}

/// Whoever sits in front of us: talk goes to stderr, lines come from stdin.
struct Terminal;

impl Person for Terminal {
    fn tell(&mut self, text: &str) {
        output::say(text);
    }

    fn ask<'a>(&'a mut self, question: &'a str) -> BoxFuture<'a, io::Result<Secret>> {
        Box::pin(async move {
            output::say(question);
            let read = tokio::task::spawn_blocking(|| {
                let mut line = Zeroizing::new(String::with_capacity(LONGEST_LINE));
                let limited = io::Read::take(io::stdin().lock(), LONGEST_LINE as u64);
                io::BufReader::new(limited).read_line(&mut line)?;
                if line.trim().is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "stdin has no line",
                    ));
                }
                Ok(Secret::new(line.trim()))
            });
            read.await.map_err(io::Error::other)?
        })
    }
}

fn not_logged_in(error: &FetchError) -> Failure {
    let failure = Failure::failed("not logged in").because(error);
    match (error.kind, error.code()) {
        (_, Some("access_denied")) => failure.hint("the login was declined"),
        (_, Some("expired_token")) => failure.hint("the code has expired: begin again"),
        (FailureKind::Rejected, Some(_)) => {
            failure.hint("check client_id, client_auth, redirect_uri and scope")
        }
        _ => failure,
    }
}

const LONGEST_LINE: usize = 16 * 1024;
