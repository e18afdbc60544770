//! Why nothing complete came back from an upstream.

use std::io;

/// The ways in which a request to an upstream fails before its response's head is complete.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The host name could not be resolved.
    #[error("the upstream's name could not be resolved")]
    Resolve(#[source] io::Error),
    /// No connection was made.
    #[error("the upstream refused the connection")]
    Refused(#[source] io::Error),
    /// The proxy before the upstream let nobody through; its status, where it is HTTP.
    #[error("the proxy before the upstream refused{}", told(*.0))]
    Proxy(Option<u16>),
    /// No connection in time.
    #[error("no connection to the upstream in time")]
    ConnectTimeout,
    /// The handshake failed, or the certificate is not the upstream's.
    #[error("the TLS handshake with the upstream failed")]
    Tls(#[source] io::Error),
    /// Every connection is in use and enough requests wait already.
    #[error("every connection to the upstream is in use")]
    PoolFull,
    /// The connection ended before the response's head was complete.
    #[error("the upstream closed the connection without an answer")]
    Reset {
        /// Whether the connection had served a request before: then it may have been closed as idle.
        reused: bool,
        /// What hyper saw.
        #[source]
        source: hyper::Error,
    },
    /// The upstream says that it did nothing with the request, and takes no more on this connection.
    #[error("the upstream turned the request away unread")]
    Unprocessed(#[source] hyper::Error),
    /// No response's head in time.
    #[error("the upstream did not answer in time")]
    HeadTimeout,
    /// What came is not HTTP, or not an answer to what was asked.
    #[error("the upstream's answer is not valid HTTP")]
    Protocol(#[source] Option<hyper::Error>),
    /// The client's body ended early: the request was given up.
    #[error("the client's body broke off")]
    ClientBody(#[source] hyper::Error),
}

fn told(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(", with status {status}"))
}

impl SendError {
    /// Whether nothing of the request was sent, or it was not read: it may go elsewhere, whatever its method.
    pub fn is_unread(&self) -> bool {
        match self {
            Self::Resolve(_)
            | Self::Refused(_)
            | Self::Proxy(_)
            | Self::ConnectTimeout
            | Self::Tls(_)
            | Self::PoolFull
            | Self::Unprocessed(_) => true,
            Self::Reset { .. } | Self::HeadTimeout | Self::Protocol(_) | Self::ClientBody(_) => {
                false
            }
        }
    }

    /// Whether it is held against the one of several targets that the request went to. What it answers never is.
    pub(super) fn tells_of_target(&self) -> bool {
        match self {
            Self::Resolve(_)
            | Self::Refused(_)
            | Self::Proxy(_)
            | Self::ConnectTimeout
            | Self::Tls(_)
            | Self::Reset { .. }
            | Self::HeadTimeout => true,
            Self::PoolFull | Self::Unprocessed(_) | Self::Protocol(_) | Self::ClientBody(_) => {
                false
            }
        }
    }

    /// The same for another request, which waited for the same connection.
    pub(super) fn again(&self) -> Self {
        let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            Self::Resolve(error) => Self::Resolve(copy(error)),
            Self::Refused(error) => Self::Refused(copy(error)),
            Self::Tls(error) => Self::Tls(copy(error)),
            Self::Proxy(status) => Self::Proxy(*status),
            Self::Protocol(_) => Self::Protocol(None),
            _ => Self::ConnectTimeout,
        }
    }
}
