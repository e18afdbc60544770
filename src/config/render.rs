//! Diagnostics as text: file, line and column, the masked source line, a hint.

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DEFAULT_TERM_WIDTH,
};

use super::{
    diagnostic::{Diagnostic, Diagnostics, Severity},
    mask::Mask,
    span::Span,
};

/// The text of a configuration file, to turn spans into lines and columns.
#[derive(Clone, Default)]
pub struct SourceMap {
    name: String,
    text: String,
    line_starts: Vec<usize>,
    mask: Mask,
}

/// Shows the name only: the text may hold secrets.
impl std::fmt::Debug for SourceMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceMap")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl SourceMap {
    /// The file `name` (as shown in messages) with this text; excerpts show nothing until a mask is set.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name: name.into(),
            text,
            line_starts,
            mask: Mask::default(),
        }
    }

    /// Sets what excerpts may show.
    pub fn set_mask(&mut self, mask: Mask) {
        self.mask = mask;
    }

    /// The file's name as shown in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line on which `span` begins, counted from 1.
    pub fn line(&self, span: Span) -> usize {
        self.line_starts
            .partition_point(|start| *start <= span.start as usize)
            .max(1)
    }

    /// The column at which `span` begins, counted from 1 in characters.
    pub fn column(&self, span: Span) -> usize {
        let start = self.line_starts[self.line(span) - 1];
        let before = self
            .text
            .get(start..(span.start as usize).min(self.text.len()));
        before.unwrap_or_default().chars().count() + 1
    }

    /// The whole line `number` (from 1) without its line break, and where it begins.
    fn line_text(&self, number: usize) -> (&str, usize) {
        let start = self.line_starts[number - 1];
        let end = self
            .line_starts
            .get(number)
            .map_or(self.text.len(), |next| next - 1);
        (self.text[start..end].trim_end_matches('\r'), start)
    }

    /// `diagnostics` as text for a person, with colour only where `colour` says so.
    pub fn render(&self, diagnostics: &Diagnostics, colour: bool) -> String {
        let mut out = String::new();
        for diagnostic in diagnostics.iter() {
            out.push_str(&self.render_one(diagnostic, colour));
            out.push_str("\n\n");
        }
        if diagnostics.left_out() > 0 {
            out.push_str(&format!("and {} more\n", diagnostics.left_out()));
        }
        out
    }

    /// One diagnostic as text, without a line break at its end.
    pub fn render_one(&self, diagnostic: &Diagnostic, colour: bool) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut main = Group::with_title(level.primary_title(diagnostic.message.as_str()));
        main = self.place(
            main,
            diagnostic.span,
            AnnotationKind::Primary,
            diagnostic.label.as_deref(),
        );
        if let Some(hint) = &diagnostic.hint {
            main = main.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        let mut report = vec![main];
        for (span, label) in &diagnostic.related {
            let group = Group::with_title(Level::NOTE.secondary_title(label.as_str()));
            report.push(self.place(group, *span, AnnotationKind::Primary, None));
        }
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.term_width(DEFAULT_TERM_WIDTH).render(&report)
    }

    fn place<'a>(
        &'a self,
        group: Group<'a>,
        span: Span,
        kind: AnnotationKind,
        label: Option<&'a str>,
    ) -> Group<'a> {
        let number = self.line(span);
        let (line, offset) = self.line_text(number);
        let masked = self.mask.line(line, offset);
        let at = |byte: u32| {
            let index = (byte as usize).saturating_sub(offset).min(line.len());
            masked.moved[index]
        };
        let start = at(span.start);
        let end = at(span.end)
            .max(start + 1)
            .min(masked.text.len())
            .max(start);
        let mut snippet = Snippet::source(masked.text.clone())
            .line_start(number)
            .fold(false)
            .annotation(kind.span(start..end).label(label));
        if masked.text[..start].chars().count() + 1 == self.column(span) {
            snippet = snippet.path(self.name.as_str());
            return group.element(snippet);
        }
        // What was masked before the place moved it: the true column comes from us.
        let origin = Origin::path(self.name.as_str())
            .line(number)
            .char_column(self.column(span));
        group.element(origin).element(snippet)
    }
}
