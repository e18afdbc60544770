//! One thing that is set on a request, its value encoded for its place.

use std::fmt;

use http::{HeaderName, HeaderValue, header};

use super::{
    RenderError, Rendered,
    guard::fold_eq,
    template::{Stopped, Template, TemplateError},
};
use crate::{percent, secret::Secret};

/// One thing that is set on a request.
#[derive(Debug)]
pub struct Injector {
    place: Place,
    template: Template,
    optional: bool,
}

/// Where a value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header field.
    Header(HeaderName),
    /// A query parameter, by its decoded name.
    Query(String),
    /// A cookie.
    Cookie(String),
}

/// Why the file's injector is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectorError {
    /// Not a header's, parameter's or cookie's name.
    #[error("`{0}` is not a name")]
    Name(String),
    /// A header that frames or routes the message, or belongs to one connection.
    #[error("header `{0}` is the proxy's own and can't be injected")]
    Reserved(HeaderName),
    /// The value.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Injector {
    /// Compiles one injector; `known` are the parts that the credential will have, where that is known.
    ///
    /// # Errors
    /// [`InjectorError`] where the name can't be set, or the template does not parse or names an unknown part.
    pub fn new(
        place: Place,
        template: &str,
        known: Option<&[&str]>,
    ) -> Result<Self, InjectorError> {
        place.check()?;
        let template = Template::new(template, known)?;
        Ok(Self {
            place,
            template,
            optional: false,
        })
    }

    /// Whether nothing is set where the credential lacks a part, instead of an error.
    pub fn optional(self, optional: bool) -> Self {
        Self { optional, ..self }
    }

    /// Where the value goes.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The value's template, as it is written in the file.
    pub fn template(&self) -> &str {
        self.template.source()
    }

    /// Whether it sets the same whatever the credential is.
    pub(super) fn is_constant(&self) -> bool {
        self.template.names_nothing()
    }

    pub(super) fn render<'a>(
        &self,
        part: &impl Fn(&str) -> Option<&'a Secret>,
        into: &mut Rendered,
    ) -> Result<(), RenderError> {
        let place = || self.place.clone();
        let value = match self.template.render(part) {
            Ok(value) => value,
            Err(Stopped::MissingPart(_)) if self.optional => return Ok(()),
            Err(Stopped::MissingPart(part)) => {
                return Err(RenderError::MissingPart {
                    place: place(),
                    part,
                });
            }
            Err(Stopped::Failed(source)) => {
                return Err(RenderError::Template {
                    place: place(),
                    source,
                });
            }
        };
        if value.is_empty() {
            return Err(RenderError::Unsendable { place: place() });
        }
        match &self.place {
            Place::Header(name) => {
                let mut value = header_value(&value)
                    .ok_or_else(|| RenderError::Unsendable { place: place() })?;
                value.set_sensitive(true);
                into.headers.push((name.clone(), value));
            }
            Place::Query(name) => {
                if !into.query.is_empty() {
                    into.query.push('&');
                }
                percent::encode(name, &mut into.query);
                into.query.push('=');
                percent::encode(&value, &mut into.query);
            }
            Place::Cookie(name) => {
                if !value.bytes().all(is_cookie_octet) {
                    return Err(RenderError::Unsendable { place: place() });
                }
                if !into.cookies.is_empty() {
                    into.cookies.push_str("; ");
                }
                into.cookies.push_str(name);
                into.cookies.push('=');
                into.cookies.push_str(&value);
            }
        }
        Ok(())
    }
}

impl Place {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(one), Self::Header(two)) => fold_eq(one.as_str(), two.as_str()),
            (Self::Query(one), Self::Query(two)) | (Self::Cookie(one), Self::Cookie(two)) => {
                fold_eq(one, two)
            }
            _ => false,
        }
    }

    fn check(&self) -> Result<(), InjectorError> {
        match self {
            Self::Header(name) => {
                // Folded, as some servers fold: `content_length` is as harmful as the real one.
                let reserved = RESERVED
                    .iter()
                    .any(|other| fold_eq(name.as_str(), other.as_str()));
                if reserved || name.as_str().starts_with("proxy-") {
                    return Err(InjectorError::Reserved(name.clone()));
                }
            }
            Self::Query(name) => {
                if name.is_empty() || name.chars().any(char::is_control) {
                    return Err(InjectorError::Name(name.clone()));
                }
            }
            Self::Cookie(name) => {
                // A cookie's name is a token (RFC 6265 4.1.1), as a header's is.
                if HeaderName::from_bytes(name.as_bytes()).is_err() {
                    return Err(InjectorError::Name(name.clone()));
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Cookie(name) => write!(f, "cookie `{name}`"),
        }
    }
}

/// Visible ASCII with spaces inside: what every server takes (RFC 9110 5.5).
fn header_value(text: &str) -> Option<HeaderValue> {
    let visible = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let trimmed = !text.starts_with(' ') && !text.ends_with(' ');
    (visible && trimmed)
        .then(|| HeaderValue::from_str(text).ok())
        .flatten()
}

/// RFC 6265 4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// Cookies and the query have injectors of their own, which keep what else is there.
const RESERVED: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VIA,
];
