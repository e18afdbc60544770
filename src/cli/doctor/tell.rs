//! The report as a person reads it.

use std::fmt::Write;

use serde_json::Value;

use super::{
    jwt::Jwt,
    report::{Call, Failing, Finding, Outcome, Report},
};
use crate::{cli::output::data_in_colour, clock};

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.credentials {
        if !text.is_empty() {
            text.push('\n');
        }
        tell(finding, &mut text);
    }
    text
}

fn tell(finding: &Finding, text: &mut String) {
    let (outcome, colour) = match finding.outcome {
        Outcome::Obtained => ("obtained", "\x1b[32m"),
        Outcome::Failed => ("failed", "\x1b[31m"),
        Outcome::NotTried => ("not tried", "\x1b[33m"),
        Outcome::NeedsSubject => ("needs a user", "\x1b[33m"),
    };
    let (colour, plain) = if data_in_colour() {
        (colour, "\x1b[0m")
    } else {
        ("", "")
    };
    let took = finding.took_ms.map(|it| format!(" in {it} ms"));
    let took = took.unwrap_or_default();
    let _ = writeln!(
        text,
        "{}  {colour}{outcome}{plain}{took}  ({})",
        finding.name, finding.kind
    );
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<14}{value}");
    };
    if !finding.builds_on.is_empty() {
        row("builds on", &finding.builds_on.join(", "));
    }
    if let Some(failure) = &finding.failure {
        row("why", &failure.detail);
        row("kind", &kind(failure));
    }
    if finding.outcome == Outcome::Obtained {
        row("expires in", &life(finding.expires_in));
    }
    if finding.scope_asked.is_some() || finding.scope_granted.is_some() {
        let word = |scope: &Option<String>| match scope {
            Some(scope) => format!("`{scope}`"),
            None => "nothing said".into(),
        };
        let (asked, granted) = (word(&finding.scope_asked), word(&finding.scope_granted));
        row("scope", &format!("asked {asked}, granted {granted}"));
    }
    if let Some(client_auth) = finding.client_auth {
        row("client_auth", client_auth);
    }
    if let Some(key) = &finding.dpop {
        let made = match key.generated {
            true => ", made for this run alone: the proxy makes another at start",
            false => "",
        };
        let (alg, print) = (key.alg, &key.thumbprint);
        row("dpop", &format!("bound to {alg} key {print}{made}"));
    }
    for part in &finding.parts {
        let what = part.jwt.as_ref().map_or_else(String::new, jwt);
        row(&part.name, &format!("{} characters{what}", part.characters));
    }
    for shown in &finding.calls {
        row("call", &call(shown));
    }
    for hint in &finding.hints {
        row("hint", hint);
    }
}

fn kind(failure: &Failing) -> String {
    let lasting = match (failure.permanent, failure.retry_after) {
        (true, _) => "lasts until something is changed".into(),
        (false, None) => "may pass by itself".into(),
        (false, Some(after)) => format!("may pass by itself; it asks to wait {after} s"),
    };
    let code = failure.code.map(|code| format!(" ({code})"));
    format!("{}{}: {lasting}", failure.kind, code.unwrap_or_default())
}

fn life(expires_in: Option<u64>) -> String {
    match expires_in {
        None => "no time that is known: used until an upstream refuses it".into(),
        Some(seconds) => format!("{seconds} s"),
    }
}

fn call(call: &Call) -> String {
    let status = call.status.map_or("no answer".into(), |it| it.to_string());
    let mut text = format!("{} {}: {status}", call.method, call.endpoint);
    let _ = write!(text, ", {} ms", call.took_ms);
    match call.tls {
        Some(version) => {
            let _ = write!(text, ", TLS {version}");
        }
        None if call.endpoint.starts_with("http:") => text.push_str(", in clear"),
        None => {}
    }
    match call.clock_ahead {
        Some(ahead) if ahead.abs() <= SAME_CLOCK => text.push_str(", clocks agree"),
        Some(ahead) => {
            let way = if ahead > 0.0 { "ahead" } else { "behind" };
            let _ = write!(text, ", its clock is {:.0} s {way}", ahead.abs());
        }
        None => {}
    }
    text
}

fn jwt(jwt: &Jwt) -> String {
    let mut text = format!(", a JWT ({})", jwt.alg.as_deref().unwrap_or("no alg"));
    for (name, value) in &jwt.claims {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) if TIMES.contains(&name.as_str()) => moment(number.as_f64()),
            other => other.to_string(),
        };
        let _ = write!(text, ", {name} {value}");
    }
    if !jwt.other_claims.is_empty() {
        let _ = write!(text, "; also has {}", jwt.other_claims.join(", "));
    }
    text
}

fn moment(unix: Option<f64>) -> String {
    let seconds = unix.unwrap_or_default() - clock::unix_time().as_secs_f64();
    if seconds >= 0.0 {
        format!("in {seconds:.0} s")
    } else {
        format!("{:.0} s ago", -seconds)
    }
}

const TIMES: [&str; 3] = ["exp", "iat", "nbf"];
/// In seconds: `Date` has no fractions, and the way takes time.
const SAME_CLOCK: f64 = 2.0;
