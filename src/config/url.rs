//! Absolute http and https URLs, kept as they are sent: no normalisation of the path.

use std::fmt;

use super::{
    decode::{Decode, Decoder},
    diagnostic::Diagnostic,
    node::Node,
    table::Type,
};

/// `http://host:port/path?query`, with neither userinfo nor fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// Whether the scheme is `https`.
    pub https: bool,
    /// Host name in lower case, or IP literal (IPv6 without brackets).
    pub host: String,
    /// Port, where it is written.
    pub port: Option<u16>,
    /// Path as written; `/` where there is none.
    pub path: String,
    /// Whether nothing at all follows the authority, not even a slash.
    pub bare: bool,
    /// What follows the `?`, where there is one; may hold a secret.
    pub query: Option<String>,
}

impl HttpUrl {
    /// The port, or the scheme's own.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// `host` or `host:port` as in a Host field: without the scheme's own port, IPv6 in brackets.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match self.port {
            Some(port) if port != if self.https { 443 } else { 80 } => format!("{host}:{port}"),
            _ => host,
        }
    }

    /// Scheme, authority and path, without the query: fit for logs.
    pub fn without_query(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// The whole URL, query included: for the wire.
    pub fn full(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.without_query()),
            None => self.without_query(),
        }
    }

    /// As an issuer names itself: with a slash at the end only where it is written.
    pub fn as_issuer(&self) -> String {
        let full = self.full();
        if self.bare {
            full.trim_end_matches('/').to_owned()
        } else {
            full
        }
    }

    /// Whether what is sent to it stays on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Reads `text`.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it; neither quotes the text.
    pub fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        let (scheme, rest) = text.split_once("://").ok_or((
            "this is no absolute URL",
            "write it with its scheme, as in `https://api.example.com/v2/`",
        ))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => {
                return Err((
                    "the scheme of this URL is neither `https` nor `http`",
                    "write `https://...`",
                ));
            }
        };
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err((
                "this URL has a space or a character outside ASCII",
                "percent-encode it; write a host name in its `xn--` form",
            ));
        }
        if text.contains('#') {
            return Err((
                "this URL has a fragment",
                "remove the `#` and what follows; it is never sent",
            ));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err((
                "this URL holds a user name or password",
                "remove what stands before the `@`; put secrets into a credential",
            ));
        }
        let (host, port) = split_authority(authority).ok_or((
            "the host or port of this URL is not usable",
            "write a host name or IP address (IPv6 in brackets), and a port from 1 to 65535 where needed",
        ))?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let bare = target.is_empty();
        let path = if path.is_empty() { "/" } else { path };
        if !path_is_plain(path) {
            return Err((
                "the path of this URL is not usable",
                "write it without `.` and `..` segments, `\\`, and with percent signs only before two hex digits",
            ));
        }
        Ok(Self {
            https,
            host,
            port,
            path: path.to_owned(),
            bare,
            query,
        })
    }
}

/// Shows no query: it may hold a secret.
impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_query())
    }
}

impl Decode for HttpUrl {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "a URL")?.text;
        match Self::parse(text) {
            Ok(url) => Some(url),
            Err((message, hint)) => {
                decoder.push(Diagnostic::error(node.span, message).hint(hint));
                None
            }
        }
    }

    fn ty() -> Type {
        Type::Scalar("URL", None)
    }
}

/// Whether what is sent to this host stays on this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Whether `text` is a host name, as far as its characters and lengths go.
pub fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// Host in lower case without brackets, and the port, where there is one.
pub(super) fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if after.is_empty() {
            None
        } else {
            Some(after.strip_prefix(':')?)
        };
        (host, port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        // What ends in a number is an IPv4 address, and then a whole one (no `127.1`).
        let last = host
            .trim_end_matches('.')
            .rsplit('.')
            .next()
            .unwrap_or_default();
        let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
        if !is_host_name(host) || numeric && host.parse::<std::net::Ipv4Addr>().is_err() {
            return None;
        }
        (host, port)
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port: &u16| *port > 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    Some((host.to_ascii_lowercase(), port))
}

fn path_is_plain(path: &str) -> bool {
    let decoded = |segment: &str| segment.to_ascii_lowercase().replace("%2e", ".");
    let escapes_whole = path
        .split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    escapes_whole
        && !path.contains('\\')
        && path
            .split('/')
            .all(|segment| !matches!(decoded(segment).as_str(), "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_sent() {
        let url = HttpUrl::parse("HTTPS://API.Example.com:8443/v2/%7Eme/?a=b").unwrap();
        assert_eq!(url.full(), "https://api.example.com:8443/v2/%7Eme/?a=b");
        assert_eq!(format!("{url:?}"), "https://api.example.com:8443/v2/%7Eme/");
        assert_eq!(
            HttpUrl::parse("http://[::1]:80").unwrap().full(),
            "http://[::1]/"
        );
        assert!(
            HttpUrl::parse("http://[::ffff:127.0.0.1]/")
                .unwrap()
                .is_loopback()
        );
        assert!(HttpUrl::parse("http://LOCALHOST/").unwrap().is_loopback());
        assert!(
            !HttpUrl::parse("http://localhost.example.com/")
                .unwrap()
                .is_loopback()
        );
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for bad in [
            "/x",
            "api.example.com",
            "ftp://x/",
            "https://",
            "https:///x",
            "https://u:p@h/",
            "https://h/#f",
            "https://h:0/",
            "https://h:99999/",
            "https://h:+80/",
            "https://h/a b",
            "https://h/../x",
            "https://h/%2e%2E/",
            "https://h/%zz",
            "https://h/\\x",
            "https://[::1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://é/",
            "https://a..b/",
            "https://h:/",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
