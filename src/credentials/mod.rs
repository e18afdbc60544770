//! The life of a credential: obtained once for everybody, renewed ahead of its end, never sent when expired.
//!
//! Three parts know three things: a [`Source`] (`grants/`) one protocol, the cache (`cache`, `life`, `refresher`,
//! `flight`) time and sharing, the caller HTTP. `life` decides and is pure; `refresher` does what it says.

mod cache;
mod calls;
mod client_auth;
mod discovery;
mod dpop;
mod endpoint;
mod error;
mod fingerprint;
mod flight;
mod form;
pub mod grants;
mod handle;
mod jose;
mod lease;
mod life;
mod linked;
mod login;
mod pace;
pub mod presets;
mod process;
pub mod recipe;
mod refresher;
mod refusals;
mod registry;
mod renewal;
mod revocation;
pub(crate) mod rfc3339;
mod rotation;
mod source;
mod sources;
mod store;
mod subject;
mod subjects;
mod sync;
mod tls_version;
mod token_call;
mod token_json;
mod token_response;
mod token_words;
mod view;
mod watched;

pub use calls::{Asked, Call};
pub use client_auth::{Assertion, Audience, Client, ClientAuth};
pub use discovery::Discovery;
pub use dpop::{Bound, DPOP, DPOP_NONCE, Nonce, ProofAlgorithm, ProofKey};
pub use endpoint::{ClientIdentity, Endpoint, EndpointError, EndpointSettings};
pub use error::{CredentialError, CredentialErrorKind, FailureKind, FetchError, Refused, Retry};
pub use fingerprint::{Fingerprint, FingerprintBuilder};
pub use handle::{CredentialHandle, Rejection};
pub use jose::{Algorithm, KeyError, SignError, SigningKey, random_id};
pub use lease::Lease;
pub use linked::Linked;
pub use login::{Login, LoginFile, Person};
pub use registry::{CacheSettings, Credentials, Obtained, obtain};
pub use rotation::Rotation;
pub use source::{BoxFuture, Credential, Fetch, PartName, Refreshing, Source};
pub use store::{AnyStore, FileStore, Keyring, KeyringError, RedisServer, RedisStore};
pub use subject::{Subject, SubjectError, SubjectToken, SubjectTokens, TokensFrom};
pub use token_call::{Ask, Extras, Revocation, Target, Token, TokenCall, TokenCallError};
pub use token_response::{TokenResponse, read as read_token_response};
pub use view::{
    Account, Counters, CredentialView, EndpointView, FetchView, SlotState, SubjectsView,
    SuccessorView, Verifications,
};
pub use watched::Watched;

#[cfg(test)]
mod tests;
