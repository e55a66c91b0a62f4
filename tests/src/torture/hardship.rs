//! The kinds of hardships that hosts go through, which of them a torture has, and what this machine permits.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::clock::WallClock;
use super::disk::Disk;
use super::memory::MemoryGroup;

/// Bytes of the file system on which the machine is tried.
const TRIAL_BYTES: u64 = 1 << 20;

/// A kind of hardship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hardship {
    /// Hosts and the broker are killed, stopped, frozen and split off, and the way between them fails.
    Kills,
    /// Nobody reads the log for a while, or ever again.
    Log,
    /// The disk of a host or of the broker is full for a while.
    Disk,
    /// The wall clock of a host or of the broker leaps ahead and back.
    Clock,
    /// A host may open few files, and then no further one for a while.
    Files,
    /// A host may use little memory.
    Memory,
}

/// The word names no hardship.
#[derive(Debug)]
pub struct UnknownHardship(String);

/// A hardship that this machine does not permit.
#[derive(Debug)]
pub struct LeftOut {
    /// Which.
    pub hardship: Hardship,
    /// Why, in the words of the system.
    pub reason: String,
}

impl Hardship {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Kills, Self::Log, Self::Disk, Self::Clock, Self::Files, Self::Memory];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Log => "log",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Files => "files",
            Self::Memory => "memory",
        }
    }

    /// Whether this machine permits it; the reason when it does not.
    fn try_out(self, directory: &Path) -> Result<(), String> {
        match self {
            Self::Kills | Self::Log => Ok(()),
            Self::Disk => Disk::mount(&directory.join("trial"), TRIAL_BYTES).map(drop),
            Self::Clock => WallClock::open(&directory.join("trial-clock")).map(drop),
            Self::Files => super::files::try_out(),
            Self::Memory => MemoryGroup::open().map(drop),
        }
    }
}

impl FromStr for Hardship {
    type Err = UnknownHardship;

    fn from_str(text: &str) -> Result<Self, UnknownHardship> {
        let named = Self::ALL.into_iter().find(|hardship| hardship.name() == text);
        named.ok_or_else(|| UnknownHardship(text.to_owned()))
    }
}

impl fmt::Display for UnknownHardship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Hardship::ALL.map(Hardship::name).join(", ");
        write!(f, "{} is no hardship; expected some of {names}, with commas between them", self.0)
    }
}

impl std::error::Error for UnknownHardship {}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LEFT OUT: {}: {}", self.hardship.name(), self.reason)
    }
}

/// Splits hardships into those that this machine permits and those that it does not.
pub fn permitted(wanted: &[Hardship], directory: &Path) -> (Vec<Hardship>, Vec<LeftOut>) {
    let (mut permitted, mut left_out) = (Vec::new(), Vec::new());
    for hardship in wanted.iter().copied() {
        match hardship.try_out(directory) {
            Ok(()) => permitted.push(hardship),
            Err(reason) => left_out.push(LeftOut { hardship, reason }),
        }
    }
    (permitted, left_out)
}
