//! Where a credential goes in a request: header, query parameter or cookie, with a templated value.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::secret::Secret;

/// All that one credential puts on a request.
#[derive(Debug)]
pub struct Injection {}

/// An [`Injection`] with the credential's parts filled in.
#[derive(Debug)]
pub struct Rendered {
    /// Header fields, values marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Query parameters, encoded and joined by `&`; empty for none.
    pub query: String,
    /// Cookies, `name=value` joined by `; `; empty for none.
    pub cookies: String,
}

/// A template asks for a part that the credential does not have, or a value can't be sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(pub String);

impl Injection {
    /// `Authorization: Bearer {{ access_token }}`, the default of the OAuth grants.
    pub fn bearer() -> Self {
        Self {}
    }

    /// Whether this is exactly the default, whose value the credential itself has prebuilt.
    pub fn is_bearer(&self) -> bool {
        true
    }

    /// The names of the headers it sets.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        [].into_iter()
    }

    /// The names of the query parameters it sets.
    pub fn query_names(&self) -> impl Iterator<Item = &str> {
        [].into_iter()
    }

    /// The names of the cookies it sets.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        [].into_iter()
    }

    /// Fills in the parts; the result is kept for the next request with the same lease.
    pub fn render<'a>(
        &self,
        lease_id: u64,
        part: impl Fn(&str) -> Option<&'a Secret>,
    ) -> Result<Arc<Rendered>, RenderError> {
        let _ = (lease_id, part);
        unimplemented!()
    }
}
