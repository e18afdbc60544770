//! A certificate's subject as text (RFC 4514), to be compared with what the file says.
//!
//! Read strictly: a subject that is not read whole has no text, and so is nobody.

/// The text of a Name, whose outer SEQUENCE has been taken off; `None` where it is anything but known attributes.
pub(super) fn text(name: &[u8]) -> Option<String> {
    let mut rest = name;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (set, after) = value(rest, SET)?;
        rest = after;
        parts.push(relative(set)?);
    }
    // The last comes first (RFC 4514, 2.1).
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// One relative name: attributes joined by `+`.
fn relative(mut set: &[u8]) -> Option<String> {
    let mut attributes = Vec::new();
    while !set.is_empty() {
        let (pair, after) = value(set, SEQUENCE)?;
        set = after;
        let (oid, text) = value(pair, OID)?;
        let (_, short) = ATTRIBUTES.iter().find(|(known, _)| *known == oid)?;
        let (&tag, _) = text.split_first()?;
        if !TEXTS.contains(&tag) {
            return None;
        }
        let (text, []) = value(text, tag)? else {
            return None;
        };
        attributes.push(format!(
            "{short}={}",
            escaped(std::str::from_utf8(text).ok()?)
        ));
    }
    (!attributes.is_empty()).then(|| attributes.join("+"))
}

/// The contents of the first element, which has this tag, and what follows it (X.690, DER).
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (found == tag)
        .then(|| rest.split_at_checked(length))
        .flatten()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let last = at + letter.len_utf8() == text.len();
        match letter {
            '\0' => escaped.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', letter]),
            '#' if at == 0 => escaped.push_str("\\#"),
            ' ' if at == 0 || last => escaped.push_str("\\ "),
            _ => escaped.push(letter),
        }
    }
    escaped
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
/// UTF8String, PrintableString, IA5String: ASCII or UTF-8 all.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// Short names of RFC 4514, 3, and of what else is common in subjects.
const ATTRIBUTES: [(&[u8], &str); 10] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(oid: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        let element = |tag: u8, of: &[u8]| [&[tag, of.len() as u8][..], of].concat();
        let pair = [element(OID, oid), element(tag, text)].concat();
        element(SET, &element(SEQUENCE, &pair))
    }

    #[test]
    fn what_would_end_an_attribute_is_escaped() {
        let name = attribute(&[0x55, 4, 3], 0x0c, b" a,O=b+c\\");
        assert_eq!(text(&name).as_deref(), Some("CN=\\ a\\,O=b\\+c\\\\"));
    }

    #[test]
    fn what_is_not_understood_is_nobody() {
        let good = attribute(&[0x55, 4, 3], 0x0c, b"a");
        assert_eq!(text(&good).as_deref(), Some("CN=a"));
        let unknown = attribute(&[0x55, 4, 99], 0x0c, b"a");
        let binary = attribute(&[0x55, 4, 3], 0x04, b"a");
        let not_utf8 = attribute(&[0x55, 4, 3], 0x0c, b"\xff");
        for name in [&unknown, &binary, &not_utf8] {
            assert_eq!(text(&[&good[..], name].concat()), None);
        }
        for cut in 1..good.len() {
            assert_eq!(text(&good[..cut]), None, "{cut}");
        }
        assert_eq!(text(b""), None);
    }
}
