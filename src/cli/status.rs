//! `bearerd status`: what a running proxy says of its credentials.

use std::{collections::BTreeSet, fmt::Write, path::PathBuf};

use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    operator,
    output::{self, Failure},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration of the proxy that runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let answer = operator::ask(args.config.as_deref(), Method::GET, "/api/credentials")?;
    if answer.status != StatusCode::OK {
        let status = answer.status.as_u16();
        return Err(Failure::failed(format!("the listener answers {status}")));
    }
    let Ok(Value::Array(all)) = serde_json::from_slice(&answer.body) else {
        return Err(Failure::failed("what it answers is no list of credentials"));
    };
    if args.json {
        let json = serde_json::to_string_pretty(&all).unwrap_or_default();
        return output::data(json + "\n");
    }
    // One of an older version has none to tell of.
    let upstreams = operator::ask(args.config.as_deref(), Method::GET, "/api/upstreams")?;
    let upstreams = serde_json::from_slice(&upstreams.body).unwrap_or_default();
    output::data(table(&all) + &targets(&upstreams) + &paused(&all) + &successors(&all))
}

/// A line for each target that no requests go to.
fn targets(upstreams: &Value) -> String {
    let mut text = String::new();
    for upstream in upstreams.as_array().into_iter().flatten() {
        for target in upstream["targets"].as_array().into_iter().flatten() {
            let why = match (target["state"].as_str(), target["left_out_for"].as_f64()) {
                (Some("unhealthy"), _) => "fails its checks".to_owned(),
                (Some("left_out"), left) => {
                    let left = span(left.unwrap_or_default());
                    format!("has failed too often in a row: left out for {left}")
                }
                _ => continue,
            };
            let name = |it: &Value| it.as_str().unwrap_or("-").to_owned();
            let (place, origin) = (name(&target["target"]), name(&upstream["upstream"]));
            let _ = writeln!(text, "{place} of {origin} {why}");
        }
    }
    text
}

/// A line for each changed secret that is not in use, after an empty one.
fn successors(all: &[Value]) -> String {
    let mut text = String::new();
    for credential in all {
        let (name, successor) = (&credential["name"], &credential["successor"]);
        let (Some(name), Some(state)) = (name.as_str(), successor["state"].as_str()) else {
            continue;
        };
        let outcome = successor["outcome"].as_str();
        let next = successor["next_try_in"].as_f64().map(span);
        let what = match (state, outcome) {
            ("refused", outcome) => format!("is refused ({})", outcome.unwrap_or("rejected")),
            (_, Some(outcome)) => format!("can't be tried yet ({outcome})"),
            (_, None) => "is being tried".to_owned(),
        };
        let again = next.map_or(String::new(), |next| format!(", tried again in {next}"));
        let _ = write!(
            text,
            "\n{name}: the changed secret {what}, the old one stays in use{again}"
        );
    }
    match text.is_empty() {
        true => text,
        false => text + "\n",
    }
}

/// A line for each endpoint that is not called now.
fn paused(all: &[Value]) -> String {
    let paused = all.iter().filter_map(|credential| {
        let paused = &credential["endpoint_paused"];
        let endpoint = paused["endpoint"].as_str()?;
        let left = span(paused["for"].as_f64()?);
        Some(format!(
            "{endpoint} has failed too often in a row: not called for {left}\n"
        ))
    });
    let lines: BTreeSet<String> = paused.collect();
    lines.into_iter().collect()
}

fn table(all: &[Value]) -> String {
    let head = [
        "NAME",
        "KIND",
        "STATE",
        "EXPIRES",
        "RENEWS",
        "LAST FETCH",
        "USES",
        "WAITS",
        "REFUSED",
    ];
    let mut rows = vec![head.map(ToOwned::to_owned)];
    rows.extend(all.iter().map(row));
    let widths: Vec<usize> = (0..head.len())
        .map(|at| {
            rows.iter()
                .map(|row| row[at].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text
}

fn row(credential: &Value) -> [String; 9] {
    let word = |key: &str| match &credential[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "-".to_owned(),
    };
    let fetch = &credential["last_fetch"];
    let fetch = match (fetch["outcome"].as_str(), fetch["ago"].as_f64()) {
        (Some(outcome), Some(ago)) => format!("{outcome}, {} ago", span(ago)),
        _ => "-".to_owned(),
    };
    let until = |key: &str| credential[key].as_f64().map_or("-".to_owned(), span);
    [
        word("name"),
        word("grant"),
        word("state"),
        until("expires_in"),
        until("next_refresh_in"),
        fetch,
        word("uses"),
        word("waits"),
        word("rejections"),
    ]
}

/// As people say it: two units at most.
fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_secret_that_is_not_in_use_is_told_below() {
        let all = serde_json::json!([
            { "name": "a", "successor": { "state": "refused", "failures": 2, "outcome": "rejected", "next_try_in": 59.6 } },
            { "name": "b", "successor": { "state": "verifying", "failures": 0, "outcome": null, "next_try_in": null } },
            { "name": "c", "successor": null },
        ]);
        assert_eq!(
            successors(all.as_array().unwrap()),
            "\na: the changed secret is refused (rejected), the old one stays in use, tried again in 1m0s\
             \nb: the changed secret is being tried, the old one stays in use\n"
        );
        assert_eq!(successors(&[]), "");
    }

    #[test]
    fn a_credential_is_one_line_of_a_table() {
        let all = serde_json::json!([
            { "name": "billing", "grant": "client_credentials", "state": "fresh", "expires_in": 3599.6,
              "next_refresh_in": 2700.0, "last_fetch": { "ago": 0.4, "took": 0.1, "outcome": "ok" },
              "uses": 7, "waits": 1, "rejections": 0 },
            { "name": "x", "grant": "static", "state": "empty", "expires_in": null,
              "next_refresh_in": null, "last_fetch": null, "uses": 0, "waits": 0, "rejections": 0 },
        ]);
        let text = table(all.as_array().unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "billing  client_credentials  fresh  1h0m     45m0s   ok, 0s ago  7     1      0"
        );
        assert_eq!(
            lines[2].split_whitespace().collect::<Vec<_>>(),
            ["x", "static", "empty", "-", "-", "-", "0", "0", "0"]
        );
        assert_eq!(span(90_000.0), "1d1h");
    }

    #[test]
    fn a_target_that_gets_no_requests_is_told() {
        let upstreams = serde_json::json!([{ "upstream": "https://app.test", "targets": [
            { "target": "a:1", "state": "up", "left_out_for": null },
            { "target": "b:1", "state": "left_out", "left_out_for": 9.6 },
            { "target": "c:1", "state": "unhealthy", "left_out_for": null },
        ] }]);
        assert_eq!(
            targets(&upstreams),
            "b:1 of https://app.test has failed too often in a row: left out for 10s\n\
             c:1 of https://app.test fails its checks\n"
        );
        assert_eq!(targets(&Value::Null), "");
    }

    #[test]
    fn an_endpoint_that_is_not_called_is_told_once() {
        let one = serde_json::json!({
            "endpoint_paused": { "endpoint": "https://login.test/token", "for": 12.2 }
        });
        let all = [
            one.clone(),
            one,
            serde_json::json!({ "endpoint_paused": null }),
        ];
        assert_eq!(
            paused(&all),
            "https://login.test/token has failed too often in a row: not called for 12s\n"
        );
    }
}
