//! The failpoint that this process is armed with: `GUESTHOUSE_FAILPOINT=NAME:N[:SIGNAL]` in its environment raises a
//! signal (`kill`, `stop` or `term`) when the place is passed for the n-th time. The name is added to the file
//! `GUESTHOUSE_FAILPOINT_FILE` before that, so that whoever waits for it knows. Where `GUESTHOUSE_FAILPOINT_AFTER` names a
//! file, passages count from the moment that this file exists.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

struct Armed {
    name: String,
    nth: u64,
    signal: Signal,
    file: PathBuf,
    after: Option<PathBuf>,
    has_begun: AtomicBool,
    passed: AtomicU64,
}

/// Passes a place; this process ends here if it is armed with it and its time has come.
pub(crate) fn pass(name: &str) {
    // Read here and not in `main`: the program that ships knows nothing of it.
    let Some(armed) = ARMED.get_or_init(Armed::by_environment) else { return };
    if armed.name == name && armed.counts() && armed.passed.fetch_add(1, Ordering::SeqCst) + 1 == armed.nth {
        armed.fire();
    }
}

impl Armed {
    fn by_environment() -> Option<Self> {
        let text = env::var("GUESTHOUSE_FAILPOINT").ok()?;
        let file = PathBuf::from(env::var_os("GUESTHOUSE_FAILPOINT_FILE")?);
        let after = env::var_os("GUESTHOUSE_FAILPOINT_AFTER").map(PathBuf::from);
        let armed = Self::read(&text, file, after);
        if armed.is_none() {
            tracing::error!(text, "not a failpoint, expected NAME:N or NAME:N:SIGNAL");
        }
        armed
    }

    fn read(text: &str, file: PathBuf, after: Option<PathBuf>) -> Option<Self> {
        let mut parts = text.split(':');
        let (name, nth) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let signal = match parts.next() {
            None | Some("kill") => Signal::KILL,
            Some("stop") => Signal::STOP,
            Some("term") => Signal::TERM,
            Some(_) => return None,
        };
        let has_begun = AtomicBool::new(after.is_none());
        Some(Self { name, nth, signal, file, after, has_begun, passed: AtomicU64::new(0) })
    }

    /// Whether passages count by now.
    fn counts(&self) -> bool {
        if !self.has_begun.load(Ordering::Acquire) && self.after.as_ref().is_some_and(|file| file.exists()) {
            self.has_begun.store(true, Ordering::Release);
        }
        self.has_begun.load(Ordering::Acquire)
    }

    fn fire(&self) {
        let told = OpenOptions::new().create(true).append(true).open(&self.file);
        let told = told.and_then(|mut file| file.write_all(format!("{}\n", self.name).as_bytes()));
        if let Err(error) = told {
            tracing::error!(%error, name = self.name, "nobody hears of the failpoint, so it does nothing");
            return;
        }
        if let Err(error) = kill_process(getpid(), self.signal) {
            tracing::error!(%error, name = self.name, "cannot raise the signal of the failpoint");
        }
    }
}
