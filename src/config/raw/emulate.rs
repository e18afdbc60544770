//! `emulate:` of a credential, what the vendor's logins look like; of a route, whether they are answered there.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::{
    config::{
        decode::{Decode, Decoder},
        node::{Kind, Node},
        scalars::OneOrList,
        secret_source::SecretSource,
        table::Type,
    },
    config_struct,
};

config_struct! {
    /// A path at which the vendor hands out tokens. Clients can't reach it on a route with the credential; a route with
    /// `emulate` answers it itself.
    pub struct RawLogin = "a login", short = "path" {
        /// How the path ends at the vendor, such as `/oauth2/token:generate`. `{name}` stands for any one segment.
        required path: String,
        /// Which method is answered; others are refused.
        default("POST") method: Method,
        /// The answer's body, with `{{ placeholder }}`, `{{ expires_in }}` (seconds), `{{ expires_at }}` (seconds since
        /// 1970), `{{ expires_at_ms }}` and the names in `echo`. Without one the path is refused everywhere.
        optional body: String,
        /// The answer's status.
        default("200") status: StatusCode,
        /// The answer's `Content-Type`.
        default("application/json") content_type: String,
        /// Parameters of the client's form, or members of its JSON object, that the body repeats. One that is missing, is
        /// longer than 256 bytes or has any quote, bracket or control character is empty there.
        optional echo: OneOrList<String>,
    }
}

config_struct! {
    /// How logins are answered on a route.
    pub struct RawEmulate = "emulate" {
        /// Signs the placeholders, so that they outlive a restart and other replicas know them: 32 characters at least. By
        /// default each process has a key of its own.
        optional key: SecretSource,
        /// How long a placeholder is good.
        default("1h") lifetime: Duration,
    }
}

/// `emulate:` of a route: a boolean, or how.
#[derive(Clone, Debug)]
pub enum EmulateSetting {
    /// Logins are refused.
    Off,
    /// They are answered.
    On(Box<RawEmulate>),
}

impl Decode for EmulateSetting {
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        if matches!(node.kind, Kind::Map(_)) {
            return RawEmulate::decode(node, decoder).map(|how| Self::On(Box::new(how)));
        }
        if !bool::decode(node, decoder)? {
            return Some(Self::Off);
        }
        let bare = Node {
            span: node.span,
            kind: Kind::Map(Vec::new()),
        };
        RawEmulate::decode(&bare, decoder).map(|how| Self::On(Box::new(how)))
    }

    fn ty() -> Type {
        Type::AnyOf(vec![bool::ty(), Type::Table(RawEmulate::TABLE)])
    }
}
