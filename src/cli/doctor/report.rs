//! What is found out about credentials. The names of the fields are the keys of `--json`: a contract.
//!
//! Nothing here can hold a secret: of parts only their lengths and a JWT's public claims are kept.

use serde::Serialize;

use super::jwt::Jwt;

/// All that was examined.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether no credential failed.
    pub(super) ok: bool,
    pub(super) credentials: Vec<Finding>,
}

impl Report {
    pub(super) fn new(credentials: Vec<Finding>) -> Self {
        let mut report = Self {
            ok: false,
            credentials,
        };
        report.ok = report.failed() == 0;
        report
    }

    /// How many could not be obtained, for whatever reason but a missing user.
    pub(super) fn failed(&self) -> usize {
        let all = self.credentials.iter();
        all.filter(|it| matches!(it.outcome, Outcome::Failed | Outcome::NotTried))
            .count()
    }
}

/// One credential.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) name: String,
    /// Its key in the file.
    pub(super) kind: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took_ms: Option<u64>,
    /// In seconds; null where there is none, or it never ends.
    pub(super) expires_in: Option<u64>,
    pub(super) scope_asked: Option<String>,
    pub(super) scope_granted: Option<String>,
    /// How we proved who we are.
    pub(super) client_auth: Option<&'static str>,
    /// The key that its token is bound to.
    pub(super) dpop: Option<Dpop>,
    /// The credentials that it builds on.
    pub(super) builds_on: Vec<String>,
    pub(super) parts: Vec<Part>,
    pub(super) calls: Vec<Call>,
    pub(super) failure: Option<Failing>,
    pub(super) hints: Vec<String>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Obtained,
    Failed,
    /// One that it builds on failed.
    NotTried,
    /// Every user has another, and no user was named.
    NeedsSubject,
}

/// A key that tokens are bound to (RFC 9449).
#[derive(Debug, Serialize)]
pub(super) struct Dpop {
    pub(super) alg: &'static str,
    /// What the token names it by (RFC 7638).
    pub(super) thumbprint: String,
    /// Whether it was made for this run alone; the proxy makes another.
    pub(super) generated: bool,
}

/// A part of a credential that is not shown.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) characters: usize,
    pub(super) jwt: Option<Jwt>,
}

/// One HTTP call.
#[derive(Debug, Serialize)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) endpoint: String,
    pub(super) status: Option<u16>,
    pub(super) took_ms: u64,
    /// The version; null in clear.
    pub(super) tls: Option<&'static str>,
    /// In seconds.
    pub(super) clock_ahead: Option<f64>,
}

/// Why there is none.
#[derive(Debug, Serialize)]
pub(super) struct Failing {
    pub(super) kind: &'static str,
    /// Whether asking again can't help.
    pub(super) permanent: bool,
    /// In seconds, where the endpoint says so.
    pub(super) retry_after: Option<u64>,
    /// What the endpoint answered.
    pub(super) status: Option<u16>,
    /// The error code (RFC 6749 5.2) of its answer.
    pub(super) code: Option<&'static str>,
    pub(super) detail: String,
}
