//! What may be seen of a credential: names, numbers, states and times. It has no field that could hold a secret.

use std::{sync::Arc, time::Duration};

use super::{Call, FailureKind, FetchError};
use crate::telemetry::metrics::Snapshot;

/// One slot as operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialView {
    /// The credential's name in the file.
    pub name: Arc<str>,
    /// The grant's key in the file.
    pub grant: &'static str,
    /// The token endpoint without its query.
    pub endpoint: Option<Arc<str>>,
    /// Where it is in its life.
    pub state: SlotState,
    /// How many different credentials this slot has issued.
    pub generation: u64,
    /// Until it is no longer sent; none when there is none, or it never ends.
    pub expires_in: Option<Duration>,
    /// Until it is renewed, or tried again after a failure.
    pub next_refresh_in: Option<Duration>,
    /// The newest token call that ended.
    pub last_fetch: Option<FetchView>,
    /// The scope that was granted, where the answer said so.
    pub scope: Option<Arc<str>>,
    /// Whether it is fetched at start.
    pub prewarm: bool,
    /// The one of its endpoints that is called again last, of those that have failed too often in a row.
    pub endpoint_paused: Option<EndpointView>,
    /// What ails the store, in full, where the newest question failed.
    pub store_error: Option<Arc<str>>,
    /// Counters since the slot exists.
    pub counters: Counters,
    /// The source that a reload wants in the place of the one in use, as long as it has not shown that it works.
    pub successor: Option<SuccessorView>,
    /// How trials of successors ended.
    pub verifications: Verifications,
    /// Where each subject has a credential of its own, how many are kept: what is said of one here is then said of all.
    pub subjects: Option<SubjectsView>,
}

/// An endpoint that credentials are fetched from, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Scheme, host and path.
    pub endpoint: Arc<str>,
    /// Until it is called again, where it has failed too often in a row.
    pub paused_for: Option<Duration>,
    /// Calls that were not made for such pauses, or for the limits that it sets (429).
    pub held: u64,
}

/// Where a slot is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Nothing was asked for yet, or an unused one lapsed.
    Empty,
    /// The first one is being fetched; requests wait.
    Fetching,
    /// Sent with requests.
    Fresh,
    /// Sent with requests while its successor is being fetched.
    Refreshing,
    /// Refused by an upstream while unproven; still sent, not renewed for a while.
    CoolingDown,
    /// Refused by an upstream; requests wait for its successor.
    Replacing,
    /// There is none to send and the last attempt failed.
    Failed,
}

impl SlotState {
    /// All states, for metrics that have one series each.
    pub const ALL: [Self; 7] = [
        Self::Empty,
        Self::Fetching,
        Self::Fresh,
        Self::Refreshing,
        Self::CoolingDown,
        Self::Replacing,
        Self::Failed,
    ];

    /// The name used in metrics and views.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fetching => "fetching",
            Self::Fresh => "fresh",
            Self::Refreshing => "refreshing",
            Self::CoolingDown => "cooling_down",
            Self::Replacing => "replacing",
            Self::Failed => "failed",
        }
    }
}

/// A changed secret that is not in use yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessorView {
    /// The token endpoint refuses it: what was there before stays in use.
    pub refused: bool,
    /// Trials of one class that failed in a row.
    pub failures: u32,
    /// Why the newest one failed.
    pub failure: Option<FailureKind>,
    /// Until the next one; none while one is under way.
    pub next_try_in: Option<Duration>,
}

impl SuccessorView {
    /// The name of its state used in views: `verifying` or `refused`.
    pub fn state(&self) -> &'static str {
        match self.refused {
            true => "refused",
            false => "verifying",
        }
    }
}

/// How trials of changed secrets ended, since the slot exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verifications {
    /// A token came: the secret is in use.
    pub ok: u64,
    /// The token endpoint refused it.
    pub refused: u64,
    /// Nothing was learnt of it.
    pub failed: u64,
}

/// The subjects of a credential: never who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectsView {
    /// Slots that there are now.
    pub kept: usize,
    /// Slots that had to make room for others since the credential exists.
    pub evicted: u64,
}

/// A token call that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchView {
    /// How long ago it ended.
    pub ago: Duration,
    /// How long it took.
    pub took: Duration,
    /// None for success.
    pub failure: Option<FailureKind>,
}

impl FetchView {
    /// The name of the outcome used in metrics and views: `ok` or the failure's.
    pub fn outcome(&self) -> &'static str {
        self.failure.map_or("ok", FailureKind::as_str)
    }
}

/// The newest fetch of a credential in full, for a person who asks what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The names of the credentials that it builds on.
    pub links: Vec<Arc<str>>,
    /// The calls that its source made itself, in the order in which they ended.
    pub calls: Vec<Call>,
    /// Why it brought nothing.
    pub failure: Option<FetchError>,
}

/// What a slot has counted since it exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Leases given.
    pub uses: u64,
    /// Requests that had to wait.
    pub waits: u64,
    /// How long they waited.
    pub waited: Snapshot,
    /// Refusals by upstreams.
    pub rejections: u64,
    /// Token calls that brought a credential.
    pub fetches: u64,
    /// Credentials that another process had fetched, taken from the store.
    pub adopted: u64,
    /// Times that the store could not be asked or written.
    pub store_failures: u64,
    /// Token calls that did not.
    pub failures: u64,
    /// How long the calls that brought one took.
    pub fetching: Snapshot,
    /// How long the calls that did not took.
    pub failing: Snapshot,
}

impl Counters {
    /// Adds what another slot has counted.
    pub fn add(&mut self, other: &Self) {
        self.uses += other.uses;
        self.waits += other.waits;
        self.waited.add(&other.waited);
        self.rejections += other.rejections;
        self.fetches += other.fetches;
        self.adopted += other.adopted;
        self.store_failures += other.store_failures;
        self.failures += other.failures;
        self.fetching.add(&other.fetching);
        self.failing.add(&other.failing);
    }
}
