//! The listeners for operators: probes and metrics for everybody, routes and credentials for this machine.
//!
//! They run on the control runtime, never share a listener with the proxy, and know view types only.

mod listener;
mod rotate;
mod service;
mod status;
mod views;

pub use listener::{Listener, serve};
pub use rotate::ASKED;
pub use status::{Readiness, Status};
pub use views::{CredentialJson, RouteJson};

/// What a listener shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/livez`, `/readyz`, `/metrics`: for probes and scrapers, whatever Host they name.
    Health,
    /// Those and `/api/...`, for Host names of this machine only.
    Admin,
}

#[cfg(test)]
mod tests;
