//! A proxy between here and an upstream: a tunnel through it for what is encrypted, whole URLs for the rest.

use std::{
    hash::{Hash, Hasher},
    io,
};

use http::{HeaderValue, Request, Uri, header, uri::Scheme};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use zeroize::Zeroizing;

use super::{OutgoingBody, SendError, Upstream, UpstreamConfig, bracketed};
use crate::secret::Secret;

/// An HTTP proxy, spoken to in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Host name or IP literal (IPv6 without brackets).
    pub host: String,
    /// Port, always given.
    pub port: u16,
    /// What `Proxy-Authorization` says to it.
    pub authorization: Option<Secret>,
}

/// By its place: a secret goes into no hash that has no need of it.
impl Hash for ProxyConfig {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.host, self.port).hash(state);
    }
}

impl ProxyConfig {
    /// Asks for a tunnel to the upstream (RFC 9110, 9.3.6).
    pub(super) async fn connect(
        &self,
        upstream: &UpstreamConfig,
        tcp: &mut TcpStream,
    ) -> Result<(), SendError> {
        let authority = format!("{}:{}", bracketed(&upstream.host), upstream.port);
        let mut head = Zeroizing::new(format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
        ));
        if let Some(authorization) = &self.authorization {
            head.push_str("Proxy-Authorization: ");
            head.push_str(authorization.expose());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let asked = async {
            tcp.write_all(head.as_bytes()).await?;
            let mut answer = Vec::new();
            // Nothing may follow before we speak: what is read is the head, and ends with it.
            while !answer.ends_with(END) && answer.len() < MAX_ANSWER {
                if tcp.read_buf(&mut answer).await? == 0 {
                    break;
                }
            }
            io::Result::Ok(answer)
        };
        let answer = asked.await.map_err(SendError::Refused)?;
        match status(&answer) {
            Some(200..=299) if answer.ends_with(END) => Ok(()),
            status => Err(SendError::Proxy(status)),
        }
    }
}

/// Makes `request` one that a proxy understands: with the whole URL as its target (RFC 9112, 3.2.2).
pub(super) fn address(
    request: &mut Request<OutgoingBody>,
    upstream: &Upstream,
    proxy: &ProxyConfig,
) {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = upstream.uri_authority().cloned();
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    let authorization = proxy.authorization.as_ref();
    if let Some(mut value) = authorization.and_then(|it| HeaderValue::from_str(it.expose()).ok()) {
        value.set_sensitive(true);
        request
            .headers_mut()
            .insert(header::PROXY_AUTHORIZATION, value);
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let version = words.next()?;
    let status = words.next()?.parse().ok()?;
    version.starts_with("HTTP/1.").then_some(status)
}

const END: &[u8] = b"\r\n\r\n";
/// Largest answer to CONNECT, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_http_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 Who\r\n\r\n"), Some(407));
        for other in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n"] {
            assert_eq!(status(other), None);
        }
    }
}
