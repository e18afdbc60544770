//! The life of a credential: obtained once for everybody, renewed ahead of its end, never sent when expired.
//!
//! Three parts know three things: a [`Source`] (`grants/`) one protocol, the cache (`cache`, `life`, `refresher`,
//! `flight`) time and sharing, the caller HTTP. `life` decides and is pure; `refresher` does what it says.

mod cache;
mod error;
mod fingerprint;
mod flight;
mod lease;
mod life;
mod pace;
mod refresher;
mod refusals;
mod registry;
mod source;
mod view;

pub use error::{CredentialError, CredentialErrorKind, FailureKind, FetchError, Retry};
pub use fingerprint::{Fingerprint, FingerprintBuilder};
pub use lease::Lease;
pub use registry::{CacheSettings, CredentialHandle, Credentials, Obtained, Rejection, obtain};
pub use source::{BoxFuture, Credential, Source, Subject};
pub use view::{Counters, CredentialView, FetchView, SlotState};
