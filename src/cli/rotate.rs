//! `bearerd rotate`: a running proxy renews one credential now.

use std::path::PathBuf;

use http::{Method, StatusCode};

use super::{
    operator,
    output::{self, Failure},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The credential's name in the file
    name: String,
    /// The configuration of the proxy that runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let name = &args.name;
    let path = format!("/api/credentials/{name}/rotate");
    let answer = operator::ask(args.config.as_deref(), Method::POST, &path)?;
    match answer.status {
        StatusCode::OK => {
            output::say(format_args!("`{name}` is renewed."));
            Ok(())
        }
        StatusCode::NOT_FOUND => Err(Failure::usage(format!(
            "the proxy that runs has no credential `{name}`"
        ))
        .hint("`bearerd status` lists those that it has")),
        status => Err(Failure::failed(format!(
            "`{name}` is not renewed: {}",
            why(&answer.body, status)
        ))
        .hint(format!(
            "what was there before still serves; `bearerd doctor {name}` says more"
        ))),
    }
}

fn why(body: &[u8], status: StatusCode) -> String {
    let answer: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let outcome = answer.as_ref().and_then(|it| it["outcome"].as_str());
    outcome.map_or_else(
        || format!("it answers {}", status.as_u16()),
        ToOwned::to_owned,
    )
}
