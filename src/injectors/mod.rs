//! Where a credential goes in a request: header, query parameter or cookie, with a templated value.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::secret::Secret;

mod guard;
mod injector;
mod template;

pub use guard::{Guarded, fold_eq};
pub use injector::{Injector, InjectorError, Place};
pub use template::{Template, TemplateError};

/// All that one credential puts on a request.
#[derive(Debug)]
pub struct Injection {
    injectors: Vec<Injector>,
    is_prebuilt: bool,
    /// What the latest leases were rendered to, each at a place of its own: one, or many of them.
    latest: Box<[ArcSwapOption<Latest>]>,
}

/// An [`Injection`] with the credential's parts filled in.
#[derive(Default)]
pub struct Rendered {
    /// Header fields, values marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Query parameters, encoded and joined by `&`; empty for none.
    pub query: String,
    /// Cookies, `name=value` joined by `; `; empty for none.
    pub cookies: String,
}

/// Two injectors set the same thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} is injected twice")]
pub struct InjectedTwice {
    /// What is set twice.
    pub place: Place,
    /// Index of the injector that set it first.
    pub first: usize,
    /// Index of the one that set it again.
    pub second: usize,
}

/// A value can't be made of this credential, or can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template asks for a part that the credential does not have.
    #[error("{place}: the credential has no part `{part}`")]
    MissingPart {
        /// What was to be set.
        place: Place,
        /// The part.
        part: Box<str>,
    },
    /// The value has bytes that its place can't hold, or is empty.
    #[error("{place}: the value can't be sent there")]
    Unsendable {
        /// What was to be set.
        place: Place,
    },
    /// The template stopped.
    #[error("{place}: {source}")]
    Template {
        /// What was to be set.
        place: Place,
        /// Why.
        source: TemplateError,
    },
}

impl Injection {
    /// `Authorization: Bearer {{ access_token }}`, the default of the OAuth grants.
    pub fn bearer() -> Self {
        Self::prebuilt(BEARER)
    }

    /// `Authorization: DPoP {{ access_token }}`, the default where tokens are bound to a key (RFC 9449 7.1).
    pub fn dpop() -> Self {
        Self::prebuilt(DPOP)
    }

    fn prebuilt(value: &'static str) -> Self {
        let place = Place::Header(header::AUTHORIZATION);
        let injector = Injector::new(place, value, None).expect("a valid template");
        Self {
            is_prebuilt: true,
            ..Self::new(vec![injector]).expect("one alone")
        }
    }

    /// Sets all that `injectors` set.
    ///
    /// # Errors
    /// [`InjectedTwice`], names compared folded.
    pub fn new(injectors: Vec<Injector>) -> Result<Self, InjectedTwice> {
        for (second, injector) in injectors.iter().enumerate() {
            let same = |other: &Injector| other.place().is_same(injector.place());
            if let Some(first) = injectors[..second].iter().position(same) {
                let place = injector.place().clone();
                return Err(InjectedTwice {
                    place,
                    first,
                    second,
                });
            }
        }
        let is_prebuilt = match &injectors[..] {
            [one] => {
                *one.place() == Place::Header(header::AUTHORIZATION) && one.template() == BEARER
            }
            _ => false,
        };
        Ok(Self {
            injectors,
            is_prebuilt,
            latest: Box::new([ArcSwapOption::empty()]),
        })
    }

    /// The same, for a route whose requests carry many leases in turn.
    #[must_use]
    pub fn for_many(self) -> Self {
        Self {
            latest: (0..MANY).map(|_| ArcSwapOption::empty()).collect(),
            ..self
        }
    }

    /// Whether this is exactly the default, whose value the credential itself has prebuilt.
    pub fn is_prebuilt(&self) -> bool {
        self.is_prebuilt
    }

    /// What is injected, in the order of the file.
    pub fn injectors(&self) -> &[Injector] {
        &self.injectors
    }

    /// The names of the headers it sets.
    pub fn header_names(&self) -> impl Iterator<Item = &HeaderName> {
        self.injectors
            .iter()
            .filter_map(|injector| match injector.place() {
                Place::Header(name) => Some(name),
                Place::Query(_) | Place::Cookie(_) => None,
            })
    }

    /// The names of the query parameters it sets.
    pub fn query_names(&self) -> impl Iterator<Item = &str> {
        self.injectors
            .iter()
            .filter_map(|injector| match injector.place() {
                Place::Query(name) => Some(&**name),
                Place::Header(_) | Place::Cookie(_) => None,
            })
    }

    /// The names of the cookies it sets.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        self.injectors
            .iter()
            .filter_map(|injector| match injector.place() {
                Place::Cookie(name) => Some(&**name),
                Place::Header(_) | Place::Query(_) => None,
            })
    }

    /// Whether a request with these headers of its own needs nothing of the credential, where its own are kept.
    pub fn is_complete_with(&self, own: &HeaderMap) -> bool {
        self.header_names().any(|name| own.contains_key(name))
            && self
                .injectors
                .iter()
                .all(|injector| match injector.place() {
                    Place::Header(name) if own.contains_key(name) => true,
                    _ => injector.is_constant(),
                })
    }

    /// What is set whatever the credential is.
    ///
    /// # Errors
    /// [`RenderError`] where a value can't be sent.
    pub fn constants(&self) -> Result<Arc<Rendered>, RenderError> {
        let mut rendered = Rendered::default();
        for injector in self.injectors.iter().filter(|it| it.is_constant()) {
            injector.render(&|_| None, &mut rendered)?;
        }
        Ok(Arc::new(rendered))
    }

    /// Fills in the parts; the result is kept for the next request with the same lease.
    ///
    /// # Errors
    /// [`RenderError`] where a part is missing or a value can't be sent; nothing is kept then.
    pub fn render<'a>(
        &self,
        lease_id: u64,
        part: impl Fn(&str) -> Option<&'a Secret>,
    ) -> Result<Arc<Rendered>, RenderError> {
        // Ids count up, so those of leases that live at the same time rarely meet.
        let place = &self.latest[lease_id as usize % self.latest.len()];
        if let Some(latest) = &*place.load()
            && latest.lease_id == lease_id
        {
            return Ok(Arc::clone(&latest.rendered));
        }
        let mut rendered = Rendered::default();
        for injector in &self.injectors {
            injector.render(&part, &mut rendered)?;
        }
        let rendered = Arc::new(rendered);
        place.store(Some(Arc::new(Latest {
            lease_id,
            rendered: Arc::clone(&rendered),
        })));
        Ok(rendered)
    }
}

#[derive(Debug)]
struct Latest {
    lease_id: u64,
    rendered: Arc<Rendered>,
}

/// Names only: the values are secrets.
impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Rendered")
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

impl Drop for Rendered {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.query);
        zeroize::Zeroize::zeroize(&mut self.cookies);
    }
}

/// Rendered values that a route for many keeps.
const MANY: usize = 1024;

const BEARER: &str = "Bearer {{ access_token }}";
const DPOP: &str = "DPoP {{ access_token }}";

#[cfg(test)]
mod tests;
