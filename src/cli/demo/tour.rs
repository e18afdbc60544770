//! The guided tour: requests without credentials, and what arrived of them.

use std::{fmt::Write, io, net::SocketAddr, time::Duration};

use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::task::JoinSet;

use super::{
    arrived::{Arrived, IN_QUERY},
    paint::Paint,
    parties::Parties,
    scenes::{CROWD, EXPIRED, FAMILIES, REVOKED, Scene},
};
use crate::cli::{
    http::{Answer, send},
    output::{Failure, data},
};

/// Takes the tour through the proxy at `proxy`; whether every request arrived as its API family wants it.
pub(super) async fn take(proxy: SocketAddr, parties: &Parties) -> Result<bool, Failure> {
    let mut tour = Tour {
        proxy,
        parties,
        paint: Paint::new(),
        number: 0,
        good: true,
    };
    for scene in FAMILIES {
        tour.play(scene, 1).await?;
    }
    tour.play(&CROWD, MANY).await?;
    parties.standard.tokens.revoke_all();
    tour.play(&REVOKED, 1).await?;
    parties.iceberg.tokens.expire_all();
    tour.play(&EXPIRED, 1).await?;
    tour.end()?;
    Ok(tour.good)
}

struct Tour<'a> {
    proxy: SocketAddr,
    parties: &'a Parties,
    paint: Paint,
    number: usize,
    good: bool,
}

impl Tour<'_> {
    /// Sends a scene's request `times` at the same moment, and shows both ends of one.
    async fn play(&mut self, scene: &Scene, times: usize) -> Result<(), Failure> {
        let tokens = (scene.tokens)(self.parties);
        let before = tokens.calls();
        let mut requests = JoinSet::new();
        for _ in 0..times {
            // The legacy client: a plain request, no credential.
            let mut plain = Request::new(Full::default());
            *plain.uri_mut() = Uri::from_static(scene.path);
            requests.spawn(send(self.proxy, plain, PATIENCE));
        }
        let answers = requests.join_all().await;
        let calls = tokens.calls() - before;
        self.good &= calls <= 1 && answers.iter().all(|it| arrived(scene, it).is_some());
        // Show a bad one if there is any.
        let shown = answers
            .into_iter()
            .max_by_key(|it| arrived(scene, it).is_none());
        let shown = shown.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
        self.number += 1;
        data(self.text(scene, times, &shown, calls))
    }

    fn text(&self, scene: &Scene, times: usize, got: &io::Result<Answer>, calls: usize) -> String {
        let Paint {
            bold,
            dim,
            green,
            red,
            plain,
        } = self.paint;
        let mut text = format!("\n{bold}{:>2}  {}{plain}\n", self.number, scene.title);
        let mut row = |what: &str, shown: &str| {
            let _ = writeln!(text, "    {dim}{what:<9}{plain}{shown}");
        };
        let crowd = if times > 1 {
            format!("  x {times} at once")
        } else {
            String::new()
        };
        row("sent", &format!("GET {}{crowd}", scene.path));
        match arrived(scene, got) {
            Some(it) => {
                row("arrived", &format!("{} {}", it.method, it.path));
                for (name, value) in &it.headers {
                    if scene.wants.contains(&name.as_str()) {
                        row("", &format!("{green}{name}: {value}{plain}"));
                    }
                }
            }
            None => row("arrived", &format!("{red}not as it is wanted{plain}")),
        }
        match got {
            Ok(it) if it.status == StatusCode::OK => {
                let calls = match calls {
                    0 => "no token call",
                    1 => "one token call",
                    _ => "too many token calls",
                };
                row("got", &format!("{green}{}{plain}, {calls}", it.status));
            }
            Ok(it) => {
                row("got", &format!("{red}{}{plain}", it.status));
                row("", String::from_utf8_lossy(&it.body).trim());
            }
            Err(error) => row("got", &format!("{red}{error}{plain}")),
        }
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
        let (colour, word) = if self.good {
            (green, "Every")
        } else {
            (red, "Not every")
        };
        data(format_args!(
            "\n{colour}{bold}{word} request arrived with exactly the credentials that its API family wants.{plain}\n"
        ))
    }
}

/// What the upstream saw, if that is what the scene wants. The upstream has checked the values.
fn arrived(scene: &Scene, got: &io::Result<Answer>) -> Option<Arrived> {
    let got = got.as_ref().ok().filter(|it| it.status == StatusCode::OK)?;
    let arrived: Arrived = serde_json::from_slice(&got.body).ok()?;
    let there = |name: &&str| *name == IN_QUERY || arrived.headers.contains_key(*name);
    let exactly = scene.wants.iter().all(there)
        && arrived.carriers().all(|name| scene.wants.contains(&name))
        && arrived.path.contains(IN_QUERY) == scene.wants.contains(&IN_QUERY);
    exactly.then_some(arrived)
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Requests at the same time.
const MANY: usize = 20;
