//! The keys of `recipe:` as they stand in the file.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderName, Method, StatusCode};

pub use super::expiry::ExpiryKind;
use crate::{
    config::{
        Decode, Decoder, Node, SecretSource,
        node::Kind,
        scalars::{MaskedText, Named, OneOrList, Tree},
        table::Type,
    },
    config_struct,
    credentials::{Algorithm, grants::oauth::Tls},
    secret::Secret,
};

config_struct! {
    /// What no grant covers: calls and JWTs, from whose answers a credential is put together.
    pub struct Config = "`recipe`" {
        /// Constants and secrets, by names that templates use: `{{ app_id }}`.
        optional vars: Named<Var>,
        /// Other credentials, by names: `{{ session.session_token }}`.
        optional r#use as "use": Named<LinkKeys>,
        /// Calls and signatures. Those that do not wait for one another run at the same time.
        optional steps: Vec<crate::config::Sp<StepKeys>>,
        /// When the outcome ends; an hour after its first call where nothing is said.
        optional expires: ExpiresKeys,
        /// What the credential holds: parts by name, each a template.
        required outputs: Named<OutputKeys>,
        /// Failures that one new run from the first step may mend.
        optional retry_from_start: Vec<crate::config::Sp<AgainKeys>>,
        /// Whom to trust, for every step that says nothing itself.
        optional tls: Tls,
        /// How long a connection, with its TLS handshake, may take.
        default("5s") connect_timeout: Duration,
        /// How long one call may take.
        default("10s") timeout: Duration,
        /// The life of what comes without one; `expires: { default: ... }` wins.
        default("1h") default_expires_in: Duration,
        /// Allows calls in clear beyond loopback: the secrets can be read on the way.
        default("false") danger_plaintext: bool,
    }
}

config_struct! {
    /// Another credential that a recipe builds on.
    pub struct LinkKeys = "a credential that is used" {
        /// Its name.
        required credential: String,
        /// It is left out unless this template renders to `true`.
        optional when: MaskedText,
    }
}

config_struct! {
    /// One step: `request` or `jwt`.
    pub struct StepKeys = "a step" {
        /// Its name: `{{ name.capture }}` of a request, `{{ name }}` of a JWT.
        required name: String,
        /// A call.
        optional request: RequestKeys,
        /// A JWT to sign.
        optional jwt: JwtKeys,
        /// It is skipped unless this template renders to `true`; its captures are absent then.
        optional when: MaskedText,
        /// Steps that it waits for besides those whose values it uses.
        optional after: OneOrList<String>,
        /// The statuses that are no failure: 2xx where nothing is said, `302` for a redirect (none is followed).
        optional status: OneOrList<StatusCode>,
        /// What its redirect must be. None is followed.
        optional redirect: RedirectKeys,
        /// What the answer must hold besides.
        optional success: OneOrList<ConditionKeys>,
        /// What is taken out of the answer, by name: one place, or a list of which the first that is there counts.
        optional capture: Named<OneOrList<CaptureKeys>>,
    }
}

config_struct! {
    /// A call. Values are encoded for their place; scheme and authority of the URL hold no template.
    pub struct RequestKeys = "a request" {
        /// Its method.
        default("POST") method: Method,
        /// Where it goes; path and query are templates.
        required url: MaskedText,
        /// More parameters of the query.
        optional query: Named<MaskedText>,
        /// Header fields.
        optional headers: Named<MaskedText>,
        /// A token for `Authorization: Bearer`.
        optional bearer: MaskedText,
        /// A JSON body, whose texts are templates.
        optional json: Tree,
        /// A form as body.
        optional form: Named<MaskedText>,
        /// A text as body; values stand in it as they are.
        optional text: MaskedText,
        /// Whom to trust.
        optional tls: Tls,
        /// How long it may take.
        optional timeout: Duration,
    }
}

config_struct! {
    /// The redirect that a call is answered with. One with `error` in its query is a refusal, whatever it says besides.
    pub struct RedirectKeys = "a redirect" {
        /// Where it must lead: scheme, host, port and path count. A relative `Location` is taken from the call's URL.
        required to: MaskedText,
        /// What its `state` must be, or that of an answer in JSON which is no redirect.
        optional state: MaskedText,
        /// For vendors whose server calls `to` itself: a loopback address that listens while the step waits for it. Needs `state`.
        optional listen: SocketAddr,
    }
}

config_struct! {
    /// A JWT to sign.
    pub struct JwtKeys = "a JWT" {
        /// How it is signed.
        required alg: Algorithm,
        /// The private key (PEM), or the secret of `HS256` and its kin.
        required key: SecretSource,
        /// Members of the header besides `alg`; `typ` is `JWT`.
        optional header: Tree,
        /// The claims; `{ in: 240s }` and `{ ago: 60s }` are moments.
        required claims: Tree,
    }
}

config_struct! {
    /// One place in an answer, exactly one of `json`, `header`, `cookie`, `location_query` and `regex`; `jwt` with `json`.
    pub struct ExtractKeys = "a place in an answer" {
        /// A JSON pointer (RFC 6901): `/data/token`.
        optional json: String,
        /// `json` points into the only entry of a list that has these texts, by pointer into it: `{ /email: "{{ subject }}" }`.
        optional r#where as "where": Named<MaskedText>,
        /// Where that list stands, as a JSON pointer; the answer itself where left out.
        optional list: String,
        /// A header.
        optional header: HeaderName,
        /// A cookie that the answer sets.
        optional cookie: String,
        /// A parameter of the query of `Location`.
        optional location_query: String,
        /// Where `Location` must lead, without its query, else `location_query` is absent.
        optional location: MaskedText,
        /// The first group of this expression over the body; `\d`, `\w` and `\s` mean ASCII.
        optional regex: String,
        /// A JWT; `json` points into its claims, which are not verified.
        optional jwt: MaskedText,
    }
}

config_struct! {
    /// A value to take out of an answer: 64 KiB at most.
    pub struct CaptureKeys = "a capture", flatten = [extract: ExtractKeys] {
        /// What it is where it is absent.
        optional default: MaskedText,
        /// Whether it may be absent.
        default("false") optional: bool,
    }
}

config_struct! {
    /// A condition on an answer.
    pub struct ConditionKeys = "a condition", flatten = [extract: ExtractKeys] {
        /// What it must be; without it, it must be there and neither empty nor `false`.
        optional equals: MaskedText,
        /// Whether it may be absent.
        default("false") optional: bool,
    }
}

config_struct! {
    /// When the outcome ends.
    pub struct ExpiresKeys = "`expires`" {
        /// The value that tells.
        optional from: MaskedText,
        /// What it holds.
        default("seconds") kind: ExpiryKind,
        /// The life where `from` is absent.
        optional default: Life,
        /// The longest life that is believed.
        optional max: Duration,
    }
}

config_struct! {
    /// A part of the credential.
    pub struct OutputKeys = "an output", short = "value" {
        /// A template.
        required value: MaskedText,
        /// Whether it is left out where a value is absent.
        default("false") optional: bool,
    }
}

config_struct! {
    /// A failure that one new run may mend.
    pub struct AgainKeys = "a failure to start over from" {
        /// The step that fails.
        required step: String,
        /// With one of these statuses; any where left out.
        optional status: OneOrList<StatusCode>,
        /// With a body that holds this text.
        optional contains: String,
    }
}

/// A constant of the recipe, or a secret from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Var {
    /// Text; a list is one text with spaces.
    Text(Secret),
    /// A secret.
    Source(SecretSource),
}

impl Decode for Var {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => SecretSource::decode(node, decoder).map(Self::Source),
            Kind::List(items) => {
                let texts = items.iter().map(|item| MaskedText::decode(item, decoder));
                let texts: Vec<MaskedText> = texts.collect::<Option<_>>()?;
                let texts: Vec<&str> = texts.iter().map(|text| text.0.expose()).collect();
                Some(Self::Text(Secret::new(texts.join(" "))))
            }
            _ => MaskedText::decode(node, decoder).map(|text| Self::Text(text.0)),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![
            SecretSource::ty(),
            Type::OneOrList(Box::new(MaskedText::ty())),
        ])
    }
}

/// A duration, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It ends.
    Ends(Duration),
    /// It is used until it is refused.
    Endless,
}

impl Decode for Life {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.text == "none" => {
                decoder.marks.show(node.span);
                Some(Self::Endless)
            }
            _ => Duration::decode(node, decoder).map(Self::Ends),
        }
    }

    fn ty() -> Type {
        Type::AnyOf(vec![Duration::ty(), Type::Words(&["none"])])
    }
}
