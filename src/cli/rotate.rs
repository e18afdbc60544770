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
            let of_users =
                users(&answer.body).map_or(String::new(), |users| format!(" for {users}"));
            output::say(format_args!("`{name}` is renewed{of_users}."));
            Ok(())
        }
        StatusCode::NOT_FOUND => Err(Failure::usage(format!(
            "the proxy that runs has no credential `{name}`"
        ))
        .hint("`bearerd status` lists those that it has")),
        status => Err(Failure::failed(match users(&answer.body) {
            Some(users) => format!(
                "`{name}` is renewed for {users}: {}",
                why(&answer.body, status)
            ),
            None => format!("`{name}` is not renewed: {}", why(&answer.body, status)),
        })
        .hint(format!(
            "what was there before still serves; `bearerd doctor {name}` says more"
        ))),
    }
}

/// For how many users, where each has a token of its own.
fn users(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let count = |key: &str| answer["users"][key].as_u64();
    let (renewed, failed, left) = (count("renewed")?, count("failed")?, count("left")?);
    Some(match (failed, left) {
        (0, 0) => format!("{renewed} users"),
        (_, 0) => format!("{renewed} users, and {failed} keep their tokens"),
        _ => format!("{renewed} users, {failed} keep their tokens, and {left} were not reached"),
    })
}

fn why(body: &[u8], status: StatusCode) -> String {
    let answer: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let outcome = answer.as_ref().and_then(|it| it["outcome"].as_str());
    outcome.map_or_else(
        || format!("it answers {}", status.as_u16()),
        ToOwned::to_owned,
    )
}
