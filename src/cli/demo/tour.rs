//! The guided tour: a few requests, and who saw what.

use std::{fmt::Write, io, net::SocketAddr};

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::task::JoinSet;

use super::{
    arrived::Arrived,
    client::{Got, Plain, send},
    parties::Parties,
    tokens::Tokens,
};
use crate::cli::output::{Failure, data, data_in_colour};

/// Takes the tour through the proxy at `proxy`; whether every request arrived authenticated.
pub(super) async fn take(proxy: SocketAddr, parties: &Parties) -> Result<bool, Failure> {
    let mut tour = Tour {
        proxy,
        paint: Paint::new(),
        good: true,
    };
    tour.one_request(
        "1  Bright Pattern: the client knows no credential, the upstream gets one",
        plain(Method::GET, "/brightpattern/users?limit=2", ""),
        &parties.bright_pattern.tokens,
    )
    .await?;
    tour.crowd(
        "2  A standard authorization server: many at once, one token call",
        plain(Method::GET, "/api/orders/7", ""),
        &parties.standard.tokens,
    )
    .await?;
    parties.standard.tokens.revoke_all();
    tour.one_request(
        "3  The upstream revokes the token: the client does not notice",
        plain(Method::POST, "/api/orders", r#"{"item":"lamp"}"#),
        &parties.standard.tokens,
    )
    .await?;
    tour.end()?;
    Ok(tour.good)
}

struct Tour {
    proxy: SocketAddr,
    paint: Paint,
    good: bool,
}

impl Tour {
    /// Sends one request and shows both ends of it.
    async fn one_request(&mut self, title: &str, plain: Plain, by: &Tokens) -> Result<(), Failure> {
        let before = by.calls();
        let sent = format!("{} {}", plain.method, plain.path);
        let got = send(self.proxy, plain).await;
        let calls = by.calls() - before;
        let text = self.scene(title, &sent, &got, calls, 1);
        data(text)
    }

    /// Sends many at the same time and shows one of them.
    async fn crowd(&mut self, title: &str, plain: Plain, by: &Tokens) -> Result<(), Failure> {
        let before = by.calls();
        let mut requests = JoinSet::new();
        for _ in 0..CROWD {
            requests.spawn(send(self.proxy, plain.clone()));
        }
        let answers = requests.join_all().await;
        let calls = by.calls() - before;
        let fine = answers.iter().filter(|it| arrived(it).is_some()).count();
        self.good &= fine == CROWD && calls == 1;
        let sent = format!("{} {}  x {CROWD} at once", plain.method, plain.path);
        // Show a bad one if there is any.
        let shown = answers.into_iter().max_by_key(|it| arrived(it).is_none());
        let shown = shown.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
        let text = self.scene(title, &sent, &shown, calls, CROWD);
        data(text)
    }

    fn scene(
        &mut self,
        title: &str,
        sent: &str,
        got: &io::Result<Got>,
        calls: usize,
        requests: usize,
    ) -> String {
        let Paint {
            bold,
            dim,
            green,
            red,
            plain,
        } = self.paint;
        let mut text = format!("\n{bold}{title}{plain}\n");
        let mut row = |what: &str, shown: &str| {
            let _ = writeln!(text, "   {dim}{what:<20}{plain}{shown}");
        };
        row("client sent", sent);
        row("", "(no credential)");
        let arrived = arrived(got);
        match &arrived {
            Some(it) => {
                row("upstream received", &format!("{} {}", it.method, it.path));
                for (name, value) in it.credentials() {
                    row("", &format!("{green}{name}: {value}{plain}"));
                }
            }
            None => row(
                "upstream received",
                &format!("{red}nothing it would accept{plain}"),
            ),
        }
        match got {
            Ok(it) if arrived.is_some() => {
                row("client got", &format!("{green}{}{plain}", it.status))
            }
            Ok(it) => {
                row("client got", &format!("{red}{}{plain}", it.status));
                row("", String::from_utf8_lossy(&it.body).trim());
            }
            Err(error) => row("client got", &format!("{red}{error}{plain}")),
        }
        row(
            "token calls",
            &format!("{calls} for {requests} request{}", plural(requests)),
        );
        self.good &= arrived.is_some();
        text
    }

    fn end(&self) -> Result<(), Failure> {
        let Paint {
            bold,
            green,
            red,
            plain,
            ..
        } = self.paint;
        if self.good {
            data(format_args!(
                "\n{green}{bold}Every request arrived authenticated.{plain}\n"
            ))
        } else {
            data(format_args!(
                "\n{red}{bold}Not every request arrived authenticated.{plain}\n"
            ))
        }
    }
}

/// What the upstream saw, where the client got it back with a 200: the upstream checked the credentials.
fn arrived(got: &io::Result<Got>) -> Option<Arrived> {
    let got = got.as_ref().ok().filter(|it| it.status == StatusCode::OK)?;
    serde_json::from_slice(&got.body).ok()
}

fn plain(method: Method, path: &'static str, body: &'static str) -> Plain {
    Plain {
        method,
        path,
        body: Bytes::from_static(body.as_bytes()),
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Escape sequences, empty where colour is not wanted.
#[derive(Clone, Copy)]
struct Paint {
    bold: &'static str,
    dim: &'static str,
    green: &'static str,
    red: &'static str,
    plain: &'static str,
}

impl Paint {
    fn new() -> Self {
        if data_in_colour() {
            Self {
                bold: "\x1b[1m",
                dim: "\x1b[2m",
                green: "\x1b[32m",
                red: "\x1b[31m",
                plain: "\x1b[0m",
            }
        } else {
            Self {
                bold: "",
                dim: "",
                green: "",
                red: "",
                plain: "",
            }
        }
    }
}

/// Requests at the same time.
const CROWD: usize = 20;
