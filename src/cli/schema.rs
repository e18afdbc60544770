//! `bearerd schema`: the JSON Schema of the file, from the tables that decode it.

use super::output::{Failure, data};
use crate::{config::reference, credentials::grants::KINDS};

pub(super) fn run() -> Result<(), Failure> {
    let schema = reference::schema(KINDS);
    data(format_args!("{schema:#}\n"))
}
