//! `bearerd token`: obtains one credential, as the proxy would, and describes it.

use std::{collections::HashMap, fmt::Write, path::PathBuf, time::Duration};

use super::{
    file, harden,
    output::{self, Failure},
    run::init_log,
    small_runtime,
};
use crate::{
    compile,
    config::diagnostic::nearest,
    credentials::{
        CredentialError, CredentialErrorKind, CredentialHandle, CredentialView, Lease, Subject,
        SubjectToken,
    },
    secret::Secret,
    telemetry::logs::Format,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The credential's name in the file
    name: String,
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whose credential, where each user has one: the user's name, or the token that is exchanged
    #[arg(long, value_name = "S")]
    subject: Option<String>,
    /// Print the credential itself, and nothing else on stdout
    #[arg(long)]
    show: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let _log = init_log(Format::Text, "off")?;
    harden::harden();
    let path = file::find(args.config.as_deref());
    let runtime = small_runtime()?;
    let compiled = file::look(&path, &runtime, compile::load_file)?;
    let handle = find(&compiled.credentials, &args.name)?;
    let own = of_subject(handle, args)?;
    let handle = &own;
    let lease = runtime
        .block_on(handle.lease(PATIENCE))
        .map_err(|error| not_obtained(&error, handle))?;
    output::data(if args.show {
        shown(&lease)
    } else {
        described(&handle.view(), &lease)
    })
}

pub(super) fn find<'a>(
    handles: &'a HashMap<String, CredentialHandle>,
    name: &str,
) -> Result<&'a CredentialHandle, Failure> {
    handles.get(name).ok_or_else(|| {
        let failure = Failure::usage(format!("the file has no credential `{name}`"));
        match nearest(name, handles.keys().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("`bearerd check` tells what is in the file"),
        }
    })
}

/// The hold on the credential of the one who is asked for.
fn of_subject(handle: &CredentialHandle, args: &Args) -> Result<CredentialHandle, Failure> {
    let name = &args.name;
    let subject = match (&args.subject, handle.is_per_subject()) {
        (None, false) => return Ok(handle.clone()),
        (None, true) => {
            return Err(Failure::usage(format!("`{name}` is one for each user"))
                .hint("say whose by `--subject`"));
        }
        (Some(_), false) => {
            return Err(
                Failure::usage(format!("`{name}` is the same for everybody"))
                    .hint("leave `--subject` away"),
            );
        }
        (Some(text), true) if handle.source().tokens_from().is_some() => {
            let token = SubjectToken {
                token: Secret::new(text.clone()),
                expires: None,
            };
            Subject::tokens(token, None)
        }
        (Some(name), true) => Subject::user(name.as_str()),
    };
    let subject = subject.map_err(|error| Failure::usage(error.to_string()))?;
    let own = handle.of(&subject);
    own.map_err(|error| not_obtained(&error, handle))
}

/// Each part by itself on a line; of a single one the bare value, for scripts.
fn shown(lease: &Lease) -> String {
    let parts: Vec<_> = lease.parts().collect();
    match parts.as_slice() {
        [(_, only)] => format!("{}\n", only.expose()),
        _ => parts
            .iter()
            .map(|(name, part)| format!("{name}={}\n", part.expose()))
            .collect(),
    }
}

fn described(view: &CredentialView, lease: &Lease) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    row("name", &view.name);
    row("kind", view.grant);
    if let Some(endpoint) = &view.endpoint {
        row("endpoint", endpoint);
    }
    if let Some(fetch) = view.last_fetch {
        row("took", &format!("{} ms", fetch.took.as_millis()));
    }
    let life = view
        .expires_in
        .map(|it| format!("{} s", it.as_secs_f64().round()));
    row("expires in", life.as_deref().unwrap_or("never"));
    if let Some(scope) = &view.scope {
        row("scope", scope);
    }
    for (name, part) in lease.parts() {
        row(
            name,
            &format!(
                "{} characters, not shown (see --show)",
                part.expose().chars().count()
            ),
        );
    }
    if lease.authorization().is_some() {
        let scheme = lease.bound().map_or("Bearer", |_| "DPoP");
        row(
            "sent as",
            &format!("Authorization: {scheme} ****, unless `inject:` says otherwise"),
        );
    }
    text
}

fn not_obtained(error: &CredentialError, handle: &CredentialHandle) -> Failure {
    let view = handle.view();
    let endpoint = view.endpoint.as_deref().unwrap_or("the token endpoint");
    let failure = Failure::failed(error.to_string());
    match error.kind {
        CredentialErrorKind::Unavailable => failure.hint(format!("is {endpoint} up and reachable from here?")),
        CredentialErrorKind::Untrusted => failure.hint("name its authority in `tls: { ca }`, or mend its certificate"),
        CredentialErrorKind::Failing | CredentialErrorKind::Interrupted => failure.hint(format!("{endpoint} is in trouble itself: look at its log")),
        CredentialErrorKind::Timeout => failure.hint(format!("{endpoint} does not answer; a proxy or firewall between?")),
        CredentialErrorKind::RateLimited => failure.hint("it asks for fewer calls: wait before the next try"),
        // Nobody was asked: the error itself says what to do.
        CredentialErrorKind::Rejected if handle.account().calls.is_empty() => failure,
        CredentialErrorKind::Rejected => failure
            .hint("check client_id, client_secret and scope; some servers want `client_auth: body` or `basic_raw`"),
        CredentialErrorKind::Malformed => failure.hint(format!("is {endpoint} really the token endpoint?")),
        CredentialErrorKind::Redirect => failure.hint("redirects are never followed, they would carry the secret: write the final URL"),
        _ => failure,
    }
}

/// Longer than the deadline of any one call.
const PATIENCE: Duration = Duration::from_secs(60);
