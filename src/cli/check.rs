//! `bearerd check`: everything that is wrong with a file, at once; nothing is started, nobody is called.

use std::path::{Path, PathBuf};

use super::{
    file,
    output::{self, Failure},
    small_runtime,
};
use crate::{
    compile::{self, Compiled, Context, LoadError},
    config::interpolate::process_env,
    credentials::Credentials,
    telemetry::metrics::Metrics,
    upstream::Upstreams,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to check
    file: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = file::find(args.file.as_deref());
    let compiled = look(&path).map_err(|error| file::refused(&error))?;
    file::show(&compiled.report);
    let warnings = compiled.report.diagnostics.iter().count();
    let routes = compiled.snapshot.table.len();
    output::data(format_args!(
        "{} is good: {}, {}\n",
        path.display(),
        count(routes, "route"),
        count(warnings, "warning"),
    ))
}

/// Compiles a file without starting anything that it configures.
fn look(path: &Path) -> Result<Compiled, LoadError> {
    let runtime = small_runtime().map_err(|source| LoadError::Read {
        path: path.into(),
        source,
    })?;
    let context = Context {
        env: &process_env,
        credentials: &Credentials::new(runtime.handle().clone()),
        upstreams: &Upstreams::default(),
        metrics: &Metrics::new(),
        generation: 1,
        prewarm: false,
    };
    compile::load_file(path, &context)
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
