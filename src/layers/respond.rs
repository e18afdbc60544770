//! Turns every error into a response: the only place where that happens.

use std::{
    convert::Infallible,
    fmt::Write,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use pin_project_lite::pin_project;
use serde::Serialize;
use tower::Service;

use super::{Error, Facts, Failure, Inbound, Outcome, Reply, ReplyBody, grpc};
use crate::{percent, upstream::SendError};

/// Answers as `application/problem+json` (RFC 9457) with `Proxy-Status` (RFC 9209) where `inner` fails; a gRPC call in its
/// own way, as its client would understand nothing else.
///
/// A panic below ends one request with 500 and nothing else.
#[derive(Clone, Debug)]
pub struct Respond<S> {
    inner: S,
}

impl<S> Respond<S> {
    /// Stands before `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Inbound> for Respond<S>
where
    S: Service<Inbound, Response = Box<Reply>, Error = Box<Failure>>,
{
    type Response = Box<Reply>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Inbound) -> Self::Future {
        let grpc = grpc::answer_type(request.request.headers());
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        ResponseFuture { inner, grpc }
    }
}

pin_project! {
    /// The future of [`Respond`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Option<F>,
        grpc: Option<HeaderValue>,
    }
}

impl<F: Future<Output = Outcome>> Future for ResponseFuture<F> {
    type Output = Result<Box<Reply>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let grpc = this.grpc;
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Ok(respond(Error::Internal.into(), grpc.take())));
        };
        let outcome = match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(polled) => ready!(polled),
            Err(_) => Err(Error::Internal.into()),
        };
        Poll::Ready(Ok(
            outcome.unwrap_or_else(|failure| respond(failure, grpc.take()))
        ))
    }
}

/// The members of a problem's body; never a secret, never an upstream's text.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
}

fn respond(failure: Box<Failure>, grpc: Option<HeaderValue>) -> Box<Reply> {
    let Failure { error, mut facts } = *failure;
    let look = error.appearance();
    if let Error::Upstream(cause) = &error {
        tell_cause(look.code, &facts, cause);
    }
    facts.code = Some(look.code);
    facts.upstream_status = facts.upstream_status.or(error.received_status());
    let mut response = match grpc {
        Some(kind) => outcome(&error, kind),
        None => problem(&error, &facts),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(proxy_status(&error)) {
        headers.insert("proxy-status", value);
    }
    if let Some(after) = error.retry_after() {
        // Rounded up: a client that comes back then finds the attempt made.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if let Some(challenge) = error.challenge() {
        // RFC 6750, 3.1: what makes clients ask for another token.
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        );
    }
    if matches!(error, Error::RequestInvalid(_) | Error::MethodRefused) {
        // Who misreads a head misreads where it ends, and what follows a CONNECT may be meant for its
        // tunnel: nothing behind it is a request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if look.status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110, 15.5.6 wants the field; which methods a route takes is not known here.
        headers.insert(
            header::ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    Box::new(Reply { response, facts })
}

fn problem(error: &Error, facts: &Facts) -> Response<ReplyBody> {
    let look = error.appearance();
    let problem = Problem {
        r#type: format!("urn:bearerd:{}", look.code),
        title: look.title,
        status: look.status.as_u16(),
        code: look.code,
        detail: error.to_string(),
        route: facts.route.as_ref().map(|route| &*route.name),
        credential: error.credential().map(|name| &**name),
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(ReplyBody::own(body));
    *response.status_mut() = look.status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

/// The outcome of a gRPC call that was not answered by its upstream: all of it stands in the head.
fn outcome(error: &Error, kind: HeaderValue) -> Response<ReplyBody> {
    let look = error.appearance();
    let mut message = String::new();
    percent::encode(&format!("{}: {error}", look.code), &mut message);
    let mut response = Response::new(ReplyBody::own(Vec::new()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    let status = HeaderValue::from(grpc_status(look.status));
    headers.insert(HeaderName::from_static(grpc::STATUS), status);
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(HeaderName::from_static(grpc::MESSAGE), message);
    }
    response
}

/// What a status of ours means to a gRPC client. A credential of the proxy's that is refused (502) is unavailable, and not
/// unauthenticated: the client has done nothing wrong, and another login of its own would mend nothing.
fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        401 => 16,             // UNAUTHENTICATED
        403 => 7,              // PERMISSION_DENIED
        404 => 12,             // UNIMPLEMENTED
        408 | 504 => 4,        // DEADLINE_EXCEEDED
        431 => 8,              // RESOURCE_EXHAUSTED
        421 | 502 | 503 => 14, // UNAVAILABLE
        _ => 13,               // INTERNAL
    }
}

/// The client is told what kind of failure it was; why is for the operator.
fn tell_cause(code: &str, facts: &Facts, cause: &SendError) {
    let route = facts.route.as_ref().map(|route| &*route.name);
    let mut why = cause.to_string();
    let mut source = std::error::Error::source(cause);
    while let Some(deeper) = source {
        let _ = write!(why, ": {deeper}");
        source = deeper.source();
    }
    tracing::info!(code, route, why, "upstream failed");
}

/// The response to `error` as it goes over an HTTP/1.1 connection, for what fails before hyper has a request.
pub fn written(error: Error) -> Vec<u8> {
    let (parts, body) = respond(error.into(), None).response.into_parts();
    let body = body.into_own().unwrap_or_default();
    let length = body.len();
    let status = parts.status;
    let mut text =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n")
            .into_bytes();
    for (name, value) in &parts.headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(piece);
        }
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    text
}

fn proxy_status(error: &Error) -> String {
    let look = error.appearance();
    let mut value = format!("bearerd; error={}", look.proxy_status);
    // Writing into a String does not fail.
    if let Some(received) = error.received_status() {
        let _ = write!(value, "; received-status={}", received.as_u16());
    }
    if let Some(details) = look.details {
        let _ = write!(value, "; details=\"{details}\"");
    }
    value
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use tower::service_fn;

    use super::*;
    use crate::{body::RequestBody, clock::now, layers::Connection};

    #[tokio::test]
    async fn a_panic_is_one_500_wherever_it_happens() {
        let at_once = service_fn(|_: Inbound| -> std::future::Ready<Outcome> { panic!("at once") });
        let later = service_fn(|_: Inbound| poll_fn(|_| -> Poll<Outcome> { panic!("later") }));
        for response in [
            Respond::new(at_once).call(inbound()).await,
            Respond::new(later).call(inbound()).await,
        ] {
            let Ok(reply) = response;
            assert_eq!(reply.response.status(), 500);
            assert_eq!(reply.facts.code, Some("internal"));
            assert_eq!(
                reply.response.headers()["proxy-status"],
                "bearerd; error=proxy_internal_error"
            );
            let body = reply.response.into_body().into_own().unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("at once"));
        }
    }

    fn inbound() -> Inbound {
        let local = ([127, 0, 0, 1], 80).into();
        Inbound {
            request: http::Request::new(RequestBody::empty()),
            connection: Arc::new(Connection::new(local, local)),
            received: now(),
            too_many: false,
        }
    }
}
