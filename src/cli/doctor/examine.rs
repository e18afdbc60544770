//! Obtains credentials, each once, and collects what was seen on the way.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::task::JoinSet;

use super::{
    advice,
    jwt::{Jwt, clean},
    report::{Call, Dpop, Failing, Finding, Outcome, Part, Report},
};
use crate::{
    cli::{output::Failure, token},
    clock,
    credentials::{self, CredentialHandle, FetchError, Lease, ProofKey, Retry, Subject},
};

/// The credentials to examine, each after those that it builds on.
pub(super) fn chosen(
    all: &HashMap<String, CredentialHandle>,
    name: Option<&str>,
) -> Result<Vec<CredentialHandle>, Failure> {
    let mut names: Vec<_> = match name {
        Some(name) => vec![&**token::find(all, name)?.name()],
        None => all.keys().map(String::as_str).collect(),
    };
    names.sort_unstable();
    let mut order = Order::default();
    for name in names {
        order.add(name, all);
    }
    Ok(order.handles)
}

#[derive(Default)]
struct Order {
    seen: HashSet<String>,
    handles: Vec<CredentialHandle>,
}

impl Order {
    fn add(&mut self, name: &str, all: &HashMap<String, CredentialHandle>) {
        let Some(handle) = all.get(name) else {
            return;
        };
        if self.seen.insert(name.to_owned()) {
            for link in handle.account().links {
                self.add(&link, all);
            }
            self.handles.push(handle.clone());
        }
    }
}

/// Obtains all at the same time: what builds on another waits for that one in its slot.
pub(super) async fn all(handles: &[CredentialHandle], subject: &Subject) -> Report {
    let mut tasks = JoinSet::new();
    for (at, handle) in handles.iter().enumerate() {
        let (handle, subject) = (handle.clone(), subject.clone());
        tasks.spawn(async move { (at, one(&handle, &subject).await) });
    }
    let mut findings = tasks.join_all().await;
    findings.sort_by_key(|(at, _)| *at);
    let mut findings: Vec<_> = findings.into_iter().map(|(_, finding)| finding).collect();
    blame(&mut findings);
    Report::new(findings)
}

/// What builds on one that failed has not failed itself.
pub(super) fn blame(findings: &mut [Finding]) {
    for at in 0..findings.len() {
        let (before, rest) = findings.split_at_mut(at);
        let finding = &mut rest[0];
        let missing = before.iter().find(|it| {
            finding.builds_on.contains(&it.name)
                && matches!(it.outcome, Outcome::Failed | Outcome::NotTried)
        });
        if let (Outcome::Failed, Some(missing)) = (finding.outcome, missing) {
            finding.outcome = Outcome::NotTried;
            finding.hints = vec![format!(
                "it builds on `{}`, which could not be obtained",
                missing.name
            )];
        }
    }
}

async fn one(handle: &CredentialHandle, subject: &Subject) -> Finding {
    let needs_subject = handle.is_per_subject() && *subject == Subject::Own;
    let own = handle.of(subject);
    let (handle, lease) = match own {
        Ok(own) if !needs_subject => {
            let lease = own.lease(PATIENCE).await.ok();
            // What the store had tells nothing of the endpoint.
            let live = match own.view().counters.adopted {
                0 => lease,
                _ => own.renew_now().await.ok().and_then(|()| own.try_lease()),
            };
            (own, live)
        }
        _ => (handle.clone(), None),
    };
    let (view, account) = (handle.view(), handle.account());
    let outcome = match &lease {
        Some(_) => Outcome::Obtained,
        None if needs_subject => Outcome::NeedsSubject,
        None => Outcome::Failed,
    };
    let asked = account.calls.iter().rev().find_map(|it| it.asked.as_ref());
    let left = lease.as_ref().and_then(Lease::expires);
    let left = left.map(|ends| ends.saturating_duration_since(clock::now()));
    let mut finding = Finding {
        name: view.name.to_string(),
        kind: view.grant,
        outcome,
        took_ms: view.last_fetch.map(|fetch| millis(fetch.took)),
        expires_in: left.map(|it| it.as_secs_f64().round() as u64),
        scope_asked: asked.and_then(|asked| asked.scope.clone()),
        scope_granted: view.scope.as_deref().map(clean),
        client_auth: asked.map(|asked| asked.client_auth),
        dpop: handle.source().proof_key().map(|key| dpop(key)),
        builds_on: account.links.iter().map(ToString::to_string).collect(),
        parts: lease.iter().flat_map(parts).collect(),
        calls: account.calls.iter().map(call).collect(),
        failure: account.failure.as_ref().map(failing),
        hints: Vec::new(),
    };
    if needs_subject {
        finding.hints = vec!["every user has another: name one with `--subject USER`".into()];
    } else {
        finding.hints = advice::on(&finding);
    }
    finding
}

fn parts(lease: &Lease) -> Vec<Part> {
    let part = |(name, secret): (&str, &crate::secret::Secret)| Part {
        name: name.to_owned(),
        characters: secret.expose().chars().count(),
        jwt: Jwt::read(secret.expose()),
    };
    lease.parts().map(part).collect()
}

fn dpop(key: &ProofKey) -> Dpop {
    Dpop {
        alg: key.algorithm(),
        thumbprint: key.thumbprint().to_owned(),
        generated: key.is_generated(),
    }
}

fn call(call: &credentials::Call) -> Call {
    Call {
        method: call.method.to_string(),
        endpoint: call.endpoint.to_string(),
        status: call.status.map(|it| it.as_u16()),
        took_ms: millis(call.took),
        tls: call.tls,
        clock_ahead: call.clock_ahead_ms.map(|it| it as f64 / 1000.0),
    }
}

fn failing(error: &FetchError) -> Failing {
    let (permanent, after) = match error.retry {
        Retry::Permanent => (true, None),
        Retry::Transient { after } => (false, after),
        Retry::Held { after } => (false, Some(after)),
    };
    Failing {
        kind: error.kind.as_str(),
        permanent,
        retry_after: after.map(|it| it.as_secs()),
        status: error.refusal.map(|it| it.status),
        code: error.code(),
        detail: clean(&error.detail),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Longer than the deadlines of a chain of calls.
const PATIENCE: Duration = Duration::from_secs(120);
