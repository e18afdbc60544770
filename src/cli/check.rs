//! `bearerd check`: everything that is wrong with a file, at once; nothing is started, nobody is called.

use std::path::PathBuf;

use super::{
    file,
    output::{self, Failure},
    small_runtime,
};
use crate::compile;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to check
    file: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = file::find(args.file.as_deref());
    let compiled = file::look(&path, &small_runtime()?, compile::load_file)?;
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

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
