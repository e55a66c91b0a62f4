//! Logs: lines on standard error, for people on a terminal and as JSON for everything else.
//!
//! Whoever logs puts a line into a bounded queue, and a thread of its own writes. A log that nobody reads, that cannot be
//! written or that blocks costs lines, which are counted, and nothing else.

mod queue;

use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use self::queue::LogQueue;
pub(crate) use self::queue::LogState;

/// How long the end of a program waits for its last lines.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The queue of this process, once its log is ours.
static QUEUE: OnceLock<Arc<LogQueue>> = OnceLock::new();

/// Installs the log for this process, and has panics told in it. `wanted` has the syntax of `RUST_LOG`; where it cannot be
/// read, `usual` counts and a line says so. A log that is installed already stays.
pub fn start(wanted: Option<&str>, usual: &str) {
    let parsed = wanted.map(|wanted| EnvFilter::builder().parse(wanted));
    let (filter, error) = match parsed {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(usual), Some(error)),
        None => (EnvFilter::new(usual), None),
    };
    let queue = Arc::new(LogQueue::default());
    if !start_writing(&queue) {
        return;
    }
    let lines = Arc::clone(&queue);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Line(Arc::clone(&lines)))
        // It would print what it cannot write, and printing panics where the log is gone.
        .log_internal_errors(false);
    let installed = if io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
    // Somebody who embeds this may have a log of their own: theirs counts.
    if installed.is_ok() && QUEUE.set(queue).is_ok() {
        panic::set_hook(Box::new(tell_panic));
    }
    if let Some(error) = error {
        tracing::warn!(%error, "what is to be logged cannot be read from the environment; logging {usual}");
    }
}

/// Writes a text for people, behind the lines of the log.
pub fn tell(text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push(format!("{text}\n").as_bytes()),
        // With standard error gone there is nobody left to tell; the exit code still does.
        None => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// Waits for the last lines to be written, for a second at most. A program calls this at its end.
pub fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_MAX);
    }
}

/// How the log of this process fares, where it is ours.
pub(crate) fn state() -> LogState {
    QUEUE.get().map(|queue| queue.state()).unwrap_or_default()
}

/// Starts the thread that writes, which ends with the process. Without one there is no log, and that is told at once.
fn start_writing(queue: &Arc<LogQueue>) -> bool {
    let queue = Arc::clone(queue);
    let write = move || queue.write_to(io::stderr(), tell_lost);
    let started = thread::Builder::new().name("log".to_owned()).spawn(write);
    if let Err(error) = &started {
        drop(writeln!(io::stderr(), "there is no log, because there is no thread to write it: {error}"));
    }
    started.is_ok()
}

fn tell_lost(lines: u64) {
    tracing::warn!(lines, "lines of the log were lost: it could not be written, or not as fast as it came");
}

/// The hook of the standard library writes to standard error and waits for it; this one does not.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let reason = panic.payload_as_str().unwrap_or("unknown panic");
    let thread = thread::current();
    tracing::error!(
        at,
        reason,
        thread = thread.name().unwrap_or_default(),
        "a panic, which is a fault of the program"
    );
}

/// One line on its way into the queue.
struct Line(Arc<LogQueue>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
