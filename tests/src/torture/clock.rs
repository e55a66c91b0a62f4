//! A wall clock that one process alone sees leap: the library `libfaketime`, loaded into it, follows a file.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::proxy::micros;

/// How far it leaps ahead: more than any topic of the platform's layout keeps but dead letters.
pub const LEAP: Duration = Duration::from_secs(32 * 24 * 3_600);

/// What is written later than this from now was written by a clock that had leapt.
const AHEAD_MIN: Duration = Duration::from_secs(24 * 3_600);

/// Folders of distributions, with one level of folders in them where a machine has several architectures.
const FOLDERS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// The file that the clock of a process follows.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right, in a file of its own.
    ///
    /// # Errors
    /// When the library is not installed or the file cannot be written.
    pub fn open(file: &Path) -> Result<Self, String> {
        let library = library().ok_or("libfaketime is not installed: apt-get install libfaketime")?;
        let clock = Self { library, file: file.to_owned() };
        clock.back().map_err(|error| error.to_string())?;
        Ok(clock)
    }

    /// Lets a program see this clock. Its monotonic clock stays the true one.
    pub fn give_to(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }

    /// Leaps ahead. The process sees it within a second.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn ahead(&self) -> io::Result<()> {
        self.write(&format!("+{}\n", LEAP.as_secs()))
    }

    /// Leaps back to the true time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn back(&self) -> io::Result<()> {
        self.write("+0\n")
    }

    /// Nobody reads half of it.
    fn write(&self, text: &str) -> io::Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, text)?;
        std::fs::rename(new, &self.file)
    }
}

/// Brings times to the clock that never leapt, and counts those that were ahead of it.
#[derive(Debug, Default)]
pub struct Correction {
    /// Times by a clock that had leapt.
    pub leapt: usize,
}

impl Correction {
    /// The true time for one that was told, both in microseconds since 1970.
    pub fn true_micros(&mut self, told: u64) -> u64 {
        let in_micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if told <= micros() + in_micros(AHEAD_MIN) {
            return told;
        }
        self.leapt += 1;
        told - in_micros(LEAP)
    }
}

fn library() -> Option<PathBuf> {
    let below = |folder: &str| std::fs::read_dir(folder).ok().map(|entries| entries.filter_map(Result::ok));
    let nested = FOLDERS.into_iter().filter_map(below).flatten().map(|entry| entry.path());
    let folders = FOLDERS.into_iter().map(PathBuf::from).chain(nested);
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.is_file())
}
