//! Host names: one parsed, canonical value that is checked, routed by and compared.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A Host field or the authority of an absolute-form target, canonical: lower case, without the root's
/// dot, IPv6 in its shortest spelling and in brackets.
///
/// Parsing what `to_string` gives yields the same value, and a canonical text is borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    host: Cow<'a, str>,
    port: Option<u16>,
}

/// Why a text is not an authority that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityRefused {
    /// No host at all.
    #[error("the host is empty")]
    Empty,
    /// A byte that no host name has: a comma, a space, `@`, `%`, a control or a byte beyond ASCII.
    #[error("the host has a byte that no host name has")]
    Byte,
    /// An empty or overlong label, or a name over 253 bytes.
    #[error("the host is not a well-formed name")]
    Name,
    /// Brackets around anything but an IPv6 address.
    #[error("the brackets hold no IPv6 address")]
    Brackets,
    /// Not a number from 1 to 65535 in its shortest spelling.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl<'a> Authority<'a> {
    /// Parses `host`, `host:port`, `[v6]` or `[v6]:port`. User information is refused (RFC 9110 4.2.4).
    ///
    /// # Errors
    /// [`AuthorityRefused`] for anything else.
    pub fn parse(text: &'a [u8]) -> Result<Self, AuthorityRefused> {
        let text = std::str::from_utf8(text).map_err(|_| AuthorityRefused::Byte)?;
        if text.starts_with('[') {
            let (host, port) = text.split_at(text.find(']').ok_or(AuthorityRefused::Brackets)? + 1);
            let host = ipv6(host)?;
            let port = match port.strip_prefix(':') {
                Some(digits) => Some(parse_port(digits)?),
                None if port.is_empty() => None,
                None => return Err(AuthorityRefused::Byte),
            };
            return Ok(Self { host, port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, digits)) => (host, Some(parse_port(digits)?)),
            None => (text, None),
        };
        let host = name(host)?;
        Ok(Self { host, port })
    }

    /// The host, canonical, without the port; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The address, where the host is an IP literal (`127.1` and the like are names).
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[') {
            Some(rest) => {
                let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
                Some(IpAddr::V6(address))
            }
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// The same value, free of the text it was parsed from.
    pub fn into_owned(self) -> Authority<'static> {
        Authority {
            host: Cow::Owned(self.host.into_owned()),
            port: self.port,
        }
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Which hosts a route answers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host, and requests without one.
    #[default]
    Any,
    /// This one, canonical.
    Exact(Box<str>),
    /// Every name below this suffix, which begins with a dot: `.example.com`.
    Wildcard(Box<str>),
}

/// Why a text of the file is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Not a host name.
    #[error(transparent)]
    Host(#[from] AuthorityRefused),
    /// Routes are told apart by host, not by port.
    #[error("a host pattern has no port")]
    Port,
    /// A `*` anywhere but as the whole first label of a name.
    #[error("`*` stands for the first labels of a name: `*.example.com`")]
    Star,
}

impl HostPattern {
    /// Parses `example.com`, `*.example.com`, an IP literal, or `*` for every host.
    ///
    /// # Errors
    /// [`HostPatternError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(HostPatternError::Star);
        }
        let authority = Authority::parse(name.as_bytes())?;
        if authority.port().is_some() {
            return Err(HostPatternError::Port);
        }
        if !below {
            return Ok(Self::Exact(authority.host().into()));
        }
        if authority.ip().is_some() {
            return Err(HostPatternError::Star);
        }
        Ok(Self::Wildcard(format!(".{}", authority.host()).into()))
    }

    /// Whether a request for `host` (canonical, without port) is meant. `*.example.com` stands for one or
    /// more labels, as in the Gateway API; it does not match `example.com`.
    pub fn matches(&self, host: Option<&str>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exact(name), Some(host)) => **name == *host,
            (Self::Wildcard(suffix), Some(host)) => {
                host.len() > suffix.len() && host.ends_with(&**suffix)
            }
            (_, None) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

fn ipv6(bracketed: &str) -> Result<Cow<'_, str>, AuthorityRefused> {
    let inner = &bracketed[1..bracketed.len() - 1];
    // No zone identifiers: they mean something on one machine only, and `%` invites decoding.
    let address: Ipv6Addr = inner.parse().map_err(|_| AuthorityRefused::Brackets)?;
    let canonical = format!("[{address}]");
    Ok(if canonical == bracketed {
        Cow::Borrowed(bracketed)
    } else {
        Cow::Owned(canonical)
    })
}

fn name(text: &str) -> Result<Cow<'_, str>, AuthorityRefused> {
    if text.is_empty() {
        return Err(AuthorityRefused::Empty);
    }
    let mut upper = false;
    let mut label = 0;
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'A'..=b'Z' => {
                upper = true;
                label += 1;
            }
            b'.' if label == 0 => return Err(AuthorityRefused::Name),
            b'.' => label = 0,
            _ => return Err(AuthorityRefused::Byte),
        }
        if label > MAX_LABEL {
            return Err(AuthorityRefused::Name);
        }
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > MAX_NAME {
        return Err(AuthorityRefused::Name);
    }
    Ok(if upper {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    })
}

fn parse_port(digits: &str) -> Result<u16, AuthorityRefused> {
    // `parse` alone would take `+80` and `080`.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    match digits.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(AuthorityRefused::Port),
    }
}

/// RFC 1035 2.3.4.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests;
