//! What the file adds to a token request, and what it may not.

use std::time::Duration;

use http::{
    HeaderName, HeaderValue,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST,
        TRANSFER_ENCODING,
    },
};

use super::super::ClientAuth;
use crate::secret::Secret;

/// What a token call carries beside the grant's own parameters.
#[derive(Clone, Debug)]
pub struct Extras {
    /// `scope`, as one text.
    pub scope: Option<String>,
    /// `audience`, once for each.
    pub audiences: Vec<String>,
    /// `resource` (RFC 8707), once for each.
    pub resources: Vec<String>,
    /// More form parameters.
    pub params: Vec<(String, Secret)>,
    /// More header fields; values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// More parameters of the URL's query.
    pub query: Vec<(String, Secret)>,
    /// The life of a token that comes without one.
    pub default_expires_in: Duration,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            scope: None,
            audiences: Vec::new(),
            resources: Vec::new(),
            params: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            default_expires_in: Duration::from_secs(3600),
        }
    }
}

/// Settings that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenCallError {
    /// A parameter that the grant or the client authentication sends already.
    #[error("parameter `{0}` is sent already; a parameter may stand in a token request only once")]
    Parameter(String),
    /// A field that frames the request, or would be a second client authentication.
    #[error("header `{0}` of a token request can't be set")]
    Header(HeaderName),
}

impl Extras {
    /// Checks that nothing is sent twice (RFC 6749 2.3, 3.2).
    pub(super) fn check(&self, auth: &ClientAuth) -> Result<(), TokenCallError> {
        let taken = |name: &str| {
            RESERVED.contains(&name)
                || name == "scope" && self.scope.is_some()
                || name == "audience" && !self.audiences.is_empty()
                || name == "resource" && !self.resources.is_empty()
        };
        for (at, (name, _)) in self.params.iter().enumerate() {
            let repeated = self.params[..at].iter().any(|(earlier, _)| earlier == name);
            if repeated || taken(name) {
                return Err(TokenCallError::Parameter(name.clone()));
            }
        }
        for (name, _) in &self.headers {
            if FRAMING.contains(name) || *name == AUTHORIZATION && auth.uses_header() {
                return Err(TokenCallError::Header(name.clone()));
            }
        }
        Ok(())
    }
}

const RESERVED: [&str; 5] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

const FRAMING: [HeaderName; 6] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    TRANSFER_ENCODING,
    ACCEPT_ENCODING,
];
