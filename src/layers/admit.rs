//! Looks at the head of a request before anything is decided by it, and parses what decides.
//!
//! hyper frames messages; it knows nothing of Host, of paths or of browsers. What passes here has one
//! authority, one target, one framing: later stages use these values and never look at the raw ones.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use http::{
    HeaderMap, Method, Version, header,
    uri::{PathAndQuery, Uri},
};
use tower::Service;

use super::{
    Connection, Error, Failure, Inbound, Reply, browser,
    early::Early,
    fields::{self, Fields},
    hop_by_hop, http2, websocket,
};
use crate::{
    body::RequestBody,
    clock::Instant,
    routes::{
        Snapshot,
        host::{Authority, AuthorityRefused},
        target,
    },
};

/// Refuses heads that must not be passed on.
#[derive(Clone, Debug)]
pub struct Admit<S> {
    inner: S,
    snapshot: Arc<ArcSwap<Snapshot>>,
    last: LastHost,
}

/// The Host that was parsed last. Each connection has a stack of its own, and seldom names another.
#[derive(Clone, Debug, Default)]
pub struct LastHost(Option<(Box<[u8]>, Arc<Authority<'static>>)>);

impl<S> Admit<S> {
    /// Each request is judged by, and keeps, the snapshot that is current when it comes.
    pub fn new(inner: S, snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self {
            inner,
            snapshot,
            last: LastHost::default(),
        }
    }
}

/// A request whose head may be acted on.
#[derive(Debug)]
pub struct Admitted {
    head: Box<Head>,
    body: RequestBody,
    connection: Arc<Connection>,
    snapshot: Arc<Snapshot>,
    received: Instant,
}

/// The head of a request, parsed once.
#[derive(Clone, Debug)]
pub struct Head {
    /// Never CONNECT or TRACE.
    pub method: Method,
    /// The target's authority, else the Host field; `None` in HTTP/1.0 without one.
    pub authority: Option<Arc<Authority<'static>>>,
    /// Path and query, raw.
    pub target: PathAndQuery,
    /// The version that the client spoke.
    pub version: Version,
    /// All fields, still as the client sent them.
    pub headers: HeaderMap,
    pub(super) fields: Fields,
}

impl Head {
    /// Parses what decides, and refuses what must not be passed on whatever the configuration is.
    ///
    /// # Errors
    /// [`Error`] with the first reason.
    pub fn parse(
        parts: http::request::Parts,
        connection: &Connection,
        last: &mut LastHost,
    ) -> Result<Self, Error> {
        let (mut method, version, mut headers) = (parts.method, parts.version, parts.headers);
        if headers.len() > connection.fields {
            return Err(Error::HeadTooLarge);
        }
        if version == Version::HTTP_2 && websocket::is_connect(&method, &parts.extensions) {
            method = Method::GET;
            websocket::put(&mut headers);
        }
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(Error::MethodRefused);
        }
        let fields = Fields::of(&headers);
        check_framing(&headers, fields)?;
        if version == Version::HTTP_2 {
            http2::plain(&mut headers, fields)?;
        }
        let authority = authority(&parts.uri, &headers, version, connection, last)?;
        let target = check_target(parts.uri)?;
        browser::check(&headers, fields, authority.as_deref())?;
        check_loop(&headers, fields)?;
        Ok(Self {
            method,
            authority,
            target,
            version,
            headers,
            fields,
        })
    }
}

impl Admitted {
    /// Takes it apart.
    pub fn into_parts(self) -> (Box<Head>, RequestBody, Arc<Connection>, Arc<Snapshot>) {
        (self.head, self.body, self.connection, self.snapshot)
    }

    /// When its head was complete.
    pub fn received(&self) -> Instant {
        self.received
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The connection that it came by.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The configuration that the request keeps to its end.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl<S> Service<Inbound> for Admit<S>
where
    S: Service<Admitted, Response = Box<Reply>, Error = Box<Failure>>,
{
    type Response = Box<Reply>;
    type Error = Box<Failure>;
    type Future = Early<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, inbound: Inbound) -> Self::Future {
        let admitted = admit(inbound, self.snapshot.load_full(), &mut self.last);
        Early::of(admitted.map(|admitted| self.inner.call(admitted)))
    }
}

fn admit(
    inbound: Inbound,
    snapshot: Arc<Snapshot>,
    last: &mut LastHost,
) -> Result<Admitted, Error> {
    let Inbound {
        request,
        connection,
        received,
        too_many,
    } = inbound;
    if too_many {
        return Err(Error::Overloaded);
    }
    let (parts, body) = request.into_parts();
    let head = Head::parse(parts, &connection, last)?;
    check_host(head.authority.as_deref(), &connection, &snapshot)?;
    Ok(Admitted {
        head: Box::new(head),
        body,
        connection,
        snapshot,
        received,
    })
}

/// hyper has framed the message; what it leaves in the fields must not be read otherwise by the upstream.
fn check_framing(headers: &HeaderMap, fields: Fields) -> Result<(), Error> {
    if !fields.any(fields::TRANSFER_ENCODING | fields::UNDERSCORE) {
        return Ok(());
    }
    if !hop_by_hop::is_plainly_coded(headers) {
        return Err(Error::RequestInvalid(
            "Transfer-Encoding must be exactly `chunked`",
        ));
    }
    for name in headers.keys() {
        let name = name.as_str();
        if name.contains('_')
            && FRAMING
                .iter()
                .any(|framing| same_but_underscores(name, framing))
        {
            return Err(Error::RequestInvalid(
                "a framing field is spelled with an underscore",
            ));
        }
    }
    Ok(())
}

fn same_but_underscores(name: &str, other: &str) -> bool {
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() == other.len() && name.bytes().map(dashed).eq(other.bytes())
}

impl LastHost {
    fn parse(&mut self, text: &[u8]) -> Result<Arc<Authority<'static>>, AuthorityRefused> {
        match &self.0 {
            Some((last, authority)) if **last == *text => Ok(Arc::clone(authority)),
            _ => {
                let authority = Arc::new(Authority::parse(text)?.into_owned());
                self.0 = Some((text.into(), Arc::clone(&authority)));
                Ok(authority)
            }
        }
    }
}

/// An absolute-form target's authority wins over Host (RFC 9112, 3.2.2); in HTTP/2 they have to agree.
fn authority(
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
    connection: &Connection,
    last: &mut LastHost,
) -> Result<Option<Arc<Authority<'static>>>, Error> {
    let mut parse = |text: &[u8]| {
        last.parse(text)
            .map_err(|_| Error::RequestInvalid("the Host is not a host name with an optional port"))
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(Error::RequestInvalid("more than one Host field")),
        (Some(host), None) => Some(parse(host.as_bytes())?),
        (None, _) if version == Version::HTTP_2 => {
            if uri.authority().is_none() {
                return Err(Error::RequestInvalid("neither :authority nor Host"));
            }
            None
        }
        (None, _) if version == Version::HTTP_11 => {
            return Err(Error::RequestInvalid("no Host field"));
        }
        (None, _) if connection.is_local() => {
            return Err(Error::RequestInvalid(
                "no Host field; a loopback listener needs one",
            ));
        }
        (None, _) => None,
    };
    match uri.authority() {
        None => Ok(host),
        Some(authority) if version == Version::HTTP_2 => {
            if !matches!(uri.scheme_str(), Some("http" | "https")) {
                return Err(Error::RequestInvalid(
                    "the :scheme is neither http nor https",
                ));
            }
            let authority = parse(authority.as_str().as_bytes())?;
            if host.is_some_and(|host| host != authority) {
                // RFC 9113, 8.3.1.
                return Err(Error::RequestInvalid("the Host differs from :authority"));
            }
            Ok(Some(authority))
        }
        Some(authority) => {
            let ours = |scheme: &str| {
                scheme.eq_ignore_ascii_case("http")
                    || scheme.eq_ignore_ascii_case(connection.scheme())
            };
            if !uri.scheme_str().is_some_and(ours) {
                return Err(Error::RequestInvalid("the target's scheme is not http"));
            }
            parse(authority.as_str().as_bytes()).map(Some)
        }
    }
}

fn check_target(uri: Uri) -> Result<PathAndQuery, Error> {
    let target = uri
        .into_parts()
        .path_and_query
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    if target.as_str() == "*" {
        return Err(Error::RequestInvalid(
            "the asterisk-form concerns a server, not a route",
        ));
    }
    target::check(target.as_str()).map_err(|refused| Error::PathRefused(refused.to_string()))?;
    Ok(target)
}

/// A web page that names a host of its own and lets it resolve to us must not drive this proxy.
///
/// # Errors
/// [`Error::HostUnknown`] where the listener does not answer to that host.
pub fn check_host(
    authority: Option<&Authority<'_>>,
    connection: &Connection,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let hosts = &snapshot.hosts;
    let Some(local) = connection.local else {
        // No web page reaches a unix socket.
        return Ok(());
    };
    let loopback = connection.is_local();
    if hosts.callers && !loopback {
        return Ok(());
    }
    let Some(authority) = authority else {
        // HTTP/1.0 without Host, on a wider listener: no browser does that.
        return Ok(());
    };
    let own_port = authority.port().is_none_or(|port| port == local.port());
    let own = own_port
        && (authority.host() == &*connection.local_host || authority.host() == "localhost");
    let literal = !loopback && hosts.allow_anyone && authority.ip().is_some();
    if own || literal || hosts.knows(authority.host()) {
        Ok(())
    } else {
        Err(Error::HostUnknown)
    }
}

fn check_loop(headers: &HeaderMap, fields: Fields) -> Result<(), Error> {
    if !fields.any(fields::VIA) {
        return Ok(());
    }
    let me = pseudonym().as_bytes();
    for via in headers.get_all(header::VIA) {
        if via.as_bytes().windows(me.len()).any(|window| window == me) {
            return Err(Error::LoopDetected);
        }
    }
    Ok(())
}

/// How this process calls itself in Via: unlike any other, so that a chain of proxies is not a loop.
pub(super) fn pseudonym() -> &'static str {
    static PSEUDONYM: OnceLock<String> = OnceLock::new();
    PSEUDONYM.get_or_init(|| format!("bearerd-{:016x}", fastrand::u64(..)))
}

/// Fields whose second spelling some server takes for the first.
const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "host"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_remembered_until_another_comes() {
        let mut last = LastHost::default();
        let first = last.parse(b"one.example:80").expect("a host");
        let again = last.parse(b"one.example:80").expect("a host");
        assert!(Arc::ptr_eq(&first, &again));
        assert!(last.parse(b"one.example:0").is_err());
        let other = last.parse(b"two.example:80").expect("a host");
        assert_eq!(other.host(), "two.example");
        assert_eq!(
            last.parse(b"ONE.example").expect("a host").host(),
            "one.example"
        );
    }
}
