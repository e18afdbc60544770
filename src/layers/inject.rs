//! Makes the request that the upstream gets: takes out what the client may not send, puts in what it can't.
//!
//! The order matters: fields of the connection go first, so that a client can't remove an injected field
//! by naming it in `Connection`; what is guarded goes next, in every spelling; ours comes last.

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, Version, header, uri::PathAndQuery};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    Connection, Credentialed, Error, Failure, Head, Outcome, Reply,
    admit::pseudonym,
    dpop,
    early::Early,
    fields::{self, Fields},
    forwarded::tell_of_client,
    hop_by_hop, login,
    response_head::{self, Origin},
    terms::{terms, until},
    websocket,
};
use crate::{
    body::RequestBody,
    clock::Instant,
    credentials::{Bound, Lease},
    injectors::{RenderError, Rendered},
    routes::{HostHeader, Route, host::Authority, path},
    upstream::{OutgoingBody, Terms, Tried},
};

/// Rewrites the request on its way out and the response's head on its way back.
#[derive(Clone, Debug)]
pub struct Inject<S> {
    inner: S,
}

impl<S> Inject<S> {
    /// Stands before `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

/// A request exactly as it will be sent.
#[derive(Debug)]
pub struct Outbound {
    /// Boxed: it is moved often before hyper has it.
    request: Box<Request<OutgoingBody>>,
    route: Arc<Route>,
    terms: Terms,
    tried: Tried,
    since: Instant,
}

impl Outbound {
    /// When it was free to go.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The targets that it was sent to in vain.
    pub fn tried(&self) -> Tried {
        self.tried
    }

    /// The request, the route that says where to, and what is agreed for it.
    pub fn into_parts(self) -> (Box<Request<OutgoingBody>>, Arc<Route>, Terms) {
        (self.request, self.route, self.terms)
    }
}

impl<S> Service<Credentialed> for Inject<S>
where
    S: Service<Outbound, Response = Box<Reply>, Error = Box<Failure>>,
{
    type Response = Box<Reply>;
    type Error = Box<Failure>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Credentialed) -> Self::Future {
        let (sent, origin) = match outbound(request) {
            Ok((request, origin, callers_own)) => {
                let route = Arc::clone(&request.route);
                let sent = Ok(self.inner.call(request));
                (sent, Some((route, origin, callers_own)))
            }
            Err(error) => (Err(error), None),
        };
        ResponseFuture {
            inner: Early::of(sent),
            origin,
        }
    }
}

pin_project! {
    /// The future of [`Inject`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Early<F>,
        origin: Option<(Arc<Route>, Origin, bool)>,
    }
}

impl<F: Future<Output = Outcome>> Future for ResponseFuture<F> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = self.project();
        let mut outcome = ready!(this.inner.poll(cx));
        if let (Ok(reply), Some((route, origin, callers_own))) = (&mut outcome, this.origin) {
            reply.facts.callers_own = *callers_own;
            dpop::hear(reply, route);
            let headers = reply.response.headers_mut();
            if let Err(error) = response_head::rewrite(headers, route, origin) {
                outcome = Err(error.into());
            } else if let Err(error) =
                websocket::answer(&mut reply.response, origin.accept.as_deref())
            {
                outcome = Err(error.into());
            }
        }
        Poll::Ready(outcome)
    }
}

/// The head as it would be sent with `stand_in` for what the credential puts in; nothing is sent.
///
/// # Errors
/// As a request's: the path may be refused.
pub fn preview(
    mut head: Head,
    route: &Route,
    prefix: usize,
    connection: &Connection,
    stand_in: Option<Arc<Rendered>>,
) -> Result<Head, Error> {
    let put = stand_in.map_or(Put::Nothing, Put::Rendered);
    let websocket = route.websocket && websocket::is_asked_for(&head, true);
    (head.target, _) = rewrite(&mut head, route, prefix, connection, &put, None)?;
    if websocket {
        websocket::put(&mut head.headers);
    }
    Ok(head)
}

/// The request, what the way back needs, and whether it carries the caller's own credential.
fn outbound(request: Credentialed) -> Result<(Outbound, Origin, bool), Error> {
    let put = put(&request)?;
    let bound = request.lease().and_then(Lease::bound).cloned();
    let (since, until) = (request.received(), until(&request));
    let (tried, died) = (request.routed().tried(), request.routed().died());
    let (mut boxed, body, connection, route, prefix) = request.into_parts();
    let head = &mut *boxed;
    let websocket = route.websocket && websocket::is_asked_for(head, body.is_empty());
    if !websocket && websocket::came_by_connect(head) {
        return Err(Error::MethodRefused);
    }
    let (target, callers_own) = rewrite(head, &route, prefix, &connection, &put, bound.as_deref())?;
    frame(head, &body);
    let mut accept = None;
    if websocket {
        websocket::put(&mut head.headers);
        accept = websocket::put_key(&mut head.headers, head.version);
    }

    let mut request = Box::new(Request::new(OutgoingBody::new(body)));
    *request.method_mut() = std::mem::take(&mut head.method);
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = std::mem::take(&mut head.headers);
    let mut terms = terms(&route, head.fields, request.headers(), websocket, until);
    terms.fresh = died;
    let origin = Origin {
        head: boxed,
        accept,
        prefix,
        scheme: connection.scheme(),
    };
    let outbound = Outbound {
        request,
        route,
        terms,
        tried,
        since,
    };
    Ok((outbound, origin, callers_own))
}

/// Rewrites the fields. Returns the path and query that the upstream gets, and whether the caller's own credential was
/// kept.
fn rewrite(
    head: &mut Head,
    route: &Route,
    prefix: usize,
    connection: &Connection,
    put: &Put,
    bound: Option<&Bound>,
) -> Result<(PathAndQuery, bool), Error> {
    let target = target(head, route, prefix, put)?;
    let headers = &mut head.headers;
    hop_by_hop::strip(headers, head.fields);
    let kept = strip(headers, head.fields, route);
    // Of a client's own token we have no proof.
    let bound = bound.filter(|_| !(kept && headers.contains_key(header::AUTHORIZATION)));
    tell_of_client(headers, route, connection, head.authority.as_deref());
    put_in(headers, put, kept);
    put_host(headers, route, head.authority.as_deref());
    headers.append(header::VIA, via(head.version));
    if let Some(bound) = bound {
        dpop::prove(bound, head, &target, route)?;
    }
    Ok((target, kept))
}

/// What is put on a request.
enum Put {
    Nothing,
    /// The default, built when the token came.
    Prebuilt(HeaderValue),
    Rendered(Arc<Rendered>),
}

fn put(request: &Credentialed) -> Result<Put, Error> {
    let route = request.route();
    let Some(credential) = &route.credential else {
        return Ok(Put::Nothing);
    };
    let told = |error: RenderError| Error::Injection(error.to_string());
    let Some(lease) = request.lease() else {
        let own = credential.stays_out_of(request.headers());
        let constants = own.then(|| credential.injection.constants().map_err(told));
        return constants.map_or(Ok(Put::Nothing), |it| it.map(Put::Rendered));
    };
    if credential.injection.is_prebuilt()
        && let Some(value) = lease.authorization()
    {
        return Ok(Put::Prebuilt(value.clone()));
    }
    let rendered = credential
        .injection
        .render(lease.id(), |name| lease.part(name));
    rendered.map(Put::Rendered).map_err(told)
}

/// The path and query that the upstream gets.
fn target(head: &Head, route: &Route, prefix: usize, put: &Put) -> Result<PathAndQuery, Error> {
    let raw = head.target.path();
    let rest = login::rest(route, head, prefix);
    let mut query = head
        .target
        .query()
        .map(|raw| route.guard.query.strip_query(raw));
    if let Put::Rendered(rendered) = put
        && !rendered.query.is_empty()
    {
        query = Some(Cow::Owned(match query {
            Some(own) if !own.is_empty() => format!("{own}&{}", rendered.query),
            _ => rendered.query.clone(),
        }));
    }
    let unchanged = route.strip_prefix && raw.get(..prefix) == Some(&*route.base_path);
    if unchanged && path::is_plain(raw) && query.as_deref() == head.target.query() {
        return Ok(head.target.clone());
    }
    let target = path::outgoing(&route.base_path, rest, query.as_deref())
        .map_err(|refused| Error::PathRefused(refused.to_string()))?;
    PathAndQuery::from_maybe_shared(Bytes::from(target))
        .map_err(|_| Error::PathRefused("the path can't be sent on".into()))
}

/// Says again how the body is framed: hyper wrote down what it took, and the connection's fields are gone.
fn frame(head: &mut Head, body: &RequestBody) {
    let (headers, fields) = (&mut head.headers, head.fields);
    // HTTP/2 has frames for it.
    let coded = fields.any(fields::TRANSFER_ENCODING) || head.version == Version::HTTP_2;
    let chunked = coded && !fields.any(fields::CONTENT_LENGTH);
    if chunked && !body.is_empty() {
        // Without it the body of a GET would be dropped.
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    if fields.any(fields::EXPECT) && (body.is_empty() || !expects_continue(headers)) {
        headers.remove(header::EXPECT);
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(header::EXPECT).iter();
    expected.all(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Takes out what the client may not send. Returns whether it keeps its own credential header.
fn strip(headers: &mut HeaderMap, fields: Fields, route: &Route) -> bool {
    let own = route
        .credential
        .as_ref()
        .filter(|credential| !credential.overwrite);
    let keeps = own.is_some_and(|credential| {
        credential
            .injection
            .header_names()
            .any(|name| headers.contains_key(name))
    });
    let guarded: Vec<_> = headers
        .keys()
        .filter(|name| route.guard.headers.is_guarded(name))
        .filter(|name| {
            !(keeps && own.is_some_and(|it| it.injection.header_names().any(|own| own == *name)))
        })
        .cloned()
        .collect();
    for name in guarded {
        headers.remove(name);
    }
    if fields.any(fields::COOKIE) {
        route.guard.strip_cookies(headers);
    }
    keeps
}

fn put_in(headers: &mut HeaderMap, put: &Put, keeps_own: bool) {
    match put {
        Put::Nothing => {}
        Put::Prebuilt(_) if keeps_own => {}
        Put::Prebuilt(value) => {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        Put::Rendered(rendered) => {
            for (name, value) in &rendered.headers {
                if !(keeps_own && headers.contains_key(name)) {
                    headers.insert(name, value.clone());
                }
            }
            if let Some(cookie) = joined_cookie(headers, rendered) {
                headers.insert(header::COOKIE, cookie);
            }
        }
    }
}

fn joined_cookie(headers: &HeaderMap, rendered: &Rendered) -> Option<HeaderValue> {
    if rendered.cookies.is_empty() {
        return None;
    }
    let mut joined = Vec::new();
    for own in headers.get_all(header::COOKIE) {
        joined.extend_from_slice(own.as_bytes());
        joined.extend_from_slice(b"; ");
    }
    joined.extend_from_slice(rendered.cookies.as_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(joined)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn put_host(headers: &mut HeaderMap, route: &Route, authority: Option<&Authority<'_>>) {
    let client = || authority.and_then(|it| HeaderValue::try_from(it.to_string()).ok());
    let host = match &route.host_header {
        HostHeader::Upstream => None,
        HostHeader::Client => client(),
        HostHeader::Fixed(value) => Some(value.clone()),
    };
    headers.insert(
        header::HOST,
        host.unwrap_or_else(|| route.upstream.authority().clone()),
    );
}

/// RFC 9110, 7.6.3: the version is the one that the client spoke.
fn via(version: Version) -> HeaderValue {
    static VIA: OnceLock<[HeaderValue; 3]> = OnceLock::new();
    let [http_10, http_11, http_2] = VIA.get_or_init(|| {
        ["1.0", "1.1", "2.0"].map(|version| {
            HeaderValue::try_from(format!("{version} {}", pseudonym()))
                .expect("the pseudonym is a token")
        })
    });
    match version {
        Version::HTTP_10 => http_10.clone(),
        Version::HTTP_2 => http_2.clone(),
        _ => http_11.clone(),
    }
}
