//! Everybody the demo needs besides the proxy: the token services and what they protect.

use std::{collections::HashMap, io, net::SocketAddr};

use super::{
    key,
    services::{
        Client, aicrisk::Aicrisk, bright_pattern::BrightPattern, iceberg::Iceberg,
        standard::Standard, symbl::Symbl, symphony::Symphony,
    },
    stand_in,
};
use crate::secret::Secret;

/// The running stand-ins.
#[derive(Clone, Debug)]
pub(super) struct Parties {
    pub(super) symphony: Symphony,
    pub(super) symbl: Symbl,
    pub(super) aicrisk: Aicrisk,
    pub(super) iceberg: Iceberg,
    pub(super) bright_pattern: BrightPattern,
    pub(super) standard: Standard,
    /// The bot's half of the key.
    key: Secret,
    addresses: Addresses,
}

/// Each serves tokens and resources at one address, as the real ones do.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    symphony: SocketAddr,
    symbl: SocketAddr,
    aicrisk: SocketAddr,
    iceberg: SocketAddr,
    bright_pattern: SocketAddr,
    standard: SocketAddr,
}

impl Parties {
    /// Starts them all, each on a free port of this machine.
    pub(super) async fn start() -> io::Result<Self> {
        let (public, key) =
            key::generate().map_err(|_| io::Error::other("no RSA key can be made"))?;
        let symphony = Symphony::new(BOT, public);
        let symbl = Symbl::new(SYMBL);
        let aicrisk = Aicrisk::new(AICRISK, REDIRECT_URI);
        let iceberg = Iceberg::new(ICEBERG);
        let bright_pattern = BrightPattern::new(BRIGHT_PATTERN, TENANT);
        let standard = Standard::new(STANDARD);
        macro_rules! start {
            ($service:ident) => {{
                let service = $service.clone();
                stand_in::start(move |request| service.answer(request)).await?
            }};
        }
        let addresses = Addresses {
            symphony: start!(symphony),
            symbl: start!(symbl),
            aicrisk: start!(aicrisk),
            iceberg: start!(iceberg),
            bright_pattern: start!(bright_pattern),
            standard: start!(standard),
        };
        Ok(Self {
            symphony,
            symbl,
            aicrisk,
            iceberg,
            bright_pattern,
            standard,
            key,
            addresses,
        })
    }

    /// The variables by which the project's `routes.yaml` reaches them instead of the real ones.
    pub(super) fn variables(&self) -> HashMap<&'static str, String> {
        let at = &self.addresses;
        HashMap::from([
            ("BEARERD_LISTEN", "127.0.0.1:0".into()),
            ("SYMPHONY_URL", format!("http://{}", at.symphony)),
            ("SYMPHONY_USERNAME", BOT.into()),
            ("SYMPHONY_KEY", self.key.expose().to_owned()),
            ("SYMBL_URL", format!("http://{}", at.symbl)),
            ("SYMBL_APP_ID", SYMBL.id.into()),
            ("SYMBL_APP_SECRET", SYMBL.secret.into()),
            ("AICRISK_URL", format!("http://{}", at.aicrisk)),
            ("AICRISK_CLIENT_ID", AICRISK.id.into()),
            ("AICRISK_CLIENT_SECRET", AICRISK.secret.into()),
            ("AICRISK_REDIRECT_URI", REDIRECT_URI.into()),
            ("AICRISK_USER", "user_42".into()),
            ("ICEBERG_URL", format!("http://{}", at.iceberg)),
            ("ICEBERG_CLIENT_ID", ICEBERG.id.into()),
            ("ICEBERG_CLIENT_SECRET", ICEBERG.secret.into()),
            ("BRIGHTPATTERN_URL", format!("http://{}", at.bright_pattern)),
            ("BRIGHTPATTERN_TENANT", TENANT.into()),
            ("BRIGHTPATTERN_CLIENT_ID", BRIGHT_PATTERN.id.into()),
            ("BRIGHTPATTERN_CLIENT_SECRET", BRIGHT_PATTERN.secret.into()),
            ("API_URL", format!("http://{}", at.standard)),
            (
                "API_TOKEN_URL",
                format!("http://{}/oauth2/token", at.standard),
            ),
            ("API_CLIENT_ID", STANDARD.id.into()),
            ("API_CLIENT_SECRET", STANDARD.secret.into()),
        ])
    }
}

const BOT: &str = "demo-bot";
const SYMBL: Client = Client {
    id: "demo-application",
    secret: "demo-secret-of-symbl",
};
const AICRISK: Client = Client {
    id: "demo-api-user",
    secret: "demo-secret-of-aicrisk",
};
const REDIRECT_URI: &str = "https://localhost/callback";
const ICEBERG: Client = Client {
    id: "demo-principal",
    secret: "demo-secret-of-iceberg",
};
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
