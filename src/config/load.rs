//! From the text of a file to its raw types, and back to a person with what was found.

use std::path::PathBuf;

use super::{
    Decode, Decoder, Diagnostics, SourceMap, Sp,
    interpolate::{self, Env},
    mask::Mask,
    node::Node,
    presets::{self, Preset},
    raw::RawFile,
    reference,
    table::Variant,
    yaml,
};

/// A file that was read as far as it can be.
#[derive(Debug)]
pub struct Loaded {
    /// What it says; none where that can't even be begun.
    pub file: Option<Sp<RawFile>>,
    /// What was found so far; goes on gathering.
    pub decoder: Decoder,
    /// The file's text.
    pub source: SourceMap,
    /// The file's folder: relative paths in it start here.
    pub folder: PathBuf,
    root: Option<Node>,
}

/// What was found in a file, with what it takes to show it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings.
    pub diagnostics: Diagnostics,
    /// The file, masked.
    pub source: SourceMap,
}

/// Reads `text`, which messages call `name`; `kinds` are the grants that can be had, `presets` what stands for them.
pub fn load(
    name: &str,
    text: &str,
    env: Env<'_>,
    kinds: &'static [Variant],
    presets: &'static [Preset],
) -> Loaded {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut decoder = Decoder {
        kinds,
        ..Decoder::default()
    };
    let mut root = yaml::parse(text, &mut decoder);
    if let Some(root) = &mut root {
        interpolate::expand(root, env, &mut decoder);
    }
    let expanded = root
        .as_ref()
        .and_then(|root| presets::expand(root, presets, &mut decoder));
    // Excerpts show what was written, so `root` stays as it is.
    let file = expanded
        .as_ref()
        .or(root.as_ref())
        .and_then(|root| RawFile::decode(root, &mut decoder).map(|file| Sp::new(file, root.span)));
    let folder = std::path::Path::new(name)
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    Loaded {
        file,
        decoder,
        source: SourceMap::new(name, text),
        folder,
        root,
    }
}

impl Loaded {
    /// All that was found, ready to be shown.
    pub fn into_report(self) -> Report {
        let Self {
            decoder,
            mut source,
            root,
            ..
        } = self;
        // A mask of ten thousand routes takes its time, and nobody looks at it where nothing was found.
        if !decoder.diagnostics.is_empty() {
            source.set_mask(match &root {
                Some(root) => Mask::of_tree(root, &decoder.marks, source.text()),
                None => Mask::of_broken(reference::key_names(decoder.kinds)),
            });
        }
        Report {
            diagnostics: decoder.diagnostics,
            source,
        }
    }
}

impl Report {
    /// Whether the file must not be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.has_errors()
    }

    /// For a person, with colour only where `colour` says so.
    pub fn render(&self, colour: bool) -> String {
        self.source.render(&self.diagnostics, colour)
    }
}
