//! `bearerd preset`: the presets of this version, or one of them in full.

use clap::Args as ClapArgs;

use super::output::{Failure, data};
use crate::credentials::presets::{self, PRESETS};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Which one to print; without it, all are listed
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some(name) = &args.name else {
        return list();
    };
    match presets::find(name) {
        Some(preset) => data(preset.text),
        None => {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            let there_are = format!("there are `{}`", names.join("`, `"));
            Err(Failure::usage(format!("there is no preset `{name}`")).hint(there_are))
        }
    }
}

fn list() -> Result<(), Failure> {
    let width = PRESETS.iter().map(|preset| preset.name.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for preset in PRESETS {
        let about = preset
            .definition()
            .map(|definition| definition.about.value)
            .map_err(Failure::failed)?;
        text.push_str(&format!("{:width$}  {about}\n", preset.name));
    }
    data(text)
}
