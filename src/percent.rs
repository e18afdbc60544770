//! Percent-encoding (RFC 3986 2.1), decoded the way that lenient servers do.

use std::borrow::Cow;

/// Decodes each `%XX` once; what encodes nothing stays. `None` where nothing is decoded.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let first = text.iter().position(|&byte| byte == b'%')?;
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let [byte, after @ ..] = rest {
        let value = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match value {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    (decoded.len() < text.len()).then_some(decoded)
}

/// Decodes a name or value of a query: `%XX`, and `+` for a space, as forms and nearly all servers do.
pub(crate) fn decode_form(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text.as_bytes());
    }
    let spaced = text.replace('+', " ").into_bytes();
    Cow::Owned(decode(&spaced).unwrap_or(spaced))
}

/// Encodes all but the unreserved characters (RFC 3986 2.3), so that the text is a leaf anywhere in a URL.
pub(crate) fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            _ => {
                into.push('%');
                for digit in [byte >> 4, byte & 15] {
                    into.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_once_and_leaves_what_encodes_nothing() {
        assert_eq!(decode(b"a%2fb%2"), Some(b"a/b%2".to_vec()));
        assert_eq!(decode(b"%252f"), Some(b"%2f".to_vec()));
        assert_eq!(decode(b"%zz%"), None);
        assert_eq!(&*decode_form("a+b%2B"), b"a b+");
    }

    proptest! {
        #[test]
        fn encoded_text_is_unreserved_and_decodes_to_itself(text in ".*") {
            let mut encoded = String::new();
            encode(&text, &mut encoded);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            let decoded = decode(encoded.as_bytes()).unwrap_or(encoded.into_bytes());
            prop_assert_eq!(decoded, text.into_bytes());
        }
    }
}
