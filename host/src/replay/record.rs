//! What is kept of a replay: a JSON file that is replaced as a whole, a lock that is held while it runs, and a request
//! that others leave for the one who runs it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ReplayConfig, ReplayError};

const NAME_BYTES_MAX: usize = 63;

/// How a replay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayStatus {
    /// Somebody runs it now.
    Running,
    /// It was asked to wait and can be resumed.
    Paused,
    /// Whoever ran it is gone without a word; it can be resumed.
    Interrupted,
    /// The broker refused something; it can be resumed.
    Failed,
    /// It was given up on purpose.
    Cancelled,
    /// All of it was published, or counted.
    Finished,
}

impl ReplayStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
        }
    }

    /// Whether it can go on.
    pub const fn can_resume(self) -> bool {
        matches!(self, Self::Paused | Self::Interrupted | Self::Failed)
    }
}

/// How far a replay is in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayProgress {
    /// Which one.
    pub partition: u32,
    /// The first offset.
    pub from: u64,
    /// The first offset that is not part of it.
    pub to: u64,
    /// The offset that comes next.
    pub next: u64,
    /// Messages that were read.
    pub read: u64,
    /// Messages whose publishing was confirmed.
    pub published: u64,
    /// Headers of theirs that found no room beside those that a replay adds, or could not be read.
    #[serde(default)]
    pub headers_dropped: u64,
}

/// What is known of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayInfo {
    /// Its name.
    pub name: String,
    /// What was asked for.
    pub config: ReplayConfig,
    /// How it is doing.
    pub status: ReplayStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far it is.
    pub partitions: Vec<ReplayProgress>,
}

impl ReplayInfo {
    /// Messages that were read, in all.
    pub fn read(&self) -> u64 {
        self.partitions.iter().map(|progress| progress.read).sum()
    }

    /// Messages whose publishing was confirmed, in all.
    pub fn published(&self) -> u64 {
        self.partitions.iter().map(|progress| progress.published).sum()
    }

    /// Headers that were left out of what was published, in all.
    pub fn headers_dropped(&self) -> u64 {
        self.partitions.iter().map(|progress| progress.headers_dropped).sum()
    }

    /// Offsets that it covers and those of them that are behind it, in all. Some may hold no message any more.
    pub fn offsets(&self) -> (u64, u64) {
        let sum = |part: fn(&ReplayProgress) -> u64| self.partitions.iter().map(part).sum();
        (sum(|progress| progress.to - progress.from), sum(|progress| progress.next - progress.from))
    }
}

/// What somebody asks of whoever runs a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Pause,
    Cancel,
}

/// Held by whoever runs a replay; the operating system lets go of it when they die.
#[derive(Debug)]
pub(super) struct RunLock(#[expect(dead_code, reason = "holding it is its use")] File);

/// The directory of all records.
#[derive(Debug, Clone)]
pub(super) struct Records(pub(super) PathBuf);

impl Records {
    /// Takes the lock of a replay; none when somebody else has it.
    pub(super) fn lock(&self, name: &str) -> Result<Option<RunLock>, ReplayError> {
        let lock = || {
            fs::create_dir_all(&self.0)?;
            let file = File::options().create(true).append(true).open(self.path(name, "lock"))?;
            match file.try_lock() {
                Ok(()) => Ok(Some(RunLock(file))),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            }
        };
        check(name)?;
        lock().map_err(|source| failed(name, source))
    }

    /// Reads a record; none when there is none. One that says `running` while nobody holds the lock was interrupted.
    pub(super) fn read(&self, name: &str) -> Result<Option<ReplayInfo>, ReplayError> {
        check(name)?;
        let Some(mut info) = self.read_as_written(name)? else { return Ok(None) };
        if info.status == ReplayStatus::Running && self.lock(name)?.is_some() {
            // It may have ended between the two looks.
            info = self.read_as_written(name)?.unwrap_or(info);
            if info.status == ReplayStatus::Running {
                info.status = ReplayStatus::Interrupted;
            }
        }
        Ok(Some(info))
    }

    /// Replaces a record, so that a crash leaves the old one or the new one.
    pub(super) fn write(&self, info: &ReplayInfo) -> Result<(), ReplayError> {
        let write = || {
            let text = serde_json::to_vec_pretty(info)?;
            let draft = self.path(&info.name, "draft");
            let mut file = File::create(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, self.path(&info.name, "json"))?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|source| failed(&info.name, source))
    }

    /// The names of all records.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(name.filter(|name| check(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Leaves a request.
    pub(super) fn ask(&self, name: &str, request: Request) -> Result<(), ReplayError> {
        let word = match request {
            Request::Pause => "pause",
            Request::Cancel => "cancel",
        };
        fs::write(self.path(name, "request"), word).map_err(|source| failed(name, source))
    }

    /// Takes the request that was left, if any.
    pub(super) fn take_request(&self, name: &str) -> Option<Request> {
        let path = self.path(name, "request");
        let word = fs::read_to_string(&path).ok()?;
        // One that cannot be removed is honoured again, which does no harm.
        drop(fs::remove_file(&path));
        match word.as_str() {
            "pause" => Some(Request::Pause),
            "cancel" => Some(Request::Cancel),
            _ => None,
        }
    }

    fn read_as_written(&self, name: &str) -> Result<Option<ReplayInfo>, ReplayError> {
        match fs::read(self.path(name, "json")) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| failed(name, error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name, error)),
        }
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.0.join(format!("{name}.{kind}"))
    }
}

fn check(name: &str) -> Result<(), ReplayError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(ReplayError::Name(name.chars().take(NAME_BYTES_MAX).collect()))
    }
}

fn failed(name: &str, source: io::Error) -> ReplayError {
    ReplayError::Record { name: name.to_owned(), source }
}
