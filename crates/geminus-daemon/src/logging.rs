//! The log: human or JSON lines on standard error, by a thread of its own so that a stuck reader stops nothing.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::options::LogFormat;

/// Which lines are wanted, in the words of `tracing`: `info`, `geminus_daemon=debug`, ….
const FILTER: &str = "GEMINUS_LOG";

/// Lines that wait for a slow reader; more are dropped and counted. At 200 bytes each they stay below half a mebibyte.
const QUEUE: usize = 2048;

/// How long the last lines may take when the process ends.
const LAST: Duration = Duration::from_secs(1);

enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Hands lines to the thread that writes them.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

/// Waits for the last lines when dropped.
pub(crate) struct LogGuard(Option<Queue>);

/// Begins the log; if there is one already, that one goes on.
pub(crate) fn begin(format: LogFormat) -> LogGuard {
    let (lines, received) = sync_channel(QUEUE);
    let queue = Queue { lines, lost: Arc::default() };
    let lost = Arc::clone(&queue.lost);
    let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(128 << 10);
    if thread.spawn(move || write_lines(&received, &lost)).is_err() {
        return LogGuard(None);
    }
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue.clone()).with_ansi(colour);
    // journald stamps each line itself.
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let begun = match (format, in_journal) {
        (LogFormat::Json, _) => builder.json().flatten_event(true).try_init(),
        (LogFormat::Human, true) => builder.with_target(false).without_time().try_init(),
        (LogFormat::Human, false) => builder.with_target(false).try_init(),
    };
    LogGuard(begun.is_ok().then_some(queue))
}

fn write_lines(received: &Receiver<Line>, lost: &AtomicU64) {
    // A reader that went away is no reason to stop: whoever logs would find the queue full for ever.
    let write = |bytes: &[u8]| drop(io::stderr().write_all(bytes));
    while let Ok(line) = received.recv() {
        match line {
            Line::Text(bytes) => write(&bytes),
            Line::Flush(done) => drop(done.send(())),
        }
        let missed = lost.swap(0, Ordering::Relaxed);
        if missed > 0 {
            write(format!("{missed} log lines were lost: the reader of the log is too slow\n").as_bytes());
        }
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Text(bytes.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Queue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            let (done, flushed) = sync_channel(1);
            if queue.lines.try_send(Line::Flush(done)).is_ok() {
                // Whoever does not read by now will not read the rest either.
                let _ = flushed.recv_timeout(LAST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_does_not_read_costs_lines_but_no_time() {
        let (lines, received) = sync_channel(4);
        let mut queue = Queue { lines, lost: Arc::default() };
        for _ in 0..10 {
            queue.write_all(b"line\n").expect("never fails");
        }
        assert_eq!(queue.lost.load(Ordering::Relaxed), 6);
        assert_eq!(received.try_iter().count(), 4);
    }
}
