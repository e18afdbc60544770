//! The grants: one file each, one line each in the table.

mod client_credentials;
mod fixed;

pub use client_credentials::ClientCredentials;
pub use fixed::Fixed;
