//! `config_struct!` and `config_words!`: a mapping's struct, decoder and table of keys from one list.

/// Declares a mapping of the file: the struct, its decoder and its table of keys, all from one list.
///
/// Each key is `required`, `optional` or `default("text as the user would write it")`. A required or default
/// key becomes a field of type `Sp<T>`, an optional one `Option<Sp<T>>`. `name as "key": T` names a key that is no
/// identifier in Rust. `short = "key"` names the key for which a bare value stands, `unavailable = [...]`
/// keys of the contract that are not built yet, `flatten = [field: Type, ...]` other such structs whose keys stand
/// in this mapping too.
///
/// ```
/// bearerd::config_struct! {
///     /// A client's account at the token endpoint.
///     pub struct Account = "account" {
///         /// Who we are.
///         required client_id: String,
///         /// How long an answer may take.
///         default("10s") timeout: std::time::Duration,
///         /// Which rights to ask for.
///         optional scope: String,
///     }
/// }
/// ```
#[macro_export]
macro_rules! config_struct {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident = $title:literal $(, short = $short:literal)? $(, unavailable = [$($gone:literal),* $(,)?])? $(, extensions = $extensions:literal)? $(, flatten = [$($flat:ident: $flat_ty:ty),* $(,)?])? {
            $(
                $(#[doc = $field_doc:literal])*
                $presence:ident $(($default:literal))? $field:ident $(as $key:literal)? : $ty:ty
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $( $(#[doc = $field_doc])* pub $field: $crate::config_struct!(@type $presence $ty), )*
            $($(
                /// Keys that others have as well.
                pub $flat: $flat_ty,
            )*)?
            /// Keys that are in the file but could not be read (each has its diagnostic).
            pub failed: Vec<&'static str>,
        }

        impl $name {
            /// The keys of this mapping.
            $vis const TABLE: &'static $crate::config::table::Table = &$crate::config::table::Table {
                name: $title,
                doc: &[$($doc),*],
                fields: &{
                    const PARTS: &[&[$crate::config::table::Field]] = &[
                        &[$(
                            $crate::config::table::Field {
                                name: $crate::config_struct!(@key $field $($key)?),
                                doc: &[$($field_doc),*],
                                presence: $crate::config_struct!(@presence $presence $($default)?),
                                ty: <$ty as $crate::config::decode::Decode>::ty,
                            }
                        ),*],
                        $($(<$flat_ty>::TABLE.fields,)*)?
                    ];
                    $crate::config::table::joined::<{ $crate::config::table::count(PARTS) }>(PARTS)
                },
                short: $crate::config_struct!(@short $($short)?),
                unavailable: &[$($($gone),*)?],
                extensions: $crate::config_struct!(@short $($extensions)?),
            };
        }

        impl $name {
            /// Reads this mapping's keys from `fields`, which may have others.
            pub(crate) fn read(
                fields: &mut $crate::config::fields::Fields<'_>,
                decoder: &mut $crate::config::decode::Decoder,
            ) -> Option<Self> {
                $(
                    let $field = $crate::config_struct!(
                        @decode $presence fields decoder $ty, $crate::config_struct!(@key $field $($key)?) $(, $default)?
                    );
                )*
                $($( let $flat = <$flat_ty>::read(fields, decoder); )*)?
                Some(Self {
                    $( $field: $crate::config_struct!(@unwrap $presence $field), )*
                    $($( $flat: $flat?, )*)?
                    failed: Vec::new(),
                })
            }
        }

        impl $crate::config::decode::Decode for $name {
            fn decode(
                node: &$crate::config::node::Node,
                decoder: &mut $crate::config::decode::Decoder,
            ) -> Option<Self> {
                let mut fields = decoder.fields(node, Self::TABLE)?;
                let read = Self::read(&mut fields, decoder);
                let failed = fields.finish(decoder);
                Some(Self { failed, ..read? })
            }

            fn ty() -> $crate::config::table::Type {
                $crate::config::table::Type::Table(Self::TABLE)
            }
        }
    };
    (@type optional $ty:ty) => { Option<$crate::config::Sp<$ty>> };
    (@type $other:ident $ty:ty) => { $crate::config::Sp<$ty> };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@short) => { None };
    (@short $short:literal) => { Some($short) };
    (@presence required) => { $crate::config::table::Presence::Required };
    (@presence optional) => { $crate::config::table::Presence::Optional };
    (@presence default $text:literal) => { $crate::config::table::Presence::Default($text) };
    (@decode required $fields:ident $decoder:ident $ty:ty, $key:expr) => { $fields.required::<$ty>($key, $decoder) };
    (@decode optional $fields:ident $decoder:ident $ty:ty, $key:expr) => { $fields.optional::<$ty>($key, $decoder) };
    (@decode default $fields:ident $decoder:ident $ty:ty, $key:expr, $text:literal) => {
        $fields.defaulted::<$ty>($key, $text, $decoder)
    };
    (@unwrap optional $field:ident) => { $field };
    (@unwrap $other:ident $field:ident) => { $field? };
}

/// Declares a closed set of words: the enum, its decoder and its list for the reference.
#[macro_export]
macro_rules! config_words {
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident {
            $( $(#[doc = $word_doc:literal])* $variant:ident = $word:literal ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[doc = $word_doc])* $variant, )*
        }

        impl $crate::config::decode::Decode for $name {
            fn decode(
                node: &$crate::config::node::Node,
                decoder: &mut $crate::config::decode::Decoder,
            ) -> Option<Self> {
                const WORDS: &[(&str, $name)] = &[$(($word, $name::$variant)),*];
                $crate::config::scalars::word(node, decoder, WORDS)
            }

            fn ty() -> $crate::config::table::Type {
                $crate::config::table::Type::Words(&[$($word),*])
            }
        }
    };
}

#[cfg(test)]
mod tests;
