//! Colour, where it is wanted.

use crate::cli::output::data_in_colour;

/// Escape sequences, empty where colour is not wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paint {
    pub(super) bold: &'static str,
    pub(super) dim: &'static str,
    pub(super) green: &'static str,
    pub(super) red: &'static str,
    pub(super) plain: &'static str,
}

impl Paint {
    pub(super) fn new() -> Self {
        if !data_in_colour() {
            return Self::default();
        }
        Self {
            bold: "\x1b[1m",
            dim: "\x1b[2m",
            green: "\x1b[32m",
            red: "\x1b[31m",
            plain: "\x1b[0m",
        }
    }
}
