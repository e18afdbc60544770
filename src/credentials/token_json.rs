//! The JSON of token endpoints: only the fields that matter, borrowed from the body, forgiving one fault.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use zeroize::Zeroizing;

/// One field, of whatever type it came in.
#[derive(Clone, Default)]
pub(super) enum Field<'a> {
    /// Absent or null.
    #[default]
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// The texts of a list.
    List(Vec<Cow<'a, str>>),
    /// An object, of which only a numeric `code` or `status` is kept.
    Object {
        code: Option<f64>,
    },
}

/// The fields that mean something to us.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) access_token: Field<'a>,
    pub(super) refresh_token: Field<'a>,
    pub(super) token_type: Field<'a>,
    pub(super) expires_in: Field<'a>,
    pub(super) scope: Field<'a>,
    pub(super) issued_token_type: Field<'a>,
    pub(super) error: Field<'a>,
    pub(super) code: Field<'a>,
    pub(super) exp: Field<'a>,
    /// The token stood there twice: no guess is made which one is meant.
    pub(super) ambiguous: bool,
}

/// Reads a JSON object; none when it is not one, not even with its trailing commas dropped.
pub(super) fn with_fields<T>(body: &[u8], read: impl FnOnce(Fields<'_>) -> T) -> Option<T> {
    if let Ok(fields) = serde_json::from_slice(body) {
        return Some(read(fields));
    }
    let lenient = without_trailing_commas(body);
    serde_json::from_slice(&lenient).ok().map(read)
}

/// Drops each comma that only white space separates from a closing bracket (Bright Pattern documents such answers).
pub(super) fn without_trailing_commas(body: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(body.len()));
    let (mut in_string, mut escaped) = (false, false);
    for (at, &byte) in body.iter().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if byte == b',' {
            let next = body[at + 1..]
                .iter()
                .find(|byte| !byte.is_ascii_whitespace());
            if matches!(next, Some(b'}' | b']')) {
                continue;
            }
        }
        out.push(byte);
    }
    out
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let field = match key.as_ref() {
                "access_token" | "accessToken" => {
                    fields.ambiguous |= !matches!(fields.access_token, Field::Null);
                    &mut fields.access_token
                }
                "refresh_token" | "refreshToken" => &mut fields.refresh_token,
                "token_type" | "tokenType" => &mut fields.token_type,
                "expires_in" | "expiresIn" => &mut fields.expires_in,
                "scope" => &mut fields.scope,
                "issued_token_type" => &mut fields.issued_token_type,
                "error" => &mut fields.error,
                "code" => &mut fields.code,
                "exp" => &mut fields.exp,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = map.next_value()?;
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Field::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Field::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Field::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = seq.next_element()? {
            if let Field::Text(text) = item {
                texts.push(text);
            }
        }
        Ok(Field::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut code = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value()?;
            if let ("code" | "status", Field::Number(number)) = (key.as_ref(), value) {
                code = Some(number);
            }
        }
        Ok(Field::Object { code })
    }
}
