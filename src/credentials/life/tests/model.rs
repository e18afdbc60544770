//! Random schedules against one slot's state machine: a world in miniature, with its own idea of what was promised.
//!
//! `SCHEDULES=1000000 cargo test --lib no_schedule_breaks_a_promise` plays more of them than the usual run.

use std::time::Duration;

use super::s;
use crate::{
    clock::{self, Instant},
    credentials::{
        Retry, SlotState,
        life::{Answer, Life, Next, Purpose, Refusal, Settled, Want},
        pace,
    },
};

#[test]
fn no_schedule_breaks_a_promise() {
    for seed in 0..schedules() {
        let mut schedule = Schedule::random(seed);
        if schedule.play().is_some() {
            schedule.shrink();
            let broken = schedule.play().unwrap_or_default();
            panic!("schedule {seed}: {broken}\n{schedule:#?}");
        }
    }
}

fn schedules() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long a test is no setting")]
    let wanted = std::env::var("SCHEDULES").ok();
    wanted.map_or(100_000, |wanted| wanted.parse().expect("a number"))
}

/// What may happen to a slot, in any order.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Time passes, and the slot's task runs whenever it asked to.
    Pass(Duration),
    /// The machine was suspended: nothing ran, and the clock is further on.
    Leap(Duration),
    /// The slot's task gets no turn until time passes again.
    Lag,
    Want,
    Lease {
        accept: bool,
    },
    /// The generation that is so many before the newest one is refused.
    Reject {
        back: u64,
    },
    /// The call that is under way ends.
    Land(Landed),
    Force,
    /// A reload sets the least pause after a permanent failure.
    Reload(Duration),
    /// A reload brings another source, which somebody may be eager to use.
    Follow {
        eager: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Landed {
    /// `sent` so long after the call began, where it had begun by then.
    Token {
        life: Option<Duration>,
        sent: Duration,
        same: bool,
        dice: f64,
    },
    /// Another process's, fetched so long ago: no call was made.
    Adopted {
        life: Duration,
        age: Duration,
    },
    Transient {
        after: Option<Duration>,
        dice: f64,
    },
    /// No call was made, for the endpoint's sake.
    Held {
        after: Duration,
        dice: f64,
    },
    Permanent,
    /// The call was another source's, or is to be made again with another: it says nothing of the one in use.
    Nothing,
}

#[derive(Debug)]
struct Schedule {
    renewable: bool,
    /// When the subject ends, counted from the start.
    ends: Option<Duration>,
    events: Vec<Event>,
}

impl Schedule {
    fn random(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            renewable: rng.u8(..) >= 8,
            ends: one_in(&mut rng, 4).then(|| span(&mut rng, MONTH)),
            events: (0..rng.usize(1..100)).map(|_| event(&mut rng)).collect(),
        }
    }

    /// The first promise that it breaks.
    fn play(&self) -> Option<String> {
        let mut world = World::new(self);
        for event in &self.events {
            world.apply(*event);
            if world.broken.is_some() {
                return world.broken;
            }
        }
        world.recover();
        world.broken
    }

    /// Leaves out whatever it is broken without.
    fn shrink(&mut self) {
        let mut at = 0;
        while at < self.events.len() {
            let event = self.events.remove(at);
            if self.play().is_some() {
                at = 0;
            } else {
                self.events.insert(at, event);
                at += 1;
            }
        }
    }
}

fn event(rng: &mut fastrand::Rng) -> Event {
    match rng.u8(..33) {
        0..6 => Event::Pass(span(rng, 12)),
        6..8 => Event::Pass(span(rng, MONTH)),
        8 => Event::Leap(span(rng, MONTH)),
        9 => Event::Lag,
        10..15 => Event::Want,
        15..19 => Event::Lease { accept: rng.bool() },
        19..23 => Event::Reject {
            back: rng.u64(..8).saturating_sub(5),
        },
        23..30 => Event::Land(landed(rng)),
        30 => Event::Force,
        31 => Event::Reload(span(rng, 21)),
        _ => Event::Follow { eager: rng.bool() },
    }
}

fn landed(rng: &mut fastrand::Rng) -> Landed {
    let dice = rng.f64();
    match rng.u8(..17) {
        0..5 => Landed::Token {
            life: Some(span(rng, MONTH)),
            sent: Duration::ZERO,
            same: false,
            dice,
        },
        5 => Landed::Token {
            life: None,
            sent: Duration::ZERO,
            same: rng.bool(),
            dice,
        },
        6..11 => Landed::Token {
            life: Some(span(rng, 20)),
            sent: span(rng, 12),
            same: rng.u8(..3) > 0,
            dice,
        },
        11 => Landed::Adopted {
            life: span(rng, MONTH),
            age: span(rng, 20),
        },
        12..14 => Landed::Transient {
            after: one_in(rng, 3).then(|| span(rng, 22)),
            dice,
        },
        14 => Landed::Held {
            after: span(rng, 15),
            dice,
        },
        15 => Landed::Permanent,
        _ => Landed::Nothing,
    }
}

/// Up to 2^`bits` ms, short ones as likely as long ones.
fn span(rng: &mut fastrand::Rng, bits: u32) -> Duration {
    let bits = rng.u32(..=bits);
    Duration::from_millis(rng.u64(..=1 << bits))
}

fn one_in(rng: &mut fastrand::Rng, many: u8) -> bool {
    rng.u8(..many) == 0
}

/// The shell and all that is around it.
struct World {
    slot: Life,
    renewable: bool,
    now: Instant,
    /// Nothing is made for the subject after this.
    ends: Option<Instant>,
    lags: bool,
    probe_after: Duration,
    /// What is published: generation and end.
    published: Option<(u64, Option<Instant>)>,
    highest: u64,
    withheld: bool,
    used: bool,
    accepted: bool,
    /// Its predecessor was refused; it has cooled down since.
    replaces: bool,
    cooled: bool,
    /// The call under way is made because an upstream refused what there was.
    refused: bool,
    /// The flights that requests wait for.
    waiters: Vec<u64>,
    /// When the call under way began.
    flying: Option<Instant>,
    /// When the last one began.
    called: Option<Instant>,
    /// Somebody forces the next one.
    forced: bool,
    /// It is to be made at once.
    at_once: bool,
    /// The next one may come at any moment: a refusal causes it, or the last flight made no call.
    early: bool,
    /// When a renewal is owed no more to refusals: ten in a row, then one in ten seconds.
    owed: Option<Instant>,
    /// The last answer was dead on arrival.
    stillborn: bool,
    /// Failures of one kind in a row, and when the next attempt may be.
    failures: (bool, u32),
    not_before: Option<Instant>,
    /// When those who were sent away were told to come back.
    told: Option<Instant>,
    broken: Option<String>,
}

impl World {
    fn new(schedule: &Schedule) -> Self {
        let now = clock::now();
        Self {
            slot: Life::new(schedule.renewable),
            renewable: schedule.renewable,
            now,
            ends: schedule.ends.map(|ends| now + ends),
            lags: false,
            probe_after: Duration::ZERO,
            published: None,
            highest: 0,
            withheld: false,
            used: false,
            accepted: false,
            replaces: false,
            cooled: false,
            refused: false,
            waiters: Vec::new(),
            flying: None,
            called: None,
            forced: false,
            at_once: false,
            early: false,
            owed: None,
            stillborn: false,
            failures: (false, 0),
            not_before: None,
            told: None,
            broken: None,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Pass(time) => self.pass(time),
            Event::Leap(time) => {
                self.lags = true;
                self.now += time;
            }
            Event::Lag => self.lags = true,
            Event::Want => self.want(),
            Event::Lease { accept } => {
                if self.leasable() {
                    self.used = true;
                    self.accepted |= accept;
                }
            }
            Event::Reject { back } => self.reject(back),
            Event::Land(landed) => self.land(landed),
            Event::Force => {
                self.forced |= self.flying.is_none();
                self.at_once |= self.flying.is_none();
                let flight = self.slot.force(self.now);
                self.waiters.push(flight);
            }
            Event::Reload(probe_after) => {
                self.probe_after = probe_after;
                self.slot.probe_after(probe_after);
            }
            Event::Follow { eager } => self.follow(eager),
        }
        self.looks_right();
        if !self.lags {
            self.settle();
            self.looks_right();
        }
    }

    /// What requests see is what was published, and the state machine knows it.
    fn looks_right(&mut self) {
        let leasable = self.leasable();
        let shown = matches!(
            self.slot.state(self.now),
            SlotState::Fresh | SlotState::Refreshing | SlotState::CoolingDown
        );
        self.promise(self.slot.leasable(self.now) == leasable, "it knows better");
        self.promise(shown == leasable, "the state that is shown is another");
        self.promise(
            self.slot.generation() == self.highest,
            "a generation was lost",
        );
    }

    fn want(&mut self) {
        match self.slot.want(self.now) {
            Want::Ready => self.promise(self.leasable(), "nothing is ready"),
            Want::Wait(flight) => self.waiters.push(flight),
            Want::Failed { retry_in } => {
                let told = self.now + retry_in;
                let before = self.told.replace(told);
                self.promise(self.flying.is_none(), "sent away from a flight");
                self.promise(retry_in > Duration::ZERO, "sent away for no time");
                self.promise(
                    self.slot.retry_in(self.now) == Some(retry_in),
                    "another moment is shown",
                );
                self.promise(before.is_none_or(|it| it == told), "told another moment");
            }
        }
    }

    fn reject(&mut self, back: u64) {
        let number = self.highest.saturating_sub(back);
        match self.slot.reject(number, self.accepted, self.now) {
            Refusal::Withheld => {
                self.promise(self.renewable && back == 0, "it withholds another");
                self.promise(!self.withheld, "withheld twice");
                let unproven = self.replaces && !self.accepted;
                self.promise(!unproven || self.cooled, "it did not cool down");
                (self.withheld, self.refused) = (true, self.flying.is_some());
                self.early |= self.flying.is_none();
                let paused = self.not_before.is_some_and(|it| self.now < it);
                self.at_once |= self.flying.is_none() && !paused;
                let owed = self.owed.map_or(self.now, |owed| owed.max(self.now)) + s(10);
                self.promise(owed <= self.now + s(100), "refusals hammer");
                self.owed = Some(owed);
            }
            Refusal::Cooling => {
                self.promise(!self.withheld, "it cools withheld");
                self.cooled = true;
            }
            Refusal::Fixed => self.promise(!self.renewable, "it is not fixed"),
            Refusal::Known => {
                let known = back > 0 || self.withheld || self.published.is_none();
                self.promise(known, "a refusal was overheard");
            }
        }
    }

    /// Another source takes over untried where nothing is sent that it could lose; what went wrong was the old one's.
    fn follow(&mut self, eager: bool) {
        if self.leasable() || self.slot.is_flying() {
            return;
        }
        // Whoever was sent away was told of a moment, which this one keeps.
        let wanted = eager || self.not_before.is_some();
        self.slot.forgive();
        let forgiven = self.slot.retry_in(self.now).is_none();
        self.promise(forgiven, "a failure of another source is remembered");
        (self.failures, self.stillborn) = ((false, 0), false);
        (self.not_before, self.told, self.early) = (None, None, true);
        if wanted {
            self.want();
            self.promise(self.told.is_none(), "sent away by another's failure");
        }
    }

    /// The call under way ended with nothing that the slot could learn: those who wait ask again.
    fn let_be(&mut self) {
        let (flight, pause) = (self.slot.flight(), self.slot.retry_in(self.now));
        self.slot.let_be();
        let kept = self.slot.retry_in(self.now) == pause;
        self.promise(kept, "a failure of another source is counted");
        self.promise(!self.slot.is_flying(), "a call that ended goes on");
        // Also where an answer that was dead on arrival had made an exception.
        self.not_before = pause.map(|pause| self.now + pause);
        // With which source the next one is made is not the slot's business.
        self.early = true;
        let waiting = self.waiters.len();
        self.waiters.retain(|waited| *waited > flight);
        if self.waiters.len() < waiting {
            self.want();
        }
    }

    /// Lets the slot's task do what it wants to do now; when it will run again.
    fn settle(&mut self) -> Option<Instant> {
        for _ in 0..8 {
            match self.slot.next(self.used, self.now) {
                Next::Fetch(purpose) => self.fetch(purpose),
                Next::Expired => {
                    let end = self.published.take().and_then(|(_, end)| end);
                    self.promise(end.is_some_and(|end| end <= self.now), "it lives");
                    (self.withheld, self.used) = (false, false);
                }
                Next::Sleep(until) => {
                    self.promise(until > self.now, "it spins");
                    self.promise(!self.at_once, "it sleeps when it should call");
                    let soon = self.waiters.is_empty() || until <= self.now + s(1);
                    self.promise(soon, "it sleeps while somebody waits");
                    return Some(until);
                }
                Next::Idle => {
                    let flies = self.flying.is_some();
                    self.promise(!self.at_once, "it rests when it should call");
                    self.promise(flies || self.waiters.is_empty(), "a waiter is forgotten");
                    return None;
                }
            }
            if self.broken.is_some() {
                return None;
            }
        }
        self.promise(false, "it does not settle");
        None
    }

    fn fetch(&mut self, purpose: Purpose) {
        let (forced, early) = (self.forced, self.early);
        (self.forced, self.early, self.at_once) = (false, false, false);
        self.promise(self.flying.is_none(), "two calls at once");
        let told = self.told.take();
        if !forced {
            let paused = self.not_before.is_none_or(|it| it <= self.now);
            self.promise(paused, "no pause after a failure");
            self.promise(told.is_none_or(|it| it <= self.now), "sooner than told");
            // Seven tenths of a life of a second.
            let apart = |called| self.now >= called + Duration::from_millis(700);
            self.promise(early || self.called.is_none_or(apart), "it hammers");
        }
        let refused = purpose == Purpose::Refused;
        self.promise(refused || !self.withheld, "a refusal was forgotten");
        self.refused = refused;
        self.flying = Some(self.now);
        self.called = Some(self.now);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        // Late where it had no turn or the machine was suspended: then what was promised for meanwhile comes now.
        while self.broken.is_none() {
            let wake = self.settle();
            self.lags = false;
            let late = self.told.filter(|it| *it <= self.now);
            self.promise(late.is_none(), "no attempt when told");
            match wake.filter(|wake| *wake <= end) {
                Some(wake) => self.now = wake,
                None => break,
            }
        }
        self.now = end;
        if self.broken.is_none() {
            self.settle();
            let late = self.told.filter(|it| *it <= self.now);
            self.promise(late.is_none(), "no attempt when told");
        }
    }

    fn land(&mut self, landed: Landed) {
        let Some(since) = self.flying.take() else {
            return;
        };
        if let Landed::Nothing = landed {
            return self.let_be();
        }
        let flight = self.slot.flight();
        // As the call itself has it: nothing is sent with a dead subject token.
        let over = self.ends.is_some_and(|ends| ends <= since);
        let landed = if over { Landed::Permanent } else { landed };
        let (answer, dice) = self.answer(since, landed);
        let settled = self.slot.fetched(answer, self.now, dice);
        let answered = match (settled, answer) {
            (Settled::New { .. } | Settled::Same { .. }, Answer::Token { sent, life, .. }) => {
                self.arrived(settled, sent, life);
                self.early |= matches!(landed, Landed::Adopted { .. });
                true
            }
            (Settled::Stillborn, Answer::Token { .. }) => {
                let again = std::mem::replace(&mut self.stillborn, true);
                self.promise(!again, "a second time is a failure");
                self.not_before = None;
                self.early |= matches!(landed, Landed::Adopted { .. });
                false
            }
            (Settled::NeverAlive, Answer::Token { .. }) => {
                self.promise(self.stillborn, "the first time is none");
                self.failed(Retry::Transient { after: None });
                true
            }
            (Settled::Failed { .. }, Answer::Failed(retry)) => {
                self.failed(retry);
                true
            }
            _ => {
                self.promise(false, "an answer was taken for another");
                true
            }
        };
        if answered {
            self.waiters.retain(|waited| *waited > flight);
        }
    }

    fn answer(&self, since: Instant, landed: Landed) -> (Answer, f64) {
        match landed {
            Landed::Token {
                life,
                sent,
                same,
                dice,
            } => {
                let sent = self.now.min(since + sent);
                let same = same && self.published.is_some();
                (self.token(sent, life, same), dice)
            }
            Landed::Adopted { life, age } => {
                let sent = self.now.checked_sub(age).unwrap_or(self.now);
                (self.token(sent, Some(life), false), 0.5)
            }
            Landed::Transient { after, dice } => (Answer::Failed(Retry::Transient { after }), dice),
            Landed::Held { after, dice } => (Answer::Failed(Retry::Held { after }), dice),
            Landed::Permanent | Landed::Nothing => (Answer::Failed(Retry::Permanent), 0.5),
        }
    }

    /// Nothing outlives its subject.
    fn token(&self, sent: Instant, life: Option<Duration>, same: bool) -> Answer {
        let most = self.ends.map(|ends| ends.saturating_duration_since(sent));
        Answer::Token {
            sent,
            life: life.into_iter().chain(most).min(),
            same,
        }
    }

    fn arrived(&mut self, settled: Settled, sent: Instant, life: Option<Duration>) {
        let end = life.map(|life| sent + (life - pace::margin(life)));
        self.promise(end.is_none_or(|end| end > self.now), "dead on arrival");
        let number = match settled {
            Settled::New {
                generation,
                expires,
            } => {
                self.promise(generation == self.highest + 1, "generations do not count");
                self.promise(expires == end, "another end");
                self.accepted = false;
                (self.replaces, self.cooled) = (self.refused, false);
                generation
            }
            Settled::Same { expires } => {
                self.promise(self.published.is_some(), "the same as none");
                self.promise(expires == end, "another end");
                self.highest
            }
            _ => return,
        };
        self.highest = number;
        self.published = Some((number, end));
        (self.withheld, self.used) = (false, false);
        self.failures = (false, 0);
        (self.stillborn, self.not_before) = (false, None);
        if life.is_some() && life.map(|life| sent + life) == self.ends {
            self.slot.end_here();
        }
    }

    fn failed(&mut self, retry: Retry) {
        let permanent = retry == Retry::Permanent;
        let held = matches!(retry, Retry::Held { .. });
        let before = if self.failures.0 == permanent {
            self.failures.1
        } else {
            0
        };
        if !held {
            self.failures = (permanent, before + 1);
        }
        (self.stillborn, self.early) = (false, self.early || held);
        let doubled = |first: u64, most: u64| s((first << before.min(16)).min(most));
        let (least, most) = match retry {
            Retry::Transient { after } => {
                let after = after.unwrap_or_default().min(s(900));
                (s(1).max(after), doubled(1, 60).max(after))
            }
            Retry::Held { after } => (after, after + s(1)),
            Retry::Permanent => {
                let pause = doubled(30, 900).max(self.probe_after);
                (pause, pause)
            }
        };
        let pause = self.slot.retry_in(self.now).unwrap_or_default();
        self.promise((least..=most).contains(&pause), "another pause");
        self.not_before = Some(self.now + pause);
    }

    /// With a healthy endpoint every waiter is answered, and whoever asks next has a credential when it was told to come back.
    fn recover(&mut self) {
        self.pass(s(1));
        self.land(GOOD);
        self.pass(s(1));
        self.land(GOOD);
        self.promise(self.waiters.is_empty(), "a waiter was never answered");
        self.want();
        if let Some(told) = self.told {
            self.pass(told - self.now);
        }
        if !self.leasable() {
            self.pass(s(1));
            self.land(GOOD);
        }
        let over = self.ends.is_some_and(|ends| ends <= self.now + s(2));
        self.promise(over || self.leasable(), "it never recovers");
    }

    fn leasable(&self) -> bool {
        let alive = |(_, end): (u64, Option<Instant>)| end.is_none_or(|end| self.now < end);
        !self.withheld && self.published.is_some_and(alive)
    }

    fn promise(&mut self, kept: bool, else_: &str) {
        if !kept && self.broken.is_none() {
            self.broken = Some(else_.to_owned());
        }
    }
}

const GOOD: Landed = Landed::Token {
    life: Some(Duration::from_secs(3600)),
    sent: Duration::ZERO,
    same: false,
    dice: 0.5,
};

/// 2^32 ms are fifty days.
const MONTH: u32 = 32;
