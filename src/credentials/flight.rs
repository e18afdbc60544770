//! How waiting requests learn that a token call ended: all of them share its one outcome.

use tokio::sync::watch;

use super::FetchError;

/// What a flight brought to those who waited for it.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// There is a credential to lease.
    Arrived,
    /// There is none.
    Failed(FetchError),
}

/// The newest flight that landed.
#[derive(Debug)]
pub(super) struct Landings(watch::Sender<(u64, Landing)>);

impl Default for Landings {
    fn default() -> Self {
        Self(watch::Sender::new((0, Landing::Arrived)))
    }
}

impl Landings {
    pub(super) fn land(&self, flight: u64, landing: Landing) {
        self.0.send_replace((flight, landing));
    }

    /// The outcome of this flight, or of a newer one. Cancel safe: the flight goes on.
    pub(super) async fn wait(&self, flight: u64) -> Landing {
        let mut landings = self.0.subscribe();
        let landed = landings.wait_for(|(landed, _)| *landed >= flight).await;
        // The sender lives in `self`, so the channel is open.
        landed.map_or(Landing::Arrived, |landed| landed.1.clone())
    }
}
