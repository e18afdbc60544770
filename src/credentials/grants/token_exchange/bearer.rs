//! `bearer:` whose token an exchange shows as `Authorization: Bearer`, in the place of a client's own authentication.

use super::{
    super::{BuildContext, oauth::OauthKeys},
    Config, Renew,
    origin::{Origin, Place},
};
use crate::{
    config::{Decode, Decoder, Diagnostic, Node, Sp, node::Kind, table::Type},
    credentials::Linked,
};

crate::config_words! {
    /// A token of the exchange itself.
    pub enum OwnToken {
        /// The subject's.
        Subject = "subject",
        /// The actor's.
        Actor = "actor",
    }
}

crate::config_struct! {
    /// The token of another credential.
    pub struct OtherToken = "`bearer`" {
        /// The credential whose token it is.
        required credential: String,
    }
}

/// Whose token is shown.
#[derive(Clone, Debug)]
pub enum BearerKey {
    /// One that is exchanged.
    Own(OwnToken),
    /// Another credential's.
    Other(Box<OtherToken>),
}

impl Decode for BearerKey {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => {
                let other = OtherToken::decode(node, decoder)?;
                other
                    .failed
                    .is_empty()
                    .then(|| Self::Other(Box::new(other)))
            }
            _ => OwnToken::decode(node, decoder).map(Self::Own),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![OwnToken::ty(), Type::Table(OtherToken::TABLE)])
    }
}

/// What stands as `Bearer`.
#[derive(Debug)]
pub(super) enum Bearer {
    Subject,
    Actor,
    Of(Origin),
}

/// Every fault is reported.
pub(super) fn build(
    key: &Sp<BearerKey>,
    oauth: &OauthKeys,
    has_actor: bool,
    cx: &mut dyn BuildContext,
) -> Option<Bearer> {
    let headers = oauth.headers.iter().flat_map(|all| all.iter());
    let mut names = headers.map(|(name, _)| &name.value);
    let error = if oauth.client_id.is_some() {
        // RFC 6749 2.3: one way to authenticate in a request.
        Some((
            "a client that shows a `bearer` can't authenticate in another way too",
            "remove `client_id`, `client_secret` and `client_auth`, or `bearer`",
        ))
    } else if names.any(|name| name.eq_ignore_ascii_case("authorization")) {
        Some((
            "`bearer` is the `Authorization` that `headers` set already",
            "remove one of the two",
        ))
    } else if !has_actor && matches!(key.value, BearerKey::Own(OwnToken::Actor)) {
        Some((
            "there is no `actor` whose token could be shown",
            "give `actor`, or write `bearer: subject` or `bearer: { credential: NAME }`",
        ))
    } else {
        None
    };
    if let Some((error, hint)) = error {
        cx.report(Diagnostic::error(key.span, error).hint(hint));
        return None;
    }
    Some(match &key.value {
        BearerKey::Own(OwnToken::Subject) => Bearer::Subject,
        BearerKey::Own(OwnToken::Actor) => Bearer::Actor,
        BearerKey::Other(other) => {
            let linked = cx.credential(&other.credential)?;
            if linked.is_per_subject() {
                let error =
                    Diagnostic::error(key.span, "a client's `bearer` is the same for all users");
                cx.report(
                    error.hint("exchange a user's token as `subject` or `actor`, and write that"),
                );
                return None;
            }
            Bearer::Of(Origin {
                place: Place::Credential(linked),
                kind: String::new(),
            })
        }
    })
}

/// A token that is bound to a key is never shown as `Bearer` (RFC 9449 7.1); none after reporting that one would be.
pub(super) fn check_bound(
    config: &Config,
    shown: Option<&Origin>,
    cx: &mut dyn BuildContext,
) -> Option<()> {
    let link = shown.and_then(Origin::link);
    let error = if link.is_some_and(Linked::is_bound) {
        let span = config.bearer.as_ref().map_or(cx.span(), |it| it.span);
        Diagnostic::error(
            span,
            "this token is bound by `dpop` and can't be shown as `Bearer`",
        )
        .hint("take `dpop` from the credential that it comes from")
    } else if config.renew.value == Renew::Exchange && config.oauth.asks_for_binding() {
        let error = "`renew: exchange` shows the token as `Bearer`, which `dpop` rules out";
        Diagnostic::error(config.renew.span, error).hint("remove `renew`, or `dpop`")
    } else {
        return Some(());
    };
    cx.report(error);
    None
}
