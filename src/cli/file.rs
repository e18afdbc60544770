//! The configuration file of a command: which one it is, and what is said when it is wrong.

use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;

use super::{
    output::{self, Failure},
    variable,
};
use crate::{
    callers::KeySets,
    compile::{Compiled, Context, LoadError},
    config::{Report, interpolate::process_env},
    credentials::Credentials,
    downstream::TlsServers,
    telemetry::metrics::Metrics,
    upstream::Upstreams,
};

/// The file that is meant: the one given, else `BEARERD_CONFIG`, else `routes.yaml` here.
pub(super) fn find(given: Option<&Path>) -> PathBuf {
    given.map_or_else(
        || {
            variable("BEARERD_CONFIG")
                .unwrap_or_else(|| "routes.yaml".into())
                .into()
        },
        Path::to_owned,
    )
}

/// Compiles a file for a command that serves nobody: nothing is fetched ahead, nothing is counted.
pub(super) fn look(
    path: &Path,
    runtime: &Runtime,
    load: fn(&Path, &Context<'_>) -> Result<Compiled, LoadError>,
) -> Result<Compiled, Failure> {
    let context = Context {
        env: &process_env,
        credentials: &Credentials::new(runtime.handle().clone()),
        upstreams: &Upstreams::default(),
        tls: &TlsServers::default(),
        key_sets: &KeySets::new(runtime.handle().clone()),
        metrics: &Metrics::new(),
        generation: 1,
        prewarm: false,
        inherited: None,
    };
    load(path, &context).map_err(|error| refused(&error))
}

/// Shows warnings, or errors with their places, on stderr.
pub(super) fn show(report: &Report) {
    let text = report.render(output::talk_in_colour());
    if !text.trim().is_empty() {
        output::say(text.trim_end());
        output::say("");
    }
}

/// Shows what is wrong with a file and turns it into a failure.
pub(super) fn refused(error: &LoadError) -> Failure {
    match error {
        LoadError::Read { path, source } => {
            Failure::usage(format!("{} can't be read", path.display()))
                .because(source)
                .hint("name another file on the command line or in BEARERD_CONFIG")
        }
        LoadError::Invalid { report } => {
            show(report);
            let count = report.diagnostics.errors();
            let errors = if count == 1 { "error" } else { "errors" };
            Failure::usage(format!("{} has {count} {errors}", report.source.name()))
        }
    }
}
