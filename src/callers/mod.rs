//! Who calls: inbound authentication, a closed set.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

/// The callers of the file.
#[derive(Debug, Default)]
pub struct Callers {}

/// Who sent this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody asked (no `callers:` in the file).
    Anonymous,
    /// A caller of the file, by name.
    Named(Arc<str>),
}

/// The request names no caller of the file: 401 `caller_unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no known caller's credential in the request")]
pub struct CallerUnknown;

impl Callers {
    /// Who sent a request with these headers.
    ///
    /// # Errors
    /// [`CallerUnknown`] where the file has callers and none of them is recognised.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, CallerUnknown> {
        let _ = headers;
        Ok(Caller::Anonymous)
    }

    /// The headers that carry callers' credentials: never forwarded on a credentialed route.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        [].into_iter()
    }
}
