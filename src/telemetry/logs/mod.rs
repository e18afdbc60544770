//! Logging: tracing events as text or JSON on stderr, through a bounded queue that no worker waits for.

mod lines;
mod panics;
mod queue;

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, layer::SubscriberExt};

use self::{lines::Lines, queue::Queue};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can't be read.
    #[error("log filter {filter:?} can't be read (try `info` or `info,bearerd=trace`)")]
    Filter {
        /// What the user gave.
        filter: String,
        /// Where it is wrong.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging is set up already.
    #[error("logging is set up already")]
    Twice,
    /// The writer's thread could not be started.
    #[error("the log writer's thread can't be started")]
    Thread(#[source] io::Error),
}

/// Writes what is still queued when it is dropped; waits for a reader of stderr a second at most.
#[derive(Debug)]
#[must_use = "lines that are queued when the program ends are written by dropping this"]
pub struct LogGuard {
    json: Arc<AtomicBool>,
}

impl LogGuard {
    /// Changes how lines look from here on.
    pub fn set_format(&self, format: Format) {
        self.json.store(format == Format::Json, Relaxed);
    }
}

/// Sends events that pass `filter` to stderr, and panics whether they pass or not.
///
/// # Errors
/// A filter that can't be read, a second call, or no thread to be had.
pub fn init(format: Format, filter: &str) -> Result<LogGuard, LogError> {
    let filter = parse(filter)?;
    let colour = io::stderr().is_terminal();
    let queue = Queue::start(io::stderr()).map_err(LogError::Thread)?;
    let json = Arc::new(AtomicBool::new(format == Format::Json));
    let subscriber = subscriber(Arc::clone(&json), filter, colour, queue.clone());
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    QUEUE.set(queue).map_err(|_| LogError::Twice)?;
    panics::install_hook();
    Ok(LogGuard { json })
}

/// How many lines were dropped since the start, because stderr's reader was too slow.
pub fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// How many panics there were since [`init`], caught or not.
pub fn panics() -> u64 {
    panics::count()
}

/// Waits until all that was logged so far is written, or for `patience`.
pub fn flush(patience: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(patience);
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        flush(Duration::from_secs(1));
    }
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

fn subscriber<W>(
    json: Arc<AtomicBool>,
    filter: EnvFilter,
    colour: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colour)
        .event_format(Lines::new(json));
    tracing_subscriber::registry().with(filter).with(lines)
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What `work` logs on this thread.
#[cfg(test)]
pub(crate) fn capture(format: Format, filter: &str, work: impl FnOnce()) -> String {
    let buffer = tests::Buffer::default();
    let filter = parse(filter).expect("a test's filter is good");
    let json = Arc::new(AtomicBool::new(format == Format::Json));
    let subscriber = subscriber(json, filter, false, buffer.clone());
    tracing::subscriber::with_default(subscriber, work);
    buffer.text()
}

#[cfg(test)]
mod tests;
