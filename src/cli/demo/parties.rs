//! Everybody the demo needs besides the proxy: two token services and what they protect.

use std::{collections::HashMap, io, net::SocketAddr};

use http::StatusCode;

use super::{
    stand_in::{self, json},
    tokens::{self, Client, Issuer},
    upstream,
};

/// The running stand-ins.
#[derive(Clone, Debug)]
pub(super) struct Parties {
    /// Issues Bright Pattern's tokens.
    pub(super) bright_pattern: Issuer,
    /// Issues the tokens of the standard authorization server.
    pub(super) standard: Issuer,
    addresses: Addresses,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    bright_pattern: SocketAddr,
    authorization_server: SocketAddr,
    api: SocketAddr,
}

impl Parties {
    /// Starts them all, each on a free port of this machine.
    pub(super) async fn start() -> io::Result<Self> {
        let (bright_pattern, standard) = (Issuer::default(), Issuer::default());
        let issuer = bright_pattern.clone();
        // Bright Pattern serves tokens and resources at one address.
        let bright = stand_in::start(move |request| match request.uri().path() {
            "/configapi/v2/oauth/token" => {
                tokens::bright_pattern(&issuer, BRIGHT_PATTERN, TENANT, request)
            }
            _ => upstream::echo(&issuer, request),
        });
        let issuer = standard.clone();
        let authorization_server = stand_in::start(move |request| match request.uri().path() {
            "/oauth2/token" => tokens::standard(&issuer, STANDARD, request),
            _ => json(StatusCode::NOT_FOUND, "{}"),
        });
        let issuer = standard.clone();
        let api = stand_in::start(move |request| upstream::echo(&issuer, request));
        let addresses = Addresses {
            bright_pattern: bright.await?,
            authorization_server: authorization_server.await?,
            api: api.await?,
        };
        Ok(Self {
            bright_pattern,
            standard,
            addresses,
        })
    }

    /// The variables by which the project's `routes.yaml` reaches them instead of the real ones.
    pub(super) fn variables(&self) -> HashMap<&'static str, String> {
        let Addresses {
            bright_pattern,
            authorization_server,
            api,
        } = self.addresses;
        HashMap::from([
            ("BEARERD_LISTEN", "127.0.0.1:0".into()),
            ("BRIGHTPATTERN_URL", format!("http://{bright_pattern}")),
            ("BRIGHTPATTERN_TENANT", TENANT.into()),
            ("BRIGHTPATTERN_CLIENT_ID", BRIGHT_PATTERN.id.into()),
            ("BRIGHTPATTERN_CLIENT_SECRET", BRIGHT_PATTERN.secret.into()),
            ("API_URL", format!("http://{api}")),
            (
                "API_TOKEN_URL",
                format!("http://{authorization_server}/oauth2/token"),
            ),
            ("API_CLIENT_ID", STANDARD.id.into()),
            ("API_CLIENT_SECRET", STANDARD.secret.into()),
        ])
    }
}

const TENANT: &str = "demo.brightpattern.example";
const BRIGHT_PATTERN: Client = Client {
    id: "sheila.thomas",
    secret: "demo-secret-of-sheila",
};
/// With characters that need the form-encoding of RFC 6749 section 2.3.1.
const STANDARD: Client = Client {
    id: "legacy-batch",
    secret: "demo: 100% of + and /",
};
