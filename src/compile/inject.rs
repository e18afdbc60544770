//! `inject:` compiled, or the grant's own place.

use std::fmt;

use http::HeaderName;

use crate::{
    config::{Decoder, Diagnostic, Sp, Span, raw::Inject, scalars::OneOrList},
    credentials::grants::Placement,
    injectors::{Injection, Injector, InjectorError, Place, TemplateError, fold_eq},
};

/// Where a kind puts its credential by itself, `bound` where its tokens are bound to a key; none where diagnostics, at the
/// name on the route, say why that can't be.
pub(super) fn own(
    placement: &Placement,
    bound: bool,
    parts: &[&str],
    name: Span,
    decoder: &mut Decoder,
) -> Option<Injection> {
    let built = match placement {
        Placement::Bearer if bound => return Some(Injection::dpop()),
        Placement::Bearer if parts.contains(&"access_token") => return Some(Injection::bearer()),
        Placement::Bearer => {
            decoder.push(
                Diagnostic::error(
                    name,
                    "the credential has no `access_token` to be sent as Bearer",
                )
                .hint(format!(
                    "say with `inject` where it goes; {}",
                    it_has(parts.iter())
                )),
            );
            return None;
        }
        Placement::Header { name, value } => {
            Injector::new(Place::Header(name.clone()), value, Some(parts))
        }
    };
    match built {
        Ok(injector) => Injection::new(vec![injector]).ok(),
        // Only a header that the user chose badly.
        Err(error) => decoder.fail(name, error.to_string()),
    }
}

/// What `inject:` says; none where diagnostics say why not.
///
/// `known` are the parts that the credential can have; none where it could not be built.
pub(super) fn compile(
    raw: &Sp<OneOrList<Inject>>,
    known: Option<&[&str]>,
    decoder: &mut Decoder,
) -> Option<Injection> {
    if raw.0.is_empty() {
        return decoder.fail(raw.span, "`inject` puts the credential nowhere");
    }
    let injectors: Vec<_> = raw
        .iter()
        .map(|item| injector(item, known, decoder))
        .collect();
    let injectors: Vec<Injector> = injectors.into_iter().collect::<Option<_>>()?;
    match Injection::new(injectors) {
        Ok(injection) => Some(injection),
        Err(twice) => {
            decoder.push(
                Diagnostic::error(
                    raw.0[twice.second].span,
                    format!("{} is injected twice", twice.place),
                )
                .related(raw.0[twice.first].span, "first injected here"),
            );
            None
        }
    }
}

/// Reports what contradicts a token that is bound to a key: it goes as `DPoP`, with a proof of ours (RFC 9449 7.1).
pub(super) fn check_bound(raw: &OneOrList<Inject>, decoder: &mut Decoder) {
    for item in raw.iter() {
        let Some(header) = &item.header else {
            continue;
        };
        let is = |name: &str| fold_eq(header.as_str(), name);
        let value = item.value.value.0.expose();
        let error = if is("dpop") {
            "this header holds the proof of the token, which is made for each request"
        } else if is("authorization") && value.replace(' ', "") != BOUND {
            "a token that is bound by `dpop` goes as `Authorization: DPoP {{ access_token }}`"
        } else {
            continue;
        };
        let error = Diagnostic::error(header.span, error);
        decoder.push(error.hint("remove this injection, or `dpop` from the credential"));
    }
}

/// Whether every item lets a caller's own value stand.
pub(super) fn keeps_callers_own(raw: &OneOrList<Inject>) -> bool {
    !raw.0.is_empty()
        && raw
            .iter()
            .all(|item| item.overwrite.as_ref().is_some_and(|o| !o.value))
}

fn injector(item: &Sp<Inject>, known: Option<&[&str]>, decoder: &mut Decoder) -> Option<Injector> {
    if !item.failed.is_empty() {
        return None;
    }
    let (place, span) = match (&item.header, &item.query, &item.cookie) {
        (Some(name), None, None) => (Place::Header(name.value.clone()), name.span),
        (None, Some(name), None) => (Place::Query(name.value.clone()), name.span),
        (None, None, Some(name)) => (Place::Cookie(name.value.clone()), name.span),
        _ => {
            return decoder.fail(
                item.span,
                "an injection has exactly one of `header`, `query` and `cookie`",
            );
        }
    };
    match Injector::new(place, item.value.value.0.expose(), known) {
        Ok(injector) => Some(injector.optional(item.optional.value)),
        Err(error) => {
            decoder.push(explain(error, item, span));
            None
        }
    }
}

/// Never quotes the template: a secret may stand in it.
fn explain(error: InjectorError, item: &Inject, place: Span) -> Diagnostic {
    match error {
        InjectorError::Name(_) | InjectorError::Reserved(_) => {
            Diagnostic::error(place, error.to_string())
        }
        InjectorError::Template(TemplateError::UnknownPart { known, .. }) => Diagnostic::error(
            item.value.span,
            "the template names a part that the credential does not have",
        )
        .hint(it_has(known.iter())),
        InjectorError::Template(_) => {
            Diagnostic::error(item.value.span, "this template can't be used")
                .hint("write text with parts of the credential, as in `Bearer {{ access_token }}`")
        }
    }
}

fn it_has(parts: impl Iterator<Item = impl fmt::Display>) -> String {
    let parts: Vec<_> = parts.map(|part| format!("`{part}`")).collect();
    format!("it has {}", parts.join(", "))
}

/// Headers that frame or route a message, or belong to one connection: the proxy's own business.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    const OURS: [&str; 10] = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "expect",
    ];
    OURS.contains(&name.as_str())
}

/// The template of a bound token's `Authorization`, without its spaces.
const BOUND: &str = "DPoP{{access_token}}";
