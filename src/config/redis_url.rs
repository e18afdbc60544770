//! `redis://user:password@host:port/database`, and `rediss://` for TLS.

use std::fmt;

use super::{
    decode::{Decode, Decoder},
    diagnostic::Diagnostic,
    node::Node,
    table::Type,
    url::{is_loopback, split_authority},
};
use crate::{percent, secret::Secret};

/// Where a Redis is, and perhaps who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Whether it is `rediss`.
    pub tls: bool,
    /// Host name in lower case, or IP literal (IPv6 without brackets).
    pub host: String,
    /// The port; 6379 where none is written.
    pub port: u16,
    /// The number of the database; 0 where none is written.
    pub database: u32,
    /// The user, where one is written.
    pub username: Option<String>,
    /// The password, where one is written.
    pub password: Option<Secret>,
}

impl RedisUrl {
    /// Whether what is sent to it stays on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Reads `text`.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it; neither quotes the text.
    pub fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        const SHAPE: &str = "write it as `redis://host:6379/0`, or `rediss://` for TLS";
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(("this is no URL of a Redis", SHAPE))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(("the scheme of this URL is no Redis's", SHAPE)),
        };
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['?', '#']) {
            return Err(("this URL has more than user, host and database", SHAPE));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = split_authority(place).ok_or((
            "the host or port of this URL is not usable",
            "write a host name or IP address (IPv6 in brackets), and a port from 1 to 65535 where needed",
        ))?;
        let database = match path {
            "" => 0,
            digits => digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())
                .flatten()
                .ok_or((
                    "after the host of this URL comes no number of a database",
                    SHAPE,
                ))?,
        };
        let (username, password) = user.map_or((None, None), |user| {
            user.split_once(':')
                .map_or((Some(user), None), |(name, password)| {
                    (Some(name), Some(password))
                })
        });
        let word = |text: Option<&str>| match text.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => decoded(text).map(Some).ok_or((
                "the user or password of this URL is not UTF-8",
                "percent-encode it, or write `username` and `password` beside the URL",
            )),
        };
        Ok(Self {
            tls,
            host,
            port: port.unwrap_or(6379),
            database,
            username: word(username)?,
            password: word(password)?.map(Secret::new),
        })
    }
}

fn decoded(text: &str) -> Option<String> {
    match percent::decode(text.as_bytes()) {
        Some(bytes) => String::from_utf8(bytes).ok(),
        None => Some(text.to_owned()),
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        let Self {
            host,
            port,
            database,
            ..
        } = self;
        write!(f, "{scheme}://{open}{host}{close}:{port}/{database}")
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Decode for RedisUrl {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let scalar = decoder.hidden_scalar(node, "the URL of a Redis")?;
        // What stands before an `@` may be a password, however wrong the rest is.
        if scalar.text.contains(['@', '?']) {
            decoder.marks.hide(node.span);
        } else {
            decoder.marks.show(node.span);
        }
        let url = match Self::parse(&scalar.text) {
            Ok(url) => url,
            Err((message, hint)) => {
                decoder.push(Diagnostic::error(node.span, message).hint(hint));
                return None;
            }
        };
        if url.password.is_some() && !scalar.filled {
            let warning =
                Diagnostic::warning(node.span, "this URL holds a password in the file itself");
            decoder.push(warning.hint("write `password: { env: NAME }` beside it"));
        }
        Some(url)
    }

    fn ty() -> Type {
        Type::Scalar("URL of a Redis", None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_it_is_and_who_we_are() {
        let url = RedisUrl::parse("rediss://me:p%40ss@Cache.Example.com:6380/2").unwrap();
        assert_eq!(url.to_string(), "rediss://cache.example.com:6380/2");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(url.username.as_deref(), Some("me"));
        assert_eq!(url.password, Some(Secret::new("p@ss")));
        let url = RedisUrl::parse("redis://:only@[::1]").unwrap();
        assert_eq!(url.to_string(), "redis://[::1]:6379/0");
        assert_eq!(
            (url.username, url.password),
            (None, Some(Secret::new("only")))
        );
    }

    #[test]
    fn refuses_what_it_would_not_heed() {
        for bad in [
            "127.0.0.1:6379",
            "http://h/",
            "unix:///run/redis.sock",
            "redis:///0",
            "redis://h/cache",
            "redis://h/0?protocol=resp3",
            "redis://h/-1",
            "redis://h:0/",
            "redis://h/0/1",
            "redis://a b/",
            "redis://%ff:x@h/",
        ] {
            assert!(RedisUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
