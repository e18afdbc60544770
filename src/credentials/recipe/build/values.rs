//! Templates within the names that a recipe has.

use super::{
    super::{
        json::Shape,
        template::{Holds, Place, Template, TemplateFault},
    },
    Builder,
};
use crate::{
    config::{
        Node, Sp, Span,
        node::Kind,
        scalars::{MaskedText, Tree},
    },
    credentials::FingerprintBuilder,
};

impl Builder<'_> {
    pub(super) fn template(
        &mut self,
        text: &Sp<MaskedText>,
        place: Place,
        step: &str,
        field: &str,
    ) -> Option<Template> {
        self.compile(text.value.0.expose(), text.span, place, step, field)
    }

    pub(super) fn compile(
        &mut self,
        text: &str,
        span: Span,
        place: Place,
        step: &str,
        field: &str,
    ) -> Option<Template> {
        let made = Template::new(text, place, &self.scope);
        self.usable(made, span, step, field)
    }

    pub(super) fn shape(
        &mut self,
        tree: &Sp<Tree>,
        times: bool,
        step: &str,
        field: &str,
    ) -> Option<Shape> {
        let made = Shape::new(&tree.value.0, &self.scope, times);
        self.usable(made, tree.span, step, field)
    }

    pub(super) fn usable<T>(
        &mut self,
        made: Result<T, TemplateFault>,
        span: Span,
        step: &str,
        field: &str,
    ) -> Option<T> {
        match made {
            Ok(made) => Some(made),
            Err(fault) => {
                let error = self.fault(span, format!("`{step}`, `{field}`: {fault}"));
                let error = match fault {
                    TemplateFault::Syntax => error.hint("values stand in `{{ name }}`"),
                    TemplateFault::Unknown => error.hint(format!("there is: {}", self.known())),
                };
                self.cx.report(error);
                None
            }
        }
    }

    pub(super) fn known(&self) -> String {
        let mut names = Vec::new();
        for (name, holds) in &self.scope.0 {
            match holds {
                Holds::Text => names.push(format!("`{name}`")),
                Holds::Parts(None) => names.push(format!("`{name}.` and a part of it")),
                Holds::Parts(Some(parts)) => {
                    names.extend(parts.iter().map(|part| format!("`{name}.{part}`")));
                }
            }
        }
        names.join(", ")
    }
}

/// Everything that stands in the file; what comes from elsewhere is added where it is read.
pub(super) fn tree(node: &Node, print: FingerprintBuilder) -> FingerprintBuilder {
    match &node.kind {
        Kind::Null | Kind::Faulty => print.number(0),
        Kind::Scalar(scalar) => print.number(1).text(&scalar.text),
        Kind::List(items) => print
            .number(2)
            .list(items.iter(), |print, item| tree(item, print)),
        Kind::Map(entries) => print.number(3).list(entries.iter(), |print, entry| {
            tree(&entry.value, print.text(&entry.key))
        }),
    }
}
