//! The scalars of the file and their units: text, words, numbers, durations, sizes, addresses.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    decode::{Decode, Decoder},
    diagnostic::{Diagnostic, nearest},
    node::{Kind, Node},
    span::Sp,
    table::Type,
};
use crate::secret::Secret;

/// A number of bytes: `64KiB`, `1MiB`, `500`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Text that excerpts mask, as it may be or hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedText(pub Secret);

/// Whatever stands there, to be read later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(pub Node);

/// A list, or one item without the brackets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrList<T>(pub Vec<Sp<T>>);

/// A mapping from names that the user chose.
///
/// A name whose value could not be read is kept, so that what refers to it is not called wrong as well.
#[derive(Clone, Debug)]
pub struct Named<T>(pub Vec<(Sp<String>, Option<Sp<T>>)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// All names, also those whose values could not be read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.value.as_str())
    }

    /// Names and values that could be read.
    pub fn iter(&self) -> impl Iterator<Item = (&Sp<String>, &Sp<T>)> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Sp<T>> {
        self.iter()
            .find(|(n, _)| n.value == name)
            .map(|(_, value)| value)
    }
}

/// Reads one of `words`.
pub fn word<T: Copy>(node: &Node, decoder: &mut Decoder, words: &[(&str, T)]) -> Option<T> {
    let text = &decoder.scalar(node, "a word")?.text;
    if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
        return Some(*value);
    }
    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let mut error = Diagnostic::error(node.span, format!("expected one of `{}`", all.join("`, `")));
    if let Some(near) = nearest(text, all) {
        error = error.hint(format!("did you mean `{near}`?"));
    }
    decoder.push(error);
    None
}

impl Decode for String {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        decoder
            .scalar(node, "text")
            .map(|scalar| scalar.text.clone())
    }

    fn ty() -> Type {
        Type::Scalar("text", None)
    }
}

impl Decode for MaskedText {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        decoder.marks.hide(node.span);
        let text = &decoder.hidden_scalar(node, "text")?.text;
        Some(Self(Secret::new(text.clone())))
    }

    fn ty() -> Type {
        Type::Scalar("text", None)
    }
}

impl Decode for Tree {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match node.kind {
            Kind::Faulty => None,
            Kind::Null => decoder.mismatch(node, "a value"),
            _ => Some(Self(node.clone())),
        }
    }

    fn ty() -> Type {
        Type::Any
    }
}

impl Decode for PathBuf {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "a path of a file")?.text;
        if text.is_empty() {
            return decoder.fail(node.span, "the path is empty");
        }
        Some(text.into())
    }

    fn ty() -> Type {
        Type::Scalar("path", None)
    }
}

impl Decode for bool {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let scalar = decoder.scalar(node, "`true` or `false`")?;
        match scalar.text.as_str() {
            "true" if scalar.typed => Some(true),
            "false" if scalar.typed => Some(false),
            _ => {
                let hint = "write `true` or `false`, without quotes; `yes` and `on` are text";
                let message = format!("expected `true` or `false`, found {}", node.describe());
                decoder.push(Diagnostic::error(node.span, message).hint(hint));
                None
            }
        }
    }

    fn ty() -> Type {
        Type::Bool
    }
}

impl Decode for u64 {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let scalar = decoder.scalar(node, "a whole number")?;
        let digits = scalar.text.replace('_', "");
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        match digits.parse() {
            Ok(number) if scalar.typed && !leading_zero && !digits.starts_with('+') => Some(number),
            Ok(_) if scalar.typed => {
                decoder.fail(node.span, "write the number without a leading `0` or `+`")
            }
            _ => decoder.mismatch_number(node),
        }
    }

    fn ty() -> Type {
        Type::Integer
    }
}

impl Decoder {
    fn mismatch_number<T>(&mut self, node: &Node) -> Option<T> {
        self.fail(
            node.span,
            format!(
                "expected a whole number that is not negative, found {}",
                node.describe()
            ),
        )
    }
}

impl Decode for u16 {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let number = u64::decode(node, decoder)?;
        number
            .try_into()
            .ok()
            .or_else(|| decoder.fail(node.span, "this number is larger than 65535"))
    }

    fn ty() -> Type {
        Type::Integer
    }
}

impl Decode for Duration {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "a duration")?.text;
        parse_duration(text).or_else(|| {
            let hint =
                "write a number and its unit, as in `250ms`, `30s`, `5m`, `1h`, `1d` or `1h30m`";
            decoder.push(Diagnostic::error(node.span, "this is no duration").hint(hint));
            None
        })
    }

    fn ty() -> Type {
        Type::Scalar("duration", Some(r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$|\$\{"))
    }
}

/// `1h30m`, `250ms`, `1.5s`: at least one number with its unit, nothing else. At most 100 years.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit_len = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        total += number
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = after;
    }
    const CENTURY: f64 = 100.0 * 365.25 * 86_400.0;
    (total <= CENTURY).then(|| Duration::from_nanos((total * 1e9).round() as u64))
}

impl Decode for ByteSize {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "a size")?.text;
        parse_size(text).map(Self).or_else(|| {
            let hint = "write bytes as a number or with a unit, as in `65536`, `64KiB`, `1MiB`";
            decoder.push(Diagnostic::error(node.span, "this is no size").hint(hint));
            None
        })
    }

    fn ty() -> Type {
        Type::Scalar("size", Some(r"^[0-9]+ *(B|KiB|MiB|GiB|KB|MB|GB)?$|\$\{"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

impl Decode for SocketAddr {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = &decoder.scalar(node, "an address with a port")?.text;
        let named = text
            .strip_prefix("localhost:")
            .map(|port| format!("127.0.0.1:{port}"));
        named.as_deref().unwrap_or(text).parse().ok().or_else(|| {
            let hint = "write an IP address and a port, as in `127.0.0.1:8080` or `[::1]:8080`; quote the latter";
            decoder.push(Diagnostic::error(node.span, "this is no address to listen on").hint(hint));
            None
        })
    }

    fn ty() -> Type {
        Type::Scalar("address", None)
    }
}

impl<T: Decode> Decode for Vec<Sp<T>> {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.kind {
            Kind::List(items) => Some(decode_items(items, decoder)),
            Kind::Null => decoder.fail(
                node.span,
                "this list is empty; give it an item, or write `[]`",
            ),
            _ => decoder.mismatch(node, "a list"),
        }
    }

    fn ty() -> Type {
        Type::List(Box::new(T::ty()))
    }
}

impl<T: Decode> Decode for OneOrList<T> {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.kind {
            Kind::List(items) => Some(Self(decode_items(items, decoder))),
            _ => T::decode(node, decoder).map(|value| Self(vec![Sp::new(value, node.span)])),
        }
    }

    fn ty() -> Type {
        Type::OneOrList(Box::new(T::ty()))
    }
}

/// The items that could be read; the others have their diagnostics.
fn decode_items<T: Decode>(items: &[Node], decoder: &mut Decoder) -> Vec<Sp<T>> {
    items
        .iter()
        .filter_map(|item| T::decode(item, decoder).map(|value| Sp::new(value, item.span)))
        .collect()
}

impl<T: Decode> Decode for Named<T> {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            return decoder.mismatch(node, "a mapping");
        };
        let named = entries.iter().map(|entry| {
            // A name without a value may be a secret that lost its quotes, as in `{ hunter2 }`.
            if entry.value.kind != Kind::Null {
                decoder.marks.show(entry.key_span);
            }
            let value = T::decode(&entry.value, decoder);
            (
                Sp::new(entry.key.clone(), entry.key_span),
                value.map(|v| Sp::new(v, entry.value.span)),
            )
        });
        Some(Self(named.collect()))
    }

    fn ty() -> Type {
        Type::Map(Box::new(T::ty()))
    }
}

impl<T> OneOrList<T> {
    /// The items.
    pub fn iter(&self) -> std::slice::Iter<'_, Sp<T>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
