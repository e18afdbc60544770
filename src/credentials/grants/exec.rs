//! `exec`: a program that prints a token, for what no protocol of ours obtains.

use std::{io::ErrorKind, process::Stdio, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};
use zeroize::Zeroizing;

use super::{BuildContext, Grant, GrantConfig, decode, printed};
use crate::{
    clock,
    config::{
        Diagnostic, SecretSource, Sp,
        scalars::{MaskedText, Named},
        table::Variant,
    },
    credentials::{
        BoxFuture, Credential, FailureKind, Fetch, FetchError, Fingerprint, FingerprintBuilder,
        Source,
    },
    secret::Secret,
};

pub(super) const GRANT: Grant = Grant {
    variant: Variant {
        name: KEY,
        table: || Config::TABLE,
    },
    decode: decode::<Config>,
};

crate::config_struct! {
    /// A program that prints a token: as plain text, or as JSON with `access_token` (or `token`) and `expires_in` (seconds) or
    /// `expires_at` (or `expiration`, both RFC 3339). It runs in the folder of this file, with the proxy's own environment.
    pub struct Config = "`exec`", short = "command" {
        /// The program and its arguments; no shell is involved.
        required command: Vec<Sp<MaskedText>>,
        /// More variables of its environment.
        optional env: Named<SecretSource>,
        /// How long it may take.
        default("10s") timeout: Duration,
        /// The life of a token that comes without one.
        default("1h") default_expires_in: Duration,
    }
}

impl GrantConfig for Config {
    fn build(&self, cx: &mut dyn BuildContext) -> Option<Arc<dyn Source>> {
        if !self.failed.is_empty() {
            return None;
        }
        let mut words = self.command.iter().map(|word| word.value.0.clone());
        let program = words.next().filter(|program| !program.is_empty());
        let Some(program) = program else {
            let error = Diagnostic::error(self.command.span, "there is no program to run");
            cx.report(error.hint("give the program and its arguments, as in `[gettoken, --json]`"));
            return None;
        };
        if self.timeout.value > LONGEST {
            let error = Diagnostic::error(self.timeout.span, "a program may take 60s at most");
            cx.report(error.hint("a request does not wait that long; let it print a token sooner"));
            return None;
        }
        let env: Vec<_> = self.env.iter().flat_map(|env| env.iter()).collect();
        let env: Vec<_> = env
            .into_iter()
            .map(|(name, source)| {
                if name.value.is_empty() || name.value.contains(['=', '\0']) {
                    cx.report(Diagnostic::error(
                        name.span,
                        "this is no name of a variable",
                    ));
                    return None;
                }
                Some(Variable {
                    name: name.value.clone(),
                    value: cx.secret(source)?,
                    is_setting: source.is_literal(),
                })
            })
            .collect();
        Some(Arc::new(Exec {
            program,
            arguments: words.collect(),
            env: env.into_iter().collect::<Option<_>>()?,
            folder: cx.path(".".as_ref()),
            timeout: self.timeout.value,
            default_life: self.default_expires_in.value,
        }))
    }
}

/// Runs a program for each token.
#[derive(Debug)]
pub struct Exec {
    program: Secret,
    /// People pass secrets there.
    arguments: Vec<Secret>,
    env: Vec<Variable>,
    folder: std::path::PathBuf,
    timeout: Duration,
    default_life: Duration,
}

/// A variable of the program's environment.
#[derive(Debug)]
struct Variable {
    name: String,
    value: Secret,
    /// It stands in the file: as likely an account as its password.
    is_setting: bool,
}

impl Source for Exec {
    fn grant(&self) -> &'static str {
        KEY
    }

    fn fingerprint(&self) -> Fingerprint {
        FingerprintBuilder::new(KEY)
            .secret(&self.program)
            .list(self.arguments.iter(), FingerprintBuilder::secret)
            .list(self.env.iter(), |b, it| match it.is_setting {
                true => b.text(&it.name).secret(&it.value),
                false => b.text(&it.name).authentication(|b| b.secret(&it.value)),
            })
            .bytes(self.folder.as_os_str().as_encoded_bytes())
            .bytes(&self.default_life.as_nanos().to_be_bytes())
            .finish()
    }

    fn deadlines(&self) -> Vec<Duration> {
        vec![self.timeout]
    }

    fn fetch<'a>(&'a self, _: Fetch<'a>) -> BoxFuture<'a, Result<Credential, FetchError>> {
        Box::pin(async {
            let result = self.run().await;
            result.map_err(|error| error.at(&format!("program {}", self.shown())))
        })
    }
}

impl Exec {
    async fn run(&self) -> Result<Credential, FetchError> {
        let (sent, wall) = (clock::now(), clock::unix_time());
        let mut command = Command::new(self.program.expose());
        command
            .args(self.arguments.iter().map(Secret::expose))
            .envs(self.env.iter().map(|it| (&it.name, it.value.expose())))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Of its own group, so that what it started ends with it.
            .process_group(0);
        let child = command.spawn().map_err(|error| {
            FetchError::transient(FailureKind::Failing, format!("it can't be run: {error}"))
        })?;
        let mut child = Group(child);
        let ran = tokio::time::timeout(self.timeout, child.outcome()).await;
        let Ok(outcome) = ran else {
            let limit = self.timeout;
            return Err(FetchError::transient(
                FailureKind::Timeout,
                format!("it did not end within {limit:?}"),
            ));
        };
        let (stdout, stderr, status) = outcome.map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge => FetchError::malformed("it printed more than 64 KiB"),
            _ => FetchError::transient(FailureKind::Failing, format!("it can't be read: {error}")),
        })?;
        if !status.success() {
            let (more, words) = self.first_line(&stderr, &stdout);
            let ended = format!("it ended with {status}{more}");
            return Err(FetchError::transient(FailureKind::Failing, ended).with_words(words));
        }
        let (token, life) = printed::read(&stdout, wall)?;
        let life = life.unwrap_or(self.default_life);
        Ok(Credential::bearer(token, Some(life), sent))
    }

    /// Its name without the folder.
    fn shown(&self) -> String {
        let program = self.program.expose();
        let name = program.rsplit('/').next().unwrap_or(program);
        name.chars().filter(|c| !c.is_control()).take(60).collect()
    }

    /// What to say of its stderr, and its first line for operators, cut and cleaned; none where it holds what must not be
    /// seen.
    fn first_line(&self, stderr: &[u8], stdout: &[u8]) -> (&'static str, Option<String>) {
        let text = String::from_utf8_lossy(stderr);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let Some(line) = line else {
            return ("", None);
        };
        let mut given = self
            .arguments
            .iter()
            .chain(self.env.iter().map(|it| &it.value));
        let printed = String::from_utf8_lossy(stdout);
        let tells = given.any(|it| it.expose().len() >= SHORTEST_SECRET && line.contains(it.expose()))
            // What it printed may be the token, or a part of it, whatever it is in.
            || words(&printed).any(|word| line.contains(word))
            || words(line).any(|word| printed.contains(word) || looks_secret(word))
            // It has those of every other credential, too.
            || inherited().any(|value| line.contains(&value));
        if tells {
            return (", and what it says may hold a secret", None);
        }
        let clean = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        let line = line.chars().map(clean).take(LONGEST_LINE).collect();
        ("", Some(line))
    }
}

/// What may be a secret among the variables that a program has from us.
fn inherited() -> impl Iterator<Item = String> {
    let texts = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let is_usual = USUAL.contains(&&*name) || name.starts_with("LC_");
        (!is_usual).then_some(value)
    });
    // Paths, numbers and switches stand in many a useful message.
    texts.filter(|value| value.len() >= SHORTEST_INHERITED && !value.starts_with('/'))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "\"'`,:=(){}".contains(c))
        .filter(|word| word.len() >= SHORTEST_SECRET)
}

/// Long and no path: a token, in whatever form.
fn looks_secret(word: &str) -> bool {
    word.len() >= LONGEST_WORD && !word.contains('/')
}

/// A program and all that it started; killed when dropped.
struct Group(Child);

impl Group {
    async fn outcome(
        &mut self,
    ) -> std::io::Result<(
        Zeroizing<Vec<u8>>,
        Zeroizing<Vec<u8>>,
        std::process::ExitStatus,
    )> {
        let stdout = self.0.stdout.take().expect("stdout is piped");
        let stderr = self.0.stderr.take().expect("stderr is piped");
        let printed = async {
            let printed = bounded(stdout, MOST_PRINTED, false).await?;
            // An error, so that nobody waits for what it still has to say.
            match printed.len() > MOST_PRINTED {
                true => Err(ErrorKind::FileTooLarge.into()),
                false => Ok(printed),
            }
        };
        let (stdout, stderr) = tokio::try_join!(printed, bounded(stderr, MOST_SAID, true))?;
        let status = self.0.wait().await?;
        Ok((stdout, stderr, status))
    }

    fn kill(&mut self) {
        // None once it was waited for: the number may be another's by then.
        let group = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// At most one byte more than `most`; `all` reads and drops the rest, so that the writer does not stand still.
async fn bounded(
    mut from: impl AsyncRead + Unpin,
    most: usize,
    all: bool,
) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Never grows: the buffer that a Vec leaves behind is not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let limit = u64::try_from(most).unwrap_or(u64::MAX) + 1;
    (&mut from).take(limit).read_to_end(&mut bytes).await?;
    if all {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

const KEY: &str = "exec";
const MOST_PRINTED: usize = 64 * 1024;
const MOST_SAID: usize = 4 * 1024;
const LONGEST_LINE: usize = 200;
const LONGEST_WORD: usize = 40;
/// Anything shorter is in every text.
const SHORTEST_SECRET: usize = 4;

const SHORTEST_INHERITED: usize = 8;

/// Variables that hold no secret and that programs speak of.
const USUAL: [&str; 8] = [
    "HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "TERM", "USER",
];
/// Below what a source as a whole may take.
const LONGEST: Duration = Duration::from_secs(60);
