//! Which parts of the file an excerpt may show: what is known to be no secret; all else becomes `****`.

use super::{
    node::{Kind, Node},
    span::Span,
};

/// The places that decoding found harmless, and those that it found secret.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    shown: Vec<Span>,
    hidden: Vec<Span>,
}

impl Marks {
    /// Allows excerpts to show `span`.
    pub fn show(&mut self, span: Span) {
        if self.shown.last() != Some(&span) {
            self.shown.push(span);
        }
    }

    /// Forbids excerpts to show `span`, whoever else allows it (an alias can be both a name and a secret).
    pub fn hide(&mut self, span: Span) {
        if self.hidden.last() != Some(&span) {
            self.hidden.push(span);
        }
    }
}

/// Decides, character by character, what an excerpt of one file shows.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    shown: Vec<Span>,
    /// Scalars and keys; `None` where the file could not be parsed and nobody knows where they are.
    scalars: Option<Vec<Span>>,
    /// Keys that may be shown in a file that could not be parsed.
    known_keys: Vec<&'static str>,
}

/// A masked line: `****` in the place of each run of characters that must not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedLine {
    /// What may be shown.
    pub text: String,
    /// For each byte of the source line, and its end, the byte of `text` where it went.
    pub moved: Vec<usize>,
}

impl Mask {
    /// The mask of a file that was parsed to `root` and decoded with `marks`.
    pub fn of_tree(root: &Node, marks: &Marks, text: &str) -> Self {
        let mut scalars = Vec::new();
        root.visit(&mut |node| match &node.kind {
            Kind::Scalar(_) => scalars.push(node.span),
            Kind::Map(entries) => scalars.extend(entries.iter().map(|e| e.key_span)),
            // What could not be filled in is shown as it stands by whoever marked it, else masked.
            Kind::Faulty => scalars.push(node.span),
            Kind::Null | Kind::List(_) => {}
        });
        let tidy = |mut spans: Vec<Span>| {
            spans.sort_unstable();
            spans.dedup();
            spans
        };
        let hidden = tidy(marks.hidden.clone());
        let mut shown = tidy(marks.shown.clone());
        shown.retain(|span| {
            let source = text.get(span.range()).unwrap_or_default();
            // User information or a query of a URL, also in the default of a variable that is set.
            let secret_url = source.contains("://") && source.contains(['@', '?']);
            !secret_url && hidden.binary_search(span).is_err()
        });
        Self {
            shown,
            scalars: Some(tidy(scalars)),
            known_keys: Vec::new(),
        }
    }

    /// The mask of a file that could not be parsed: only known keys before a colon are shown.
    pub fn of_broken(known_keys: Vec<&'static str>) -> Self {
        Self {
            known_keys,
            ..Self::default()
        }
    }

    /// What may be shown of `line`, which begins at byte `offset` of the file.
    pub fn line(&self, line: &str, offset: usize) -> MaskedLine {
        let visible = match &self.scalars {
            Some(scalars) => self.visible(scalars, line, offset),
            None => self.visible_of_broken(line),
        };
        let mut masked = MaskedLine {
            text: String::new(),
            moved: Vec::with_capacity(line.len() + 1),
        };
        let mut in_run = false;
        for ((_, c), show) in line.char_indices().zip(visible) {
            if show || !in_run {
                masked
                    .moved
                    .extend(std::iter::repeat_n(masked.text.len(), c.len_utf8()));
                if show {
                    masked.text.push(c)
                } else {
                    masked.text.push_str("****")
                }
            } else {
                // Inside a run: points into its stars, so that a span over it is not empty.
                masked
                    .moved
                    .extend(std::iter::repeat_n(masked.text.len() - 1, c.len_utf8()));
            }
            in_run = !show;
        }
        masked.moved.push(masked.text.len());
        masked
    }

    fn visible(&self, scalars: &[Span], line: &str, offset: usize) -> Vec<bool> {
        let mut visible = Vec::with_capacity(line.len());
        let mut anchor = false;
        let mut previous = ' ';
        let mut comment = false;
        for (at, c) in line.char_indices() {
            let at = Span::new(offset + at, offset + at + c.len_utf8());
            visible.push(if covers(&self.shown, at) {
                true
            } else if comment || covers(scalars, at) {
                false
            } else if c == '#' && previous.is_whitespace() {
                comment = true;
                true
            } else if c.is_alphanumeric() || c == '_' || c == '-' && !previous.is_whitespace() {
                anchor
            } else {
                // Structure. A word after `&` or `*` is an anchor's name.
                anchor = matches!(c, '&' | '*');
                c.is_whitespace() || "{}[],:-?<&*".contains(c)
            });
            previous = c;
        }
        visible
    }

    /// Known keys before a colon, and variables without a default.
    fn visible_of_broken(&self, line: &str) -> Vec<bool> {
        let mut shown = vec![false; line.len()];
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let bytes = line.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let end = at + bytes[at..].iter().take_while(|b| is_word(**b)).count();
            let word = &line[at..end];
            let alone = at == 0 || b" {,-".contains(&bytes[at - 1]);
            let colon =
                bytes.get(end) == Some(&b':') && matches!(bytes.get(end + 1), None | Some(b' '));
            if alone && colon && self.known_keys.contains(&word) {
                shown[at..=end].fill(true);
            } else if at >= 2 && bytes[at - 2..at] == *b"${" && bytes.get(end) == Some(&b'}') {
                shown[at - 2..=end].fill(true);
            }
            // Beyond the word, or the one character that is none; never into the middle of one.
            at = end.max(at + 1);
            while !line.is_char_boundary(at) {
                at += 1;
            }
        }
        let indent = line.len() - line.trim_start_matches([' ', '-', '\t']).len();
        line.char_indices()
            .map(|(at, c)| at < indent || shown[at] || c.is_whitespace())
            .collect()
    }
}

/// Whether one of the sorted `spans` contains `at`.
fn covers(spans: &[Span], at: Span) -> bool {
    let upto = spans.partition_point(|span| span.start <= at.start);
    // Scalars never overlap; an empty one may begin where another does.
    spans[..upto]
        .iter()
        .rev()
        .take(2)
        .any(|span| span.contains(at))
}
