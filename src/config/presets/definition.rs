//! What a preset's YAML holds.

use crate::{
    config::scalars::{Named, OneOrList, Tree},
    config_struct,
};

config_struct! {
    /// A preset: its parameters, and the credentials that it makes of them.
    pub struct Definition = "a preset" {
        /// Its name.
        required preset: String,
        /// What it is for, in one sentence.
        required about: String,
        /// What users may or must give.
        optional parameters: Named<Parameter>,
        /// The credentials that it makes: `main` gets the name that the user chose, any other `NAME.suffix`.
        required credentials: Tree,
    }
}

config_struct! {
    /// A parameter. One without `default`, `optional` and `required_unless` must be given.
    pub struct Parameter = "a parameter" {
        /// What it is, in one sentence.
        required about: String,
        /// What it is where nobody says; may hold parameters above it, and then needs one of them.
        optional default: Tree,
        /// Whether it may be left out.
        default("false") optional: bool,
        /// It may be left out where one of these is given.
        optional required_unless: OneOrList<String>,
        /// What it can't stand beside: a parameter by `name`, or by `"name: word"` one with that word.
        optional not_with: OneOrList<String>,
        /// It says nothing unless one of these is given.
        optional only_with: OneOrList<String>,
        /// The words that it may be.
        optional one_of: OneOrList<String>,
        /// Texts of examples that it may not hold.
        optional refuse: OneOrList<String>,
        /// Whether it is a secret: a literal one is warned about.
        default("false") secret: bool,
    }
}
