//! The static tables of keys: what the decoder accepts is what the reference and the JSON Schema say.

/// A mapping of the file and its keys.
#[derive(Debug)]
pub struct Table {
    /// Its name in the reference.
    pub name: &'static str,
    /// What it is, in the doc comment's words.
    pub doc: &'static [&'static str],
    /// The keys it has.
    pub fields: &'static [Field],
    /// The key that a bare value stands for: `match: /x/` is `match: { path: /x/ }`.
    pub short: Option<&'static str>,
    /// Keys of the contract that this version does not have yet.
    pub unavailable: &'static [&'static str],
    /// How keys begin that are left alone: a place for YAML anchors.
    pub extensions: Option<&'static str>,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it means, in the doc comment's words.
    pub doc: &'static [&'static str],
    /// Whether it can be left out.
    pub presence: Presence,
    /// What its value looks like.
    pub ty: fn() -> Type,
}

/// Whether a key can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must be there.
    Required,
    /// Nothing takes its place.
    Optional,
    /// This takes its place.
    Default(&'static str),
}

/// What a value looks like.
#[derive(Clone, Debug)]
pub enum Type {
    /// A scalar: its name in the reference and, where there is one, the pattern that it matches.
    Scalar(&'static str, Option<&'static str>),
    /// `true` or `false`.
    Bool,
    /// A whole number, not negative.
    Integer,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A list.
    List(Box<Type>),
    /// A list, or one item without the brackets.
    OneOrList(Box<Type>),
    /// A mapping from names that the user chooses.
    Map(Box<Type>),
    /// A mapping with known keys.
    Table(&'static Table),
    /// One of several forms.
    AnyOf(Vec<Type>),
    /// Whatever it is.
    Any,
    /// A mapping with these keys and exactly one more, its kind.
    Tagged(&'static Table),
}

/// One kind of an externally tagged choice: its key and what is under it.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// The key.
    pub name: &'static str,
    /// What is under it.
    pub table: fn() -> &'static Table,
}

/// How many keys these lists have together.
pub const fn count(parts: &[&[Field]]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < parts.len() {
        sum += parts[at].len();
        at += 1;
    }
    sum
}

/// These lists as one, in their order; `N` is their [`count`].
pub const fn joined<const N: usize>(parts: &[&[Field]]) -> [Field; N] {
    let mut all = [PLACEHOLDER; N];
    let (mut part, mut at, mut to) = (0, 0, 0);
    while part < parts.len() {
        if at == parts[part].len() {
            (part, at) = (part + 1, 0);
            continue;
        }
        all[to] = parts[part][at];
        (at, to) = (at + 1, to + 1);
    }
    all
}

const PLACEHOLDER: Field = Field {
    name: "",
    doc: &[],
    presence: Presence::Optional,
    ty: || Type::Bool,
};
