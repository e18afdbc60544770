//! Who calls: inbound authentication, a closed set.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

mod api_key;
pub mod placeholder;

pub use api_key::{ApiKey, KeyHash, KeyHashError};
pub use placeholder::{PlaceholderRefused, Placeholders};

/// The callers of the file.
#[derive(Debug, Default)]
pub struct Callers {
    keys: Vec<ApiKey>,
    /// Each header once, whatever the number of callers that use it.
    headers: Vec<HeaderName>,
}

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
    /// Those who may use the proxy; with none, everybody who reaches the listener.
    pub fn new(keys: Vec<ApiKey>) -> Self {
        let mut headers: Vec<HeaderName> = Vec::new();
        for key in &keys {
            if !headers.contains(&key.header) {
                headers.push(key.header.clone());
            }
        }
        Self { keys, headers }
    }

    /// Whether the file has callers at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Who sent a request with these headers.
    ///
    /// # Errors
    /// [`CallerUnknown`] where the file has callers and none of them is recognised, a header comes twice, or
    /// two headers name two callers.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, CallerUnknown> {
        if self.keys.is_empty() {
            return Ok(Caller::Anonymous);
        }
        let mut found: Option<&ApiKey> = None;
        for name in &self.headers {
            let mut values = headers.get_all(name).iter();
            let Some(value) = values.next() else { continue };
            if values.next().is_some() {
                return Err(CallerUnknown);
            }
            let Some(presented) = api_key::presented(name, value) else {
                continue;
            };
            let known = api_key::find(
                self.keys.iter().filter(|key| key.header == *name),
                presented,
            );
            match (found, known) {
                (Some(one), Some(other)) if one.name != other.name => return Err(CallerUnknown),
                (None, known) => found = known,
                _ => {}
            }
        }
        found
            .map(|key| Caller::Named(Arc::clone(&key.name)))
            .ok_or(CallerUnknown)
    }

    /// The headers that carry callers' credentials: never forwarded on a credentialed route.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter()
    }
}

#[cfg(test)]
mod tests;
