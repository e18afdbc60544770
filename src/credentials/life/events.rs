//! What a slot's state machine is told, and what it answers.

use std::time::Duration;

use crate::{clock::Instant, credentials::Retry};

/// Why a token call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// There is none to send.
    Cold,
    /// There is one, and it is used.
    Ahead,
    /// An upstream refused the one there is.
    Refused,
}

/// What a request that found nothing to lease does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// There is one after all.
    Ready,
    /// It waits for this flight.
    Wait(u64),
    /// It fails at once; the next attempt is due in so long.
    Failed { retry_in: Duration },
}

/// What a refusal led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A newer one is there or on its way.
    Known,
    /// This refusal withholds the credential and asks for a successor.
    Withheld,
    /// Nothing is fetched for a while; the credential stays leased.
    Cooling,
    /// There will never be another.
    Fixed,
}

/// What the shell does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Call the source, then report to [`Life::fetched`](super::Life::fetched).
    Fetch(Purpose),
    /// The credential is over: forget it, ask again.
    Expired,
    /// Nothing before this moment.
    Sleep(Instant),
    /// Nothing until an event.
    Idle,
}

/// What a token call brought.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// A credential.
    Token {
        sent: Instant,
        life: Option<Duration>,
        same: bool,
    },
    /// A failure.
    Failed(Retry),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Publish it as this generation.
    New {
        generation: u64,
        expires: Option<Instant>,
    },
    /// The one that is held already, with another end: publish that again.
    Same { expires: Option<Instant> },
    /// Dead on arrival, once: waiters go on waiting, the next call comes in a second.
    Stillborn,
    /// Dead on arrival again: a failure of the endpoint.
    NeverAlive,
    /// A failure. `first` in a row?
    Failed { first: bool },
}
