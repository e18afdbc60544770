//! What is kept of one slot: its newest credential with absolute times, and what was begun with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::StoreError;
use crate::{clock, credentials::Credential, secret::Secret};

/// The newest credential of a slot. All times are since 1970, by the wall clock of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::credentials) struct Record {
    /// Counts what this slot was issued, over all processes: the larger is the newer.
    pub(in crate::credentials) number: u64,
    /// The named secrets; none where there is only what a login left.
    pub(in crate::credentials) parts: Vec<(String, Secret)>,
    /// When the request that brought it was sent.
    pub(in crate::credentials) sent: Duration,
    /// When it ends; none for one that never does.
    pub(in crate::credentials) ends: Option<Duration>,
    /// What renews it.
    pub(in crate::credentials) refresh: Option<Secret>,
    /// The scope that was granted.
    pub(in crate::credentials) scope: Option<String>,
    /// The end of what it was made of.
    pub(in crate::credentials) until: Option<Duration>,
    /// What kind of token it is (RFC 8693).
    pub(in crate::credentials) issued_type: Option<String>,
    /// Set before `refresh` is sent, and gone once its successor is here.
    pub(in crate::credentials) spending: Option<Spending>,
    /// Before this time `refresh` is not sent: the store had lost it, and others may know of a newer one.
    pub(in crate::credentials) rests: Option<Duration>,
}

/// A refresh token is under way: whether the server has taken it is not known until it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::credentials) struct Spending {
    /// When it was sent, in seconds since 1970.
    pub(in crate::credentials) since: u64,
}

impl Spending {
    /// Whether it is no longer ago than `window`, at `wall` since 1970.
    ///
    /// Where the wall clock was set back since, nobody knows how long ago it is: longer than it was set back by, at a guess.
    pub(in crate::credentials) fn is_within(self, window: Duration, wall: Duration) -> bool {
        wall.abs_diff(Duration::from_secs(self.since)) < window
    }
}

impl Record {
    /// Of what has just been issued.
    pub(in crate::credentials) fn new(credential: &Credential, number: u64) -> Self {
        let (now, wall) = (clock::now(), clock::unix_time());
        let sent = wall.saturating_sub(now.saturating_duration_since(credential.sent));
        let parts = credential.parts.iter();
        Self {
            number,
            parts: parts
                .map(|(name, secret)| (name.to_string(), secret.clone()))
                .collect(),
            sent,
            ends: credential.life.map(|life| sent + life),
            refresh: credential.refresh.clone(),
            scope: credential.scope.clone(),
            until: credential
                .until
                .map(|until| wall + until.saturating_duration_since(now)),
            issued_type: credential.issued_type.clone(),
            spending: None,
            rests: None,
        }
    }

    /// Of what has just been issued, after the number `known`.
    ///
    /// The number is the time at least at which it was asked for: so it is the larger one also where what was known before
    /// is lost, and the smaller one where another process has fetched while this one was held up.
    pub(in crate::credentials) fn after(credential: &Credential, known: u64) -> Self {
        let mut record = Self::new(credential, 0);
        let millis = u64::try_from(record.sent.as_millis()).unwrap_or(u64::MAX);
        record.number = millis.max(known.saturating_add(1));
        record
    }

    /// The credential, with what is left of its life by our own clocks.
    ///
    /// Where the wall clock was set back since, it is not believed to live longer than it was issued for.
    pub(in crate::credentials) fn credential(&self) -> Credential {
        let (now, wall) = (clock::now(), clock::unix_time());
        let (age, life) = self.age_and_life(wall);
        // The monotonic clock may not reach back so far: then its life is what is left of it.
        let (sent, life) = match now.checked_sub(age) {
            Some(sent) => (sent, life),
            None => (now, life.map(|life| life.saturating_sub(age))),
        };
        let parts = self.parts.iter();
        Credential {
            parts: parts
                .map(|(name, secret)| (name.clone().into(), secret.clone()))
                .collect(),
            life,
            sent,
            refresh: self.refresh.clone(),
            scope: self.scope.clone(),
            made_from: Vec::new(),
            until: self.until.map(|until| now + until.saturating_sub(wall)),
            issued_type: self.issued_type.clone(),
        }
    }

    /// Whether it holds something that can be sent for longer than a moment.
    pub(in crate::credentials) fn is_alive(&self) -> bool {
        let (age, life) = self.age_and_life(clock::unix_time());
        let lives = life.is_none_or(|life| age + life / 20 < life);
        !self.parts.is_empty() && lives
    }

    /// Whether it spares whoever has the record `after` a fetch.
    pub(in crate::credentials) fn is_newer(&self, after: u64) -> bool {
        self.number > after && self.is_alive()
    }

    /// Whether it holds what can be had nowhere else: a refresh token, or what is known of one that was spent.
    pub(in crate::credentials) fn is_irreplaceable(&self) -> bool {
        self.refresh.is_some() || self.spending.is_some()
    }

    /// When nobody can use it any more, unless it is irreplaceable.
    pub(super) fn ends(&self) -> Duration {
        self.ends.unwrap_or(self.sent + ENDLESS)
    }

    fn age_and_life(&self, wall: Duration) -> (Duration, Option<Duration>) {
        let age = wall.saturating_sub(self.sent);
        (age, self.ends.map(|ends| ends.saturating_sub(self.sent)))
    }

    /// As it is written, in clear.
    pub(super) fn to_text(&self) -> Text {
        Text {
            number: self.number,
            parts: self
                .parts
                .iter()
                .map(|(name, secret)| (name.clone(), exposed(secret)))
                .collect(),
            sent: self.sent.as_millis() as u64,
            ends: self.ends.map(|ends| ends.as_millis() as u64),
            refresh: self.refresh.as_ref().map(exposed),
            scope: self.scope.clone(),
            until: self.until.map(|until| until.as_millis() as u64),
            issued_type: self.issued_type.clone(),
            spending: self.spending,
            rests: self.rests.map(|rests| rests.as_millis() as u64),
        }
    }

    /// Of what was written.
    pub(super) fn from_text(text: Text) -> Self {
        let secret = |text: Zeroizing<String>| Secret::new(text.as_str());
        Self {
            number: text.number,
            parts: text
                .parts
                .into_iter()
                .map(|(name, text)| (name, secret(text)))
                .collect(),
            sent: Duration::from_millis(text.sent),
            ends: text.ends.map(Duration::from_millis),
            refresh: text.refresh.map(secret),
            scope: text.scope,
            until: text.until.map(Duration::from_millis),
            issued_type: text.issued_type,
            spending: text.spending,
            rests: text.rests.map(Duration::from_millis),
        }
    }
}

/// What is written, as JSON in clear.
///
/// # Errors
/// [`StoreError`] where it is larger than any credential.
pub(super) fn to_bytes(text: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    // As large as it gets: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST));
    serde_json::to_writer(&mut *bytes, text).map_err(StoreError::new)?;
    if bytes.len() > LARGEST {
        let most = LARGEST / 1024;
        return Err(StoreError::new(format!(
            "a credential of more than {most} KiB is not kept"
        )));
    }
    Ok(bytes)
}

fn exposed(secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(secret.expose().to_owned())
}

/// How it is written. New members must be optional: another version may read it.
#[derive(Serialize, Deserialize)]
pub(super) struct Text {
    number: u64,
    parts: Vec<(String, Zeroizing<String>)>,
    sent: u64,
    ends: Option<u64>,
    refresh: Option<Zeroizing<String>>,
    scope: Option<String>,
    until: Option<u64>,
    issued_type: Option<String>,
    spending: Option<Spending>,
    rests: Option<u64>,
}

/// How long what never ends is kept when nobody renews it: the longest life of such a session that is known is two weeks.
const ENDLESS: Duration = Duration::from_secs(30 * 86_400);

/// A dozen tokens of the largest size.
pub(super) const LARGEST: usize = 256 * 1024;
