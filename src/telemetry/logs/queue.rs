//! The queue between those who log and the one thread that writes.
//!
//! A worker appends its line to a buffer and goes on. The writer takes the whole buffer at a time, so a
//! busy proxy makes few system calls; a full buffer drops lines and counts them.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// A hold on the queue; the writer's thread ends with the process.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

impl Queue {
    /// Starts the thread that writes to `sink`.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || writer.write_to(sink))?;
        Ok(Self(shared))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// Waits until the queue is empty, or for `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let mut state = self.0.lock();
        state.urgent = true;
        self.0.filled.notify_one();
        let busy = |state: &mut State| state.writing || !state.pending.is_empty();
        let waited = self.0.emptied.wait_timeout_while(state, patience, busy);
        waited.unwrap_or_else(PoisonError::into_inner).0.urgent = false;
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// Takes one formatted event.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    /// The writer has taken lines that are not out yet.
    writing: bool,
    /// Somebody waits for the queue to be empty.
    urgent: bool,
}

impl Shared {
    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.pending.len() + line.len() > CAPACITY {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        // Only the first line of a batch pays for a wake-up.
        if state.pending.is_empty() {
            self.filled.notify_one();
        }
        state.pending.extend_from_slice(line);
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        let mut reported = 0;
        loop {
            self.next_batch(&mut batch);
            // Nobody could be told of an error of stderr.
            let _ = sink.write_all(&batch).and_then(|()| sink.flush());
            batch.clear();
            let dropped = self.dropped.load(Relaxed);
            if dropped > reported {
                tracing::warn!(
                    lines = dropped - reported,
                    "log lines were dropped: stderr is slow"
                );
                reported = dropped;
            }
        }
    }

    /// Waits for lines and a little longer, then takes them all.
    fn next_batch(&self, batch: &mut Vec<u8>) {
        let mut state = self.lock();
        state.writing = false;
        if state.pending.is_empty() {
            self.emptied.notify_all();
        }
        let waited = self
            .filled
            .wait_while(state, |state| state.pending.is_empty());
        state = waited.unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .filled
            .wait_timeout_while(state, BATCH, |state| !state.urgent);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        mem::swap(&mut state.pending, batch);
        state.writing = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that may wait: some ten thousand lines.
const CAPACITY: usize = 4 << 20;
/// How long a line may wait for company.
const BATCH: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A sink that hands over what it is given, and waits for a reader like a full pipe.
    struct Pipe(mpsc::SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(queue: &Queue, line: &str) {
        queue
            .make_writer()
            .write_all(line.as_bytes())
            .expect("a line is always taken");
    }

    #[test]
    fn a_flush_waits_for_all_that_was_logged() {
        let (sender, lines) = mpsc::sync_channel(100);
        let queue = Queue::start(Pipe(sender)).expect("a thread");
        for i in 0..10 {
            log(&queue, &format!("line {i}\n"));
        }
        queue.flush(Duration::from_secs(10));
        let text: Vec<u8> = lines.try_iter().flatten().collect();
        assert_eq!(String::from_utf8_lossy(&text).lines().count(), 10);
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_blocks_nobody() {
        let (sender, lines) = mpsc::sync_channel(0);
        let queue = Queue::start(Pipe(sender)).expect("a thread");
        let line = "x".repeat(1023) + "\n";
        for _ in 0..3 * CAPACITY / line.len() {
            log(&queue, &line);
        }
        assert!(queue.dropped() > 0);
        let waiting = queue.0.lock().pending.len();
        assert!(waiting <= CAPACITY, "{waiting} bytes wait");
        queue.flush(Duration::from_millis(1));
        assert!(lines.recv().is_ok(), "what was taken still comes out");
    }
}
