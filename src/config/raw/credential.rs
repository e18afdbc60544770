//! `credentials:` how upstream credentials are obtained and where they go in a request.

use std::time::Duration;

use http::HeaderName;

use super::{OnFailure, RawLogin, RefusedSetting, StripList};
use crate::{
    config::{
        Diagnostic, Node, Sp, Span,
        decode::{Decode, Decoder},
        node::Kind,
        scalars::{MaskedText, OneOrList, Tree},
        table::{Type, Variant},
    },
    config_struct,
};

/// Keys of the kind that may stand beside it as well.
const PASSED_DOWN: [&str; 2] = ["default_expires_in", "danger_plaintext"];

config_struct! {
    /// A credential: exactly one kind, and how it is used.
    pub struct CredentialSettings = "a credential" {
        /// Where it goes in a request, instead of the kind's own place.
        optional inject: OneOrList<Inject>,
        /// Parameters of `preset`.
        optional with: Tree,
        /// More that the client may not send on its routes, besides what the route says.
        optional strip: StripList,
        /// What counts as a refusal on its routes, unless the route says otherwise.
        optional refused: RefusedSetting,
        /// Which other credential requests carry whose path at the upstream is another family's: the longest path wins.
        optional families: Vec<Sp<Family>>,
        /// `false` keeps a caller's own header instead of ours, where it sends one.
        optional overwrite: bool,
        /// What happens to a request for which it is not to be had.
        optional on_failure: OnFailure,
        /// How long a request waits for it.
        optional wait: Duration,
        /// Obtains it at start instead of at the first request; readiness waits for it.
        default("false") prewarm: bool,
        /// The least time to the next attempt after the token endpoint refused us, instead of 30 s doubling to
        /// 15 minutes: for servers that lock an account after wrong secrets.
        optional probe_after: Duration,
        /// Paths at which the vendor hands out tokens, besides the credential's own token endpoints.
        optional emulate: OneOrList<RawLogin>,
        /// The same key of the kind, written beside it.
        optional default_expires_in: Duration,
        /// The same key of the kind, written beside it.
        optional danger_plaintext: bool,
    }
}

config_struct! {
    /// Paths at the upstream that want another credential.
    pub struct Family = "a family" {
        /// The paths: a prefix where it ends in `/`, else exactly this one.
        required path: String,
        /// The credential that they want.
        required credential: String,
    }
}

config_struct! {
    /// One place in a request, exactly one of `header`, `query` and `cookie`, and what is put there.
    pub struct Inject = "an injection" {
        /// The header that is set.
        optional header: HeaderName,
        /// The query parameter that is set.
        optional query: String,
        /// The cookie that is set.
        optional cookie: String,
        /// What is put there: text with parts of the credential, as in `Bearer {{ access_token }}`.
        required value: MaskedText,
        /// `true` sets nothing where the credential lacks a part of `value`, instead of an error.
        default("false") optional: bool,
        /// `false` keeps a caller's own header instead of ours, where it sends one.
        optional overwrite: bool,
    }
}

/// A credential as written: its kind's own mapping stays a tree, as each kind brings its own type.
#[derive(Clone, Debug)]
pub struct RawCredential {
    /// The kind's key.
    pub kind: &'static str,
    /// Where that key stands.
    pub kind_span: Span,
    /// What is under it.
    pub grant: Node,
    /// How it is used.
    pub settings: CredentialSettings,
}

impl Decode for RawCredential {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let kinds: &'static [Variant] = decoder.kinds;
        let mut fields = decoder.fields(node, CredentialSettings::TABLE)?;
        let found = fields.one_of(kinds, decoder);
        let settings = CredentialSettings::read(&mut fields, decoder);
        let failed = fields.finish(decoder);
        let (kind, kind_span, grant) = found?;
        let mut grant = grant.clone();
        if let (Kind::Map(theirs), Kind::Map(ours)) = (&mut grant.kind, &node.kind) {
            for key in PASSED_DOWN {
                let given = theirs.iter().any(|entry| entry.key == key);
                theirs.extend(
                    ours.iter()
                        .filter(|entry| entry.key == key && !given)
                        .cloned(),
                );
            }
        }
        let settings = CredentialSettings {
            failed,
            ..settings?
        };
        if let Some(with) = &settings.with {
            let error = Diagnostic::error(with.span, "`with` holds the parameters of a `preset`");
            decoder.push(error.hint(format!(
                "write the settings below `{}`, or name a preset",
                kind.name
            )));
        }
        Some(Self {
            kind: kind.name,
            kind_span,
            grant,
            settings,
        })
    }

    fn ty() -> Type {
        Type::Tagged(CredentialSettings::TABLE)
    }
}
