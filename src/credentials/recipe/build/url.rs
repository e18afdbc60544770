//! The URL of a call: what of it is fixed, and what is filled in.

/// Scheme with authority, path, and query where there is one.
pub(super) fn split(url: &str) -> (&str, &str, Option<&str>) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?']);
    let (origin, rest) = url.split_at(end.map_or(url.len(), |at| start + at));
    let mut at = 0;
    for piece in pieces(rest) {
        // A `?` in a template is part of it.
        if let Piece::Fixed(text) = piece
            && let Some(mark) = text.find('?')
        {
            let (path, query) = rest.split_at(at + mark);
            return (origin, or_slash(path), Some(&query[1..]));
        }
        at += piece.text().len();
    }
    (origin, or_slash(rest), None)
}

/// What there is besides templates.
pub(super) fn fixed(text: &str) -> String {
    pieces(text).map(|piece| piece.with("")).collect()
}

/// The path with `{x}` in the place of each segment that is filled in.
pub(super) fn shown(path: &str) -> String {
    let filled: String = pieces(path).map(|piece| piece.with(FILLED)).collect();
    let segments = filled
        .split('/')
        .map(|segment| match segment.contains(FILLED) {
            true => FILLED,
            false => segment,
        });
    segments.collect::<Vec<_>>().join("/")
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Fixed(&'a str),
    Template(&'a str),
}

impl<'a> Piece<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Fixed(text) | Self::Template(text) => text,
        }
    }

    /// The text itself, or what stands for a template.
    fn with(self, filled: &'a str) -> &'a str {
        match self {
            Self::Fixed(text) => text,
            Self::Template(_) => filled,
        }
    }
}

/// All of the text, in order.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let begins = |close: &str| rest[2..].find(close).map_or(rest.len(), |at| at + 4);
        let (piece, length) = if rest.starts_with("{{") {
            (Piece::Template as fn(_) -> _, begins("}}"))
        } else if rest.starts_with("{%") {
            (Piece::Template as fn(_) -> _, begins("%}"))
        } else {
            let next = ["{{", "{%"].into_iter().filter_map(|open| rest.find(open));
            (Piece::Fixed as fn(_) -> _, next.min().unwrap_or(rest.len()))
        };
        let (text, after) = rest.split_at(length);
        rest = after;
        Some(piece(text))
    })
}

fn or_slash(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

const FILLED: &str = "{x}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_where_no_template_is() {
        for (url, parts) in [
            ("https://x", ("https://x", "/", None)),
            ("https://x?a=b", ("https://x", "/", Some("a=b"))),
            ("https://x/a?", ("https://x", "/a", Some(""))),
            ("https://x/a?b?c", ("https://x", "/a", Some("b?c"))),
            (
                "https://x/{{ a if b == '?' else c }}?d",
                ("https://x", "/{{ a if b == '?' else c }}", Some("d")),
            ),
            (
                "https://x/{% if a %}?{% endif %}b",
                ("https://x", "/{% if a %}", Some("{% endif %}b")),
            ),
            ("https://x/{{ a", ("https://x", "/{{ a", None)),
            ("https://x/{é?", ("https://x", "/{é", Some(""))),
            ("x", ("x", "/", None)),
        ] {
            assert_eq!(split(url), parts, "{url}");
        }
    }

    #[test]
    fn a_segment_that_is_filled_in_is_shown_as_such() {
        for (path, shows) in [
            ("/a/b", "/a/b"),
            ("/a/{{ b }}/c", "/a/{x}/c"),
            ("/a/v{{ b }}.{{ c }}/d", "/a/{x}/d"),
            ("/{{ 'a/secret/b' }}/c", "/{x}/c"),
            ("/a{% if b %}/secret{% endif %}", "/{x}/{x}"),
            ("/{{ a", "/{x}"),
        ] {
            assert_eq!(shown(path), shows, "{path}");
        }
        assert_eq!(fixed("/a/{{ '#' }}/b{% if c %}#"), "/a//b#");
    }
}
