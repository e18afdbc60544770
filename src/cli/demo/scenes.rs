//! What the tour shows: one request for each API family, and what each family wants to see.

use super::{arrived::IN_QUERY, parties::Parties, tokens::Tokens};

/// A request of the client, and how it is to arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) title: &'static str,
    /// The path of a GET.
    pub(super) path: &'static str,
    /// The fields that the family insists on: of all that carry credentials these, and no others.
    pub(super) wants: &'static [&'static str],
    /// Whose token calls are counted.
    pub(super) tokens: fn(&Parties) -> &Tokens,
}

/// Every API family of every system.
pub(super) const FAMILIES: &[Scene] = &[
    Scene {
        title: "Symphony, pod: the session token of an RSA login",
        path: "/symphony/pod/v2/sessioninfo",
        wants: &["sessiontoken"],
        tokens: |it| &it.symphony.sessions,
    },
    Scene {
        title: "Symphony, agent: the same session, and the key manager's token",
        path: "/symphony/agent/v4/stream/s1/message",
        wants: &["sessiontoken", "keymanagertoken"],
        tokens: |it| &it.symphony.key_manager,
    },
    Scene {
        title: "Symphony, files: a scoped token, bought with the session",
        path: "/symphony/files/v1/f1",
        wants: &["authorization"],
        tokens: |it| &it.symphony.scoped,
    },
    Scene {
        title: "Symbl: JSON in, camelCase out",
        path: "/symbl/v1/conversations/c1",
        wants: &["authorization"],
        tokens: |it| &it.symbl.tokens,
    },
    Scene {
        title: "Symbl, streaming: the token in the query",
        path: "/symbl/v1/streaming/s1",
        wants: &[IN_QUERY],
        tokens: |it| &it.symbl.tokens,
    },
    Scene {
        title: "AICrisk, list of users: the generic token, by a code from a redirect",
        path: "/aicrisk/api/Users/ListUsers",
        wants: &["authorization", "accept"],
        tokens: |it| &it.aicrisk.generic,
    },
    Scene {
        title: "AICrisk, all else: a user's token, bought with the generic one",
        path: "/aicrisk/api/Risks",
        wants: &["authorization", "accept"],
        tokens: |it| &it.aicrisk.users,
    },
    Scene {
        title: "Iceberg: the catalog's own token endpoint",
        path: "/iceberg/v1/namespaces",
        wants: &["authorization"],
        tokens: |it| &it.iceberg.tokens,
    },
    Scene {
        title: "Bright Pattern, configuration: everything in the form",
        path: "/brightpattern/configapi/v2/users?limit=2",
        wants: &["authorization"],
        tokens: |it| &it.bright_pattern.tokens,
    },
    Scene {
        title: "Bright Pattern, task routing: the same token",
        path: "/brightpattern/taskroutingapi/v1/tasks",
        wants: &["authorization"],
        tokens: |it| &it.bright_pattern.tokens,
    },
];

/// Many requests at the same time for one token.
pub(super) const CROWD: Scene = Scene {
    title: "A standard authorization server: many at once, one token call",
    path: "/api/orders/7",
    wants: &["authorization"],
    tokens: |it| &it.standard.tokens,
};

/// What the client does not notice.
pub(super) const REVOKED: Scene = Scene {
    title: "The upstream revokes the token: 401, a new token, the request again",
    ..CROWD
};

/// The same in a catalog's words.
pub(super) const EXPIRED: Scene = Scene {
    title: "Iceberg finds the token expired: 419, a new token, the request again",
    path: "/iceberg/v1/namespaces/sales/tables",
    wants: &["authorization"],
    tokens: |it| &it.iceberg.tokens,
};
