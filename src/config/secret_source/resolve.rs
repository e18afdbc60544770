//! Reads secrets: the only I/O of the configuration besides its own file.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::SecretSource;
use crate::{clock, config::interpolate::Env, secret::Secret};

/// The largest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;
/// What is there instead of a secret that is not read; fit for a header, a form and a cookie.
const STAND_IN: &str = "not-read";
/// How long a program may take to print a secret.
const EXEC_LIMIT: Duration = Duration::from_secs(10);

/// Reads secrets and remembers which files they came from.
pub struct Resolver<'a> {
    env: Env<'a>,
    base: PathBuf,
    files: Vec<PathBuf>,
    stands_in: bool,
}

/// Shows no variables.
impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("base", &self.base)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Why a secret can't be read. Never holds any of it, nor what a program wrote to its stderr.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such variable.
    #[error("the environment variable `{0}` is not set")]
    NotSet(String),
    /// The file can't be read.
    #[error("unreadable secret file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program can't be started.
    #[error("the program `{program}` can't be run: {source}")]
    Exec {
        /// Which program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The program ended badly.
    #[error("the program `{program}` ended with {status}")]
    Status {
        /// Which program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The program took longer than 10 s.
    #[error("the program `{0}` did not end within 10 s")]
    Slow(String),
    /// There is nothing in it.
    #[error("the secret from {0} is empty")]
    Empty(String),
    /// It is longer than 64 KiB.
    #[error("the secret from {0} is larger than 64 KiB")]
    TooLarge(String),
    /// It is no text.
    #[error("the secret from {0} is not UTF-8")]
    NotText(String),
}

impl<'a> Resolver<'a> {
    /// Reads variables from `env`, and relative files below `base` (the configuration file's folder).
    pub fn new(env: Env<'a>, base: impl Into<PathBuf>) -> Self {
        Self {
            env,
            base: base.into(),
            files: Vec::new(),
            stands_in: false,
        }
    }

    /// Whether secrets are read at all.
    pub fn reads(&self) -> bool {
        !self.stands_in
    }

    /// Reads no secret: a fixed text stands for each, so that a file can be explained where its secrets are not.
    pub fn without_secrets(self) -> Self {
        Self {
            stands_in: true,
            ..self
        }
    }

    /// Where a path of the configuration file points, for whoever reads it later.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Whether secrets are read.
    pub fn reads_secrets(&self) -> bool {
        !self.stands_in
    }

    /// Where a path of the configuration file points, which is not for us to read.
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Where a path of the configuration file points; it is watched from now on.
    pub fn locate(&mut self, path: &Path) -> PathBuf {
        let path = self.base.join(path);
        if !self.files.contains(&path) {
            self.files.push(path.clone());
        }
        path
    }

    /// The files read so far, to be watched for changes.
    pub fn into_files(self) -> Vec<PathBuf> {
        self.files
    }
}

impl SecretSource {
    /// Reads the secret. Blocks: for the time of a small file, or up to 10 s for a program.
    ///
    /// # Errors
    /// [`SecretError`] where it can't be read or is empty.
    pub fn resolve(&self, resolver: &mut Resolver<'_>) -> Result<Secret, SecretError> {
        let (from, bytes) = match self {
            Self::Literal(secret) => return Ok(secret.clone()),
            _ if resolver.stands_in => return Ok(Secret::new(STAND_IN)),
            Self::Env(name) => {
                let value =
                    (resolver.env)(name).ok_or_else(|| SecretError::NotSet(name.clone()))?;
                (
                    format!("the environment variable `{name}`"),
                    value.into_bytes(),
                )
            }
            Self::File(path) => {
                let path = resolver.locate(path);
                let bytes =
                    read_file(&path, MAX_SECRET_BYTES).map_err(|source| SecretError::File {
                        path: path.clone(),
                        source,
                    })?;
                (format!("the file {}", path.display()), trimmed(bytes))
            }
            Self::Exec(command) => (
                format!("the program `{}`", command[0]),
                trimmed(run(command, &resolver.base)?),
            ),
        };
        if bytes.is_empty() {
            return Err(SecretError::Empty(from));
        }
        if bytes.len() as u64 > MAX_SECRET_BYTES {
            return Err(SecretError::TooLarge(from));
        }
        String::from_utf8(bytes)
            .map(Secret::new)
            .map_err(|_| SecretError::NotText(from))
    }
}

/// Reads a regular file of at most `cap` bytes.
///
/// # Errors
/// What the system says; also where it is no regular file (a pipe could block for ever) or is too large.
pub fn read_file(path: &Path, cap: u64) -> io::Result<Vec<u8>> {
    let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    // Looked at before it is opened: to open a pipe can block already.
    if !std::fs::metadata(path)?.is_file() {
        return Err(wrong("it is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(cap + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(wrong(format!("it is larger than {} KiB", cap / 1024)));
    }
    Ok(bytes)
}

/// Without the one line break at the end that editors put there.
fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// What the program prints. Its stderr is not read: it could hold the secret.
fn run(command: &[String], folder: &Path) -> Result<Vec<u8>, SecretError> {
    let program = command[0].clone();
    let exec = |source| SecretError::Exec {
        program: program.clone(),
        source,
    };
    let mut start = Command::new(&command[0]);
    if !folder.as_os_str().is_empty() {
        start.current_dir(folder);
    }
    let mut child = start
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(exec)?;
    let deadline = clock::now() + EXEC_LIMIT;
    let stdout = child.stdout.take().expect("stdout is piped");
    let (send, received) = mpsc::channel();
    // Not joined: a grandchild may hold the pipe open for longer than the limit.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes);
        // Nobody listens any more where the limit was over.
        let _ = send.send(read.map(|_| bytes));
    });
    let read = received.recv_timeout(EXEC_LIMIT);
    // One that prints too much has lost its reader; how it ends then says nothing.
    let too_much = matches!(&read, Ok(Ok(bytes)) if bytes.len() as u64 > MAX_SECRET_BYTES);
    let deadline = if too_much { clock::now() } else { deadline };
    let status = ended_by(&mut child, deadline).map_err(exec)?;
    if too_much {
        return Err(SecretError::TooLarge(format!("the program `{program}`")));
    }
    let (Ok(read), Some(status)) = (read, status) else {
        return Err(SecretError::Slow(program));
    };
    if !status.success() {
        return Err(SecretError::Status { program, status });
    }
    read.map_err(exec)
}

/// How the child ended; it is killed where it has not by `deadline`.
fn ended_by(child: &mut Child, deadline: clock::Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if clock::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests;
