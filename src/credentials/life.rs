//! The state machine of one slot: events and the present moment in, decisions out. No I/O, no clock, no secret.
//!
//! ```text
//! Empty -> in flight -> fresh -> in flight (still leased) -> fresh ...
//!             \-> trouble(next)    fresh -> refused: withheld until its successor is here, or cooling down
//! ```
//!
//! The shell ([`refresher`](super::refresher)) asks [`Life::next`] what to do, does it, and reports back.

use std::time::Duration;

use super::{Retry, pace, refusals::Refusals};
use crate::clock::Instant;

mod aside;
mod events;
mod look;

pub(crate) use events::{Answer, Next, Purpose, Refusal, Settled, Want};

/// One slot's life.
#[derive(Debug)]
pub(crate) struct Life {
    renewable: bool,
    token: Option<Token>,
    flight: Option<Flight>,
    /// The number of the newest flight; waiters wait for a number.
    flights: u64,
    generation: u64,
    trouble: Option<Trouble>,
    refusals: Refusals,
    /// Calls that a refusal did not cause start no sooner: very short lives, repeated answers.
    not_before: Option<Instant>,
    /// The least pause after a permanent failure.
    probe_after: Duration,
    /// The last answer was dead on arrival and its waiters still wait.
    stillborn: bool,
    /// The next call is to bring another, whatever others have fetched.
    anew: bool,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    generation: u64,
    /// When it may be sent no more.
    expires: Option<Instant>,
    /// When its last good moment to be renewed is.
    latest: Option<Instant>,
    /// When to look whether it is used and renew it.
    renew: Option<Instant>,
    /// Token calls that answered with it.
    answers: u8,
    /// Refused by an upstream, its successor is awaited: not leased.
    withheld: bool,
    /// It came because its predecessor was refused.
    replaces_refused: bool,
    /// It has had its cool-down: the next refusal after that may fetch.
    cooled: bool,
    /// What it was made of ends with it: it has no successor.
    last: bool,
}

#[derive(Clone, Copy, Debug)]
enum Flight {
    Due { at: Instant, purpose: Purpose },
    Flying { since: Instant, purpose: Purpose },
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    failures: u32,
    permanent: bool,
    next: Instant,
    /// Somebody asked since the last attempt, so the next one is made without waiting for a request.
    wanted: bool,
}

impl Life {
    pub(crate) fn new(renewable: bool) -> Self {
        Self {
            renewable,
            token: None,
            flight: None,
            flights: 0,
            generation: 0,
            trouble: None,
            refusals: Refusals::default(),
            not_before: None,
            probe_after: Duration::ZERO,
            stillborn: false,
            anew: false,
        }
    }

    /// Sets the least pause after a permanent failure: where repeated wrong secrets lock an account.
    pub(crate) fn probe_after(&mut self, pause: Duration) {
        self.probe_after = pause;
    }

    /// A request found nothing to lease, or the credential is to be there before anybody asks.
    pub(crate) fn want(&mut self, now: Instant) -> Want {
        if self.leasable(now) {
            return Want::Ready;
        }
        if self.flight.is_none() {
            if let Some(trouble) = self.trouble.as_mut().filter(|trouble| now < trouble.next) {
                trouble.wanted = true;
                return Want::Failed {
                    retry_in: trouble.next - now,
                };
            }
            self.begin(self.purpose(now), now);
        }
        Want::Wait(self.flights)
    }

    /// An upstream refused this generation, which had been `accepted` before or not.
    pub(crate) fn reject(&mut self, generation: u64, accepted: bool, now: Instant) -> Refusal {
        if !self.renewable {
            return Refusal::Fixed;
        }
        let Some(token) = self.token.as_mut() else {
            return Refusal::Known;
        };
        if token.generation != generation || token.withheld {
            return Refusal::Known;
        }
        let unproven = !accepted && (token.replaces_refused || self.refusals.any());
        if !self
            .refusals
            .may_renew(accepted, unproven && !token.cooled, now)
        {
            token.cooled = true;
            return Refusal::Cooling;
        }
        token.withheld = true;
        match &mut self.flight {
            Some(Flight::Flying { purpose, .. }) => *purpose = Purpose::Refused,
            Some(Flight::Due { at, purpose }) => {
                self.not_before = None;
                (*at, *purpose) = (now, Purpose::Refused);
            }
            None => {
                if let Some(trouble) = self.trouble.as_mut().filter(|trouble| now < trouble.next) {
                    trouble.wanted = true;
                } else {
                    self.not_before = None;
                    self.begin(Purpose::Refused, now);
                }
            }
        }
        Refusal::Withheld
    }

    /// An operator, or a changed secret, wants a call now, back-off or not.
    pub(crate) fn force(&mut self, now: Instant) -> u64 {
        self.not_before = None;
        match &mut self.flight {
            Some(Flight::Due { at, .. }) => *at = now,
            Some(Flight::Flying { .. }) => {}
            None => self.begin(self.purpose(now), now),
        }
        self.flights
    }

    /// What the present credential was made of ends with it: nothing is fetched because it ends.
    pub(crate) fn end_here(&mut self) {
        if let Some(token) = &mut self.token {
            token.renew = None;
            token.latest = None;
            token.last = true;
        }
    }

    /// What to do now. `used` tells whether the credential was leased in its present life.
    pub(crate) fn next(&mut self, used: bool, now: Instant) -> Next {
        match self.flight {
            Some(Flight::Flying { .. }) => return Next::Idle,
            Some(Flight::Due { at, purpose }) if at <= now => {
                self.flight = Some(Flight::Flying {
                    since: now,
                    purpose,
                });
                return Next::Fetch(purpose);
            }
            _ => {}
        }
        if self.expired(now) {
            self.expire(used, now);
            return Next::Expired;
        }
        if self.flight.is_none() && self.is_due(used, now) {
            let purpose = self.purpose(now);
            self.begin(purpose, now);
            return self.next(used, now);
        }
        self.wake_at(now).map_or(Next::Idle, Next::Sleep)
    }

    /// A token call ended; `dice` in 0..1 is its jitter.
    pub(crate) fn fetched(&mut self, answer: Answer, now: Instant, dice: f64) -> Settled {
        let (since, purpose) = match self.flight.take() {
            Some(Flight::Flying { since, purpose }) => (since, purpose),
            _ => (now, Purpose::Cold),
        };
        match answer {
            Answer::Failed(retry) => self.failed(retry, now, dice),
            Answer::Token { sent, life, same } => {
                let expires = life.map(|life| sent + (life - pace::margin(life)));
                if expires.is_some_and(|expires| expires <= now) {
                    return self.dead_on_arrival(since, now, dice);
                }
                self.stillborn = false;
                self.trouble = None;
                self.not_before = life
                    .filter(|life| *life < SHORT)
                    .map(|_| since + Duration::from_secs(1));
                match self.token {
                    Some(token) if same => self.same_again(token, purpose, sent, life, now),
                    _ => self.successor(purpose, sent, life, dice),
                }
            }
        }
    }

    /// Whether requests may be sent with the credential now.
    pub(crate) fn leasable(&self, now: Instant) -> bool {
        self.token.is_some_and(|token| !token.withheld) && !self.expired(now)
    }

    fn purpose(&self, now: Instant) -> Purpose {
        match self.token {
            Some(token) if token.withheld => Purpose::Refused,
            Some(_) if !self.expired(now) => Purpose::Ahead,
            _ => Purpose::Cold,
        }
    }

    fn begin(&mut self, purpose: Purpose, now: Instant) {
        self.flights += 1;
        let at = self.not_before.map_or(now, |earliest| earliest.max(now));
        self.flight = Some(Flight::Due { at, purpose });
    }

    fn expired(&self, now: Instant) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }

    /// A used credential that ends is asked for again at once; so is one that is being waited for.
    fn expire(&mut self, used: bool, now: Instant) {
        let used = used && !self.token.is_some_and(|token| token.last);
        self.token = None;
        match &mut self.trouble {
            Some(trouble) => trouble.wanted |= used,
            None if used && self.flight.is_none() => self.begin(Purpose::Cold, now),
            None => {}
        }
    }

    fn is_due(&mut self, used: bool, now: Instant) -> bool {
        let trouble_is_over = self.trouble.is_none_or(|trouble| trouble.next <= now);
        let wanted = self.trouble.is_some_and(|trouble| trouble.wanted);
        let Some(token) = self.token.as_mut().filter(|token| !token.withheld) else {
            return wanted && trouble_is_over;
        };
        if token.renew.is_none_or(|renew| now < renew) {
            return false;
        }
        if !used {
            // Looked at again at the last good moment, and then left to lapse.
            token.renew = token.latest.take().filter(|latest| now < *latest);
            return false;
        }
        trouble_is_over
    }

    fn wake_at(&self, now: Instant) -> Option<Instant> {
        if let Some(Flight::Due { at, .. }) = self.flight {
            return Some(self.expires().map_or(at, |expires| at.min(expires)));
        }
        let trouble = self.trouble.filter(|trouble| trouble.next > now);
        let renew = match self.token {
            Some(token) if !token.withheld => token
                .renew
                .map(|renew| trouble.map_or(renew, |trouble| renew.max(trouble.next))),
            _ => trouble
                .filter(|trouble| trouble.wanted)
                .map(|trouble| trouble.next),
        };
        [renew, self.expires()].into_iter().flatten().min()
    }

    fn failed(&mut self, retry: Retry, now: Instant, dice: f64) -> Settled {
        self.stillborn = false;
        let (permanent, failures) = match (retry, self.trouble) {
            // It was not tried: nothing is known that was not known before.
            (Retry::Held { .. }, before) => {
                before.map_or((false, 0), |trouble| (trouble.permanent, trouble.failures))
            }
            (_, before) => {
                let permanent = retry == Retry::Permanent;
                let before = before.filter(|trouble| trouble.permanent == permanent);
                let failures = before.map_or(0, |trouble| trouble.failures);
                (permanent, failures.saturating_add(1))
            }
        };
        let first = self.trouble.is_none();
        let least = if retry == Retry::Permanent {
            self.probe_after
        } else {
            Duration::ZERO
        };
        let next = now + pace::pause(retry, failures, dice).max(least);
        self.trouble = Some(Trouble {
            failures,
            permanent,
            next,
            wanted: false,
        });
        Settled::Failed { first }
    }

    /// An endpoint that hands out the last moments of a token has a fresh one a second later.
    fn dead_on_arrival(&mut self, since: Instant, now: Instant, dice: f64) -> Settled {
        if std::mem::replace(&mut self.stillborn, true) {
            self.failed(Retry::Transient { after: None }, now, dice);
            return Settled::NeverAlive;
        }
        let at = now.max(since + Duration::from_secs(1));
        let purpose = self.purpose(now);
        self.flight = Some(Flight::Due { at, purpose });
        Settled::Stillborn
    }

    fn same_again(
        &mut self,
        mut token: Token,
        purpose: Purpose,
        sent: Instant,
        life: Option<Duration>,
        now: Instant,
    ) -> Settled {
        token.expires = life.map(|life| sent + (life - pace::margin(life)));
        token.latest = None;
        token.answers = token.answers.saturating_add(1);
        token.renew = token
            .expires
            .filter(|_| token.answers < CALLS_A_LIFE)
            .map(|expires| now + ((expires - now) / 2).max(Duration::from_secs(1)));
        if token.answers >= CALLS_A_LIFE {
            // Before the very end the endpoint would only say the same again.
            self.not_before = self.not_before.max(life.map(|life| sent + life));
        }
        if purpose == Purpose::Refused {
            self.refusals.refused_again(now);
            token.cooled = true;
        }
        token.withheld = false;
        self.token = Some(token);
        Settled::Same {
            expires: token.expires,
        }
    }

    fn successor(
        &mut self,
        purpose: Purpose,
        sent: Instant,
        life: Option<Duration>,
        dice: f64,
    ) -> Settled {
        self.generation += 1;
        let expires = life.map(|life| sent + (life - pace::margin(life)));
        self.token = Some(Token {
            generation: self.generation,
            expires,
            latest: life.map(|life| sent + pace::latest_renewal(life)),
            renew: life.map(|life| sent + pace::renew_after(life, dice)),
            answers: 1,
            withheld: false,
            replaces_refused: purpose == Purpose::Refused,
            cooled: false,
            last: false,
        });
        Settled::New {
            generation: self.generation,
            expires,
        }
    }
}

/// Token calls that may answer with one and the same token.
const CALLS_A_LIFE: u8 = 3;

/// Below this a life is no reason for more than one call a second.
const SHORT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
