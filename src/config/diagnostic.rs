//! What is wrong with the file, for a person: the place, the finding, a hint. Never a secret.

use super::span::Span;

/// Whether the file can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is never applied.
    Error,
    /// The file works; something in it deserves a look.
    Warning,
}

/// One finding.
///
/// Messages, labels and hints are shown as they are: whoever makes one puts no value into it that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it forbids the file's use.
    pub severity: Severity,
    /// The finding, in one line.
    pub message: String,
    /// Where it is.
    pub span: Span,
    /// What to say right at the place.
    pub label: Option<String>,
    /// Other places that matter, such as "first given here".
    pub related: Vec<(Span, String)>,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A finding that forbids the file's use.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span,
            label: None,
            related: Vec::new(),
            hint: None,
        }
    }

    /// A finding that does not.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    /// Says `text` right at the place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Points at a second place.
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push((span, text.into()));
        self
    }

    /// Says how to mend it.
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    /// Says which of `candidates` was likely meant by `given`, else which there are.
    pub fn suggest<'a>(self, given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<&str> = candidates.into_iter().collect();
        if let Some(near) = nearest(given, all.iter().copied()) {
            return self.hint(format!("did you mean `{near}`?"));
        }
        all.sort_unstable();
        match all.len() {
            0 => self,
            1..=12 => self.hint(format!("there is: `{}`", all.join("`, `"))),
            n => self.hint(format!(
                "there are {n}, among them `{}`",
                all[..8].join("`, `")
            )),
        }
    }
}

/// The candidate that `given` is most likely a slip of, if any is near enough.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |s: &str| s.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let folded = fold(given);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&folded, &fold(c)), c))
        .filter(|(distance, c)| *distance <= (c.len().min(given.len()) / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// All findings of one file.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    left_out: usize,
}

/// More findings than this are counted, not kept: nobody reads the thousandth.
const MAX_KEPT: usize = 200;

impl Diagnostics {
    /// Adds a finding; one at the same place with the same words is kept once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        // A faulty mapping that many routes merge is decoded for each of them.
        if self.found.contains(&diagnostic) {
            return;
        }
        if self.found.len() >= MAX_KEPT && diagnostic.severity == Severity::Warning {
            self.left_out += 1;
            return;
        }
        if self.found.len() >= MAX_KEPT * 2 {
            self.left_out += 1;
            return;
        }
        self.found.push(diagnostic);
    }

    /// Adds an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    /// Whether any finding forbids the file's use.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many errors were found.
    pub fn errors(&self) -> usize {
        self.found
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    /// How many findings were counted but not kept.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The findings in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.found.iter().collect();
        sorted.sort_by_key(|d| (d.span.start, d.severity));
        sorted.into_iter()
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Diagnostics) {
        self.left_out += other.left_out;
        other.found.into_iter().for_each(|d| self.push(d));
    }
}
