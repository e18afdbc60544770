//! `preset:` a credential written as a name and parameters, replaced by the credentials that the preset describes.
//!
//! All of it happens on the untyped tree, before anything is decoded: a preset can do nothing that a user could not
//! write, and what it leaves wrong is reported like any other part of the file, at the place of the `preset` key.

use super::{
    decode::{Decode, Decoder},
    diagnostic::Diagnostic,
    node::{Entry, Kind, Node},
    scalars::Tree,
    span::Span,
    yaml,
};
use crate::config_struct;

mod definition;
mod fill;
mod parameters;

pub use self::definition::{Definition, Parameter};
use self::{fill::Filler, parameters::Parameters};

/// A preset as it is shipped.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// What users call it.
    pub name: &'static str,
    /// Its definition, in YAML.
    pub text: &'static str,
}

impl Preset {
    /// What it says, with its credentials still as a tree.
    ///
    /// # Errors
    /// What is wrong with it: a fault of ours, found by a test.
    pub fn definition(&self) -> Result<Definition, String> {
        let mut decoder = Decoder::default();
        let definition = yaml::parse(self.text, &mut decoder)
            .and_then(|node| Definition::decode(&node, &mut decoder));
        match definition {
            Some(definition) if !decoder.diagnostics.has_errors() => Ok(definition),
            _ => {
                let all = decoder.diagnostics.iter();
                let all: Vec<&str> = all.map(|found| found.message.as_str()).collect();
                Err(all.join("; "))
            }
        }
    }
}

config_struct! {
    /// A vendor's way to obtain credentials, shipped with the program: `bearerd preset` lists them, and
    /// `bearerd preset NAME` prints one with its parameters.
    pub struct PresetUse = "`preset`", short = "name" {
        /// Its name.
        required name: String,
        /// Its parameters; they may also stand in `with` beside `preset`.
        optional with: Tree,
    }
}

/// The file with every `preset:` replaced; none where there is none, so that nothing is copied for nothing.
pub fn expand(root: &Node, presets: &'static [Preset], decoder: &mut Decoder) -> Option<Node> {
    let Kind::Map(credentials) = &root.get(CREDENTIALS)?.kind else {
        return None;
    };
    if !credentials.iter().any(|entry| site(entry).is_some()) {
        return None;
    }
    let mut out: Vec<Entry> = Vec::with_capacity(credentials.len());
    for entry in credentials {
        let Some(site) = site(entry) else {
            out.push(entry.clone());
            continue;
        };
        match site.expanded(presets, decoder) {
            Some(made) => {
                for new in made {
                    let taken = |other: &Entry| other.key == new.key && new.key != entry.key;
                    if let Some(other) = credentials.iter().find(|other| taken(other)) {
                        let message = format!(
                            "the name `{}` is taken by the preset of `{}`",
                            new.key, entry.key
                        );
                        let error = Diagnostic::error(other.key_span, message);
                        decoder.push(error.related(entry.key_span, "by this one"));
                        continue;
                    }
                    out.push(new);
                }
            }
            // The name stays, so that what refers to it is not called wrong as well.
            None => out.push(Entry {
                value: Node {
                    span: entry.value.span,
                    kind: Kind::Faulty,
                },
                ..entry.clone()
            }),
        }
    }
    let mut root = root.clone();
    if let Kind::Map(entries) = &mut root.kind
        && let Some(entry) = entries.iter_mut().find(|entry| entry.key == CREDENTIALS)
    {
        entry.value.kind = Kind::Map(out);
    }
    Some(root)
}

/// A credential that names a preset.
struct Site<'n> {
    /// The credential's name, with its place.
    entry: &'n Entry,
    settings: &'n [Entry],
    preset: &'n Entry,
}

fn site(entry: &Entry) -> Option<Site<'_>> {
    let Kind::Map(settings) = &entry.value.kind else {
        return None;
    };
    let preset = settings.iter().find(|setting| setting.key == PRESET)?;
    Some(Site {
        entry,
        settings,
        preset,
    })
}

impl Site<'_> {
    /// The credentials that stand in its place, the one of its own name first.
    fn expanded(&self, presets: &'static [Preset], decoder: &mut Decoder) -> Option<Vec<Entry>> {
        decoder.marks.show(self.preset.key_span);
        let written = PresetUse::decode(&self.preset.value, decoder)?;
        let Some(preset) = presets.iter().find(|one| *one.name == *written.name.value) else {
            let message = format!("there is no preset `{}`", written.name.value);
            let names = presets.iter().map(|preset| preset.name);
            decoder.push(
                Diagnostic::error(written.name.span, message).suggest(&written.name.value, names),
            );
            return None;
        };
        let definition = match preset.definition() {
            Ok(definition) => definition,
            Err(why) => {
                let message = format!("the preset `{}` is broken: {why}", preset.name);
                return decoder.fail(written.name.span, message);
            }
        };
        let beside = self.settings.iter().find(|setting| setting.key == WITH);
        if let (Some(beside), Some(inside)) = (beside, &written.with) {
            decoder.push(
                Diagnostic::error(beside.key_span, "parameters are given twice")
                    .related(inside.span, "here, too"),
            );
            return None;
        }
        if let Some(beside) = beside {
            decoder.marks.show(beside.key_span);
        }
        let with = beside
            .map(|entry| &entry.value)
            .or(written.with.as_ref().map(|with| &with.value.0));
        let span = Span {
            start: self.preset.key_span.start,
            end: written.name.span.end.max(self.preset.key_span.end),
        };
        let name = self.entry.key.as_str();
        let parameters = Parameters::read(preset.name, name, &definition, with, span, decoder)?;
        let mut filler = Filler::new(&parameters, span);
        let made = filler.fill(&definition.credentials.value.0);
        for diagnostic in filler.problems {
            decoder.push(diagnostic);
        }
        let Kind::Map(made) = made?.kind else {
            return decoder.fail(span, format!("the preset `{}` makes nothing", preset.name));
        };
        Some(made.into_iter().map(|made| self.named(made)).collect())
    }

    /// `main` gets the user's name and settings, any other one a name below it.
    fn named(&self, made: Entry) -> Entry {
        if made.key != MAIN {
            return Entry {
                key: format!("{}.{}", self.entry.key, made.key),
                key_span: self.entry.key_span,
                value: made.value,
            };
        }
        let mut value = made.value;
        if let Kind::Map(settings) = &mut value.kind {
            let own = |setting: &&Entry| setting.key != PRESET && setting.key != WITH;
            for setting in self.settings.iter().filter(own) {
                settings.retain(|other| other.key != setting.key);
                settings.push(setting.clone());
            }
        }
        Entry {
            key: self.entry.key.clone(),
            key_span: self.entry.key_span,
            value,
        }
    }
}

const CREDENTIALS: &str = "credentials";
const PRESET: &str = "preset";
const WITH: &str = "with";

/// The credential of a definition that gets the user's own name.
const MAIN: &str = "main";

#[cfg(test)]
mod tests;
