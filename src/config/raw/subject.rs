//! `subject:` whose credential a request carries.

use http::HeaderName;

use crate::{
    config::{
        decode::{Decode, Decoder},
        diagnostic::Diagnostic,
        node::{Kind, Node},
        table::Type,
    },
    config_struct,
};

/// Whose credential a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectSetting {
    /// The caller's: the subject of its token, else its name.
    Caller,
    /// That of whom this claim of the caller's token names.
    Claim(String),
    /// That of whom this header names.
    Header(HeaderName),
}

config_struct! {
    /// Whose credential a request carries: exactly one of these, or the word `caller`.
    struct SubjectLong = "a subject" {
        /// A claim of the caller's token: the user that it names.
        optional claim: String,
        /// A header, in which callers with `may_name_users: true` name the user. It goes no further.
        optional header: HeaderName,
    }
}

impl Decode for SubjectSetting {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            let scalar = decoder.scalar(node, "`caller`, or a mapping with `claim` or `header`")?;
            if scalar.text == "caller" {
                return Some(Self::Caller);
            }
            let error = Diagnostic::error(node.span, "this is no way to find a subject");
            decoder.push(error.hint("write `caller`, `{ claim: NAME }` or `{ header: NAME }`"));
            return None;
        }
        let long = SubjectLong::decode(node, decoder)?;
        if !long.failed.is_empty() {
            return None;
        }
        match (long.claim, long.header) {
            (Some(claim), None) if !claim.is_empty() => Some(Self::Claim(claim.value)),
            (None, Some(header)) => Some(Self::Header(header.value)),
            _ => decoder.fail(node.span, "expected exactly one of `claim` and `header`"),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            Type::Words(&["caller"]),
            Type::Table(SubjectLong::TABLE),
        ])
    }
}
