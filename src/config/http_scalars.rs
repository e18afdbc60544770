//! The scalars that HTTP defines: header names, methods, status codes.

use http::{HeaderName, Method, StatusCode};

use super::{
    decode::{Decode, Decoder},
    diagnostic::Diagnostic,
    node::Node,
    table::Type,
};

impl Decode for HeaderName {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "the name of a header")?.text;
        text.parse().ok().or_else(|| {
            let hint = "letters, digits and `-`, as in `X-Api-Key`";
            decoder.push(Diagnostic::error(node.span, "this is no name of a header").hint(hint));
            None
        })
    }

    fn ty() -> Type {
        Type::Scalar("header name", None)
    }
}

impl Decode for Method {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "a method")?.text;
        let upper = text.to_ascii_uppercase();
        let method = Method::from_bytes(text.as_bytes()).ok();
        if text != &upper || method.is_none() {
            let error = Diagnostic::error(node.span, "this is no method");
            decoder.push(error.hint("methods are written in capitals, as in `GET` or `POST`"));
            return None;
        }
        if upper == "CONNECT" || upper == "TRACE" {
            return decoder.fail(node.span, format!("`{upper}` is never forwarded"));
        }
        method
    }

    fn ty() -> Type {
        Type::Scalar("method", Some("^[A-Z]+$"))
    }
}

/// How a gRPC call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcStatus(pub u8);

impl Decode for GrpcStatus {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let number = u64::decode(node, decoder)?;
        match u8::try_from(number).ok().filter(|n| (1..=16).contains(n)) {
            Some(number) => Some(Self(number)),
            None => decoder.fail(
                node.span,
                "a gRPC status that refuses is a number from 1 to 16",
            ),
        }
    }

    fn ty() -> Type {
        Type::Integer
    }
}

impl Decode for StatusCode {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let number = u64::decode(node, decoder)?;
        let status = u16::try_from(number)
            .ok()
            .filter(|n| (100..=599).contains(n));
        match status.and_then(|n| StatusCode::from_u16(n).ok()) {
            Some(status) => Some(status),
            None => decoder.fail(node.span, "a status is a number from 100 to 599"),
        }
    }

    fn ty() -> Type {
        Type::Integer
    }
}
