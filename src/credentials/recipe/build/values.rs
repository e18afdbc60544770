//! Templates within the names that a recipe has.

use super::{
    super::{
        json::Shape,
        template::{FILTERS, Place, Template, TemplateFault},
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
        match Template::new(text, place, &self.scope) {
            Ok(template) => Some(template),
            Err(fault) => {
                self.unusable(fault, span, step, field);
                None
            }
        }
    }

    pub(super) fn shape(
        &mut self,
        tree: &Sp<Tree>,
        times: bool,
        step: &str,
        field: &str,
    ) -> Option<Shape> {
        let mut faults = Vec::new();
        let made = Shape::new(&tree.value.0, &self.scope, times, &mut faults);
        let fine = faults.is_empty();
        for (fault, span) in faults {
            self.unusable(fault, span, step, field);
        }
        fine.then_some(made)
    }

    pub(super) fn unusable(&mut self, fault: TemplateFault, span: Span, step: &str, field: &str) {
        let error = self.fault(span, format!("`{step}`, `{field}`: {fault}"));
        let hint = match fault {
            TemplateFault::Syntax => "values stand in `{{ name }}`".into(),
            TemplateFault::Unknown { near: Some(near) } => format!("did you mean `{near}`?"),
            TemplateFault::Unknown { near: None } => {
                format!("there is: `{}`", self.scope.names().join("`, `"))
            }
            TemplateFault::Word => format!(
                "the filters are `{}`, the only test is `is defined`",
                FILTERS.join("`, `")
            ),
            TemplateFault::Name => "write it out: values alone are filled in".into(),
            TemplateFault::Unworkable => {
                "values are texts: to be joined (`~`) and compared, not calculated with; of a step name a \
                 capture, as in `{{ login.token }}`"
                    .into()
            }
        };
        self.cx.report(error.hint(hint));
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

/// What was left out is no fault.
pub(super) fn given<T>(made: Option<Option<T>>) -> Option<Option<T>> {
    match made {
        Some(made) => made.map(Some),
        None => Some(None),
    }
}

/// All of them, or none where one could not be made: its fault is reported, and so are the others'.
pub(super) fn all<T>(made: Vec<Option<T>>) -> Option<Vec<T>> {
    made.into_iter().collect()
}
