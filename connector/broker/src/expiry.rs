//! When things may be dropped for their age. A wall clock that is wrong when the broker starts looks like one that is
//! right after the broker was off: nothing in the process tells a clock that is 32 days ahead from 32 days without
//! power. So nothing is dropped for its age within the first hour of a start that comes long after the broker last
//! ran, or before that. Who sets the clock right has an hour for it, and who had the broker off keeps some things for an hour
//! longer. What the process sees itself, leaps while it runs, is the matter of [`clock`](crate::clock).
//!
//! When the broker last ran stands in a small file, not in the stamps of messages: those of the first hour may be
//! wrong, and would make the next start believe the clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{BELIEVED_AFTER, Start, go_on_from, since_boot, steady_micros};

/// Holds the time at which the broker last ran, in microseconds since the epoch.
const FILE_NAME: &str = "clock";

/// Decides when things may be dropped for their age.
#[derive(Debug)]
pub(crate) struct Expiry {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settling: Settling,
    /// Why the file could not be written the last time.
    trouble: Option<String>,
}

/// The time for which the clock of a start is not acted upon. Pure: readings go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    /// Until so long after the boot of the machine.
    Until(Duration),
    Over,
}

/// What a reading of the clock changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// The clock of the start is believed from now on.
    Believed,
}

impl Settling {
    fn of(start: Start, since_boot: Duration) -> Self {
        match start {
            Start::Plausible => Self::Over,
            Start::Ahead { .. } | Start::Behind { .. } => Self::Until(since_boot + BELIEVED_AFTER),
        }
    }

    fn read(&mut self, since_boot: Duration) -> Change {
        match *self {
            Self::Until(end) if since_boot >= end => {
                *self = Self::Over;
                Change::Believed
            }
            _ => Change::None,
        }
    }
}

impl Expiry {
    /// Compares the clock with the time at which the broker last ran. Where no file says that, `newest_stamp` of the
    /// stored messages does; zero when there is none. Tells a clock that is far ahead of that, or behind it. Time goes on from
    /// where it was when the clock is behind, until that has lasted for an hour: what is stamped meanwhile would look old once
    /// somebody sets the clock right. Blocks on a small file.
    pub(crate) fn open(data_dir: &Path, newest_stamp: u64) -> Self {
        let path = data_dir.join(FILE_NAME);
        let read = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        let last_micros = read.unwrap_or(newest_stamp);
        let start = Start::of(last_micros, steady_micros());
        let believed_after_seconds = BELIEVED_AFTER.as_secs();
        match start {
            Start::Plausible => {}
            Start::Ahead { micros } => tracing::warn!(
                seconds = micros / 1_000_000,
                believed_after_seconds,
                "the wall clock is so far ahead of when the broker last ran: either the broker was off for so long, or the \
                 clock is wrong; nothing is dropped for its age for now"
            ),
            Start::Behind { micros } => {
                go_on_from(last_micros);
                tracing::warn!(
                    seconds = micros / 1_000_000,
                    believed_after_seconds,
                    "the wall clock is so far behind when the broker last ran; time goes on from there and nothing is dropped \
                     for its age for now"
                );
            }
        }
        let settling = Settling::of(start, since_boot());
        Self { path, state: Mutex::new(State { settling, trouble: None }) }
    }

    /// The time by which things have expired, in microseconds since the epoch; `None` while nothing may be dropped for its
    /// age. Takes note that the broker runs. Blocks on a small file.
    pub(crate) fn now_micros(&self) -> Option<u64> {
        let mut state = self.state();
        if state.settling.read(since_boot()) == Change::Believed {
            tracing::warn!("the clock is believed from now on; things are dropped for their age again");
        }
        if state.settling != Settling::Over {
            return None;
        }
        let now_micros = steady_micros();
        let trouble = write(&self.path, now_micros).err().map(|error| error.to_string());
        if let Some(error) = trouble.as_ref().filter(|error| state.trouble.as_ref() != Some(*error)) {
            let path = self.path.display();
            tracing::warn!(%path, error, "the time at which the broker last ran could not be written");
        }
        state.trouble = trouble;
        Some(now_micros)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each of its fields is right by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the time, whole or not at all.
fn write(path: &Path, micros: u64) -> std::io::Result<()> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, format!("{micros}\n"))?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(77);
    const DAYS_32: u64 = 32 * 24 * 3600 * 1_000_000;

    #[test]
    fn a_clock_that_is_far_from_the_last_run_is_believed_after_an_hour() {
        for start in [Start::Ahead { micros: DAYS_32 }, Start::Behind { micros: DAYS_32 }] {
            let mut settling = Settling::of(start, NOW);
            assert_eq!(settling.read(NOW + Duration::from_secs(3_599)), Change::None);
            assert_ne!(settling, Settling::Over);
            assert_eq!(settling.read(NOW + Duration::from_secs(3_600)), Change::Believed);
            assert_eq!(settling.read(NOW + Duration::from_secs(3_601)), Change::None);
        }
        assert_eq!(Settling::of(Start::Plausible, NOW), Settling::Over);
    }

    #[test]
    fn nothing_expires_after_a_leap_between_two_runs_and_the_leap_is_not_taken_for_the_last_run() {
        let dir = tempfile::tempdir().unwrap();
        let now = steady_micros();
        let first = Expiry::open(dir.path(), 0);
        assert!(first.now_micros().unwrap() >= now, "there is nothing to compare with");
        let file = dir.path().join(FILE_NAME);
        for _ in 0..2 {
            fs::write(&file, (now - DAYS_32).to_string()).unwrap();
            assert_eq!(Expiry::open(dir.path(), now).now_micros(), None);
            assert_eq!(fs::read_to_string(&file).unwrap(), (now - DAYS_32).to_string());
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(Expiry::open(dir.path(), now - DAYS_32).now_micros(), None, "the stamps tell it, too");
        assert!(Expiry::open(dir.path(), now - 1_000_000).now_micros().is_some());
    }
}
