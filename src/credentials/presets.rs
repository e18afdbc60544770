//! The presets: vendors' ways to obtain credentials, one YAML file each, one line each in [`PRESETS`].
//!
//! `config::presets` replaces them by the credentials that they describe before anything is decoded.

use super::grants::{Grant, GrantConfig};
use crate::config::{
    Decoder, Node,
    presets::{Preset, PresetUse},
    table::Variant,
};

/// Every preset of this version, by name.
pub static PRESETS: &[Preset] = &[
    preset("aicrisk", include_str!("presets/aicrisk.yaml")),
    preset(
        "azure_certificate",
        include_str!("presets/azure_certificate.yaml"),
    ),
    preset("brightpattern", include_str!("presets/brightpattern.yaml")),
    preset("csrf_login", include_str!("presets/csrf_login.yaml")),
    preset("github_app", include_str!("presets/github_app.yaml")),
    preset(
        "google_service_account",
        include_str!("presets/google_service_account.yaml"),
    ),
    preset("iceberg", include_str!("presets/iceberg.yaml")),
    preset("nested_json", include_str!("presets/nested_json.yaml")),
    preset("symbl", include_str!("presets/symbl.yaml")),
    preset("symphony", include_str!("presets/symphony.yaml")),
    preset(
        "symphony_extension_app",
        include_str!("presets/symphony_extension_app.yaml"),
    ),
    preset(
        "symphony_oauth",
        include_str!("presets/symphony_oauth.yaml"),
    ),
];

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// The kind's place in the reference and the schema; where the file is compiled, no `preset` is left.
pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: "preset",
        table: || PresetUse::TABLE,
    },
    decode: unexpanded,
};

fn unexpanded(node: &Node, decoder: &mut Decoder) -> Option<Box<dyn GrantConfig>> {
    decoder.fail(node.span, "a preset can't stand here")
}

const fn preset(name: &'static str, text: &'static str) -> Preset {
    Preset { name, text }
}

#[cfg(test)]
mod tests;
