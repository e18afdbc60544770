//! From the untyped tree to typed values: every error is gathered, none ends the search for more.

use super::{
    diagnostic::{Diagnostic, Diagnostics},
    mask::Marks,
    node::{Kind, Node, Scalar},
    span::Span,
    table::{Type, Variant},
};

/// A value that can be read from the file.
pub trait Decode: Sized {
    /// Reads it from `node`; `None` where a diagnostic says why not.
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self>;

    /// What it looks like, for the reference and the schema.
    fn ty() -> Type;
}

/// What decoding gathers: findings, and which places of the file may be shown in excerpts.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What was found so far.
    pub diagnostics: Diagnostics,
    /// Which places may be shown.
    pub marks: Marks,
    /// The kinds of credentials that this version has.
    pub kinds: &'static [Variant],
}

impl Decoder {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds an error and returns `None`, for `return decoder.fail(...)`.
    pub fn fail<T>(&mut self, span: Span, message: impl Into<String>) -> Option<T> {
        self.diagnostics.error(span, message);
        None
    }

    /// The scalar in `node`, which is no secret: excerpts show it.
    pub fn scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n Scalar> {
        let scalar = self.hidden_scalar(node, wanted)?;
        self.marks.show(node.span);
        Some(scalar)
    }

    /// The scalar in `node`, which may be a secret: excerpts mask it.
    pub fn hidden_scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n Scalar> {
        match &node.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => self.mismatch(node, wanted),
        }
    }

    /// Reports that `node` is something else than `wanted`.
    pub fn mismatch<T>(&mut self, node: &Node, wanted: &str) -> Option<T> {
        let error = Diagnostic::error(
            node.span,
            format!("expected {wanted}, found {}", node.describe()),
        );
        match node.kind {
            Kind::Faulty => {}
            Kind::Null => self.push(error.hint("give it a value, or remove the key")),
            _ => self.push(error),
        }
        None
    }
}
