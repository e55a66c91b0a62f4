//! What a host has committed, in a file that outlives it: the last offset of each partition of one group and topic.
//!
//! The broker keeps the offsets that count. This copy tells the next life of the host what somebody did to them meanwhile:
//! a group that was deleted or put back, a topic that was purged or made anew.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use guesthouse_connector::{GroupAddress, Offset, PartitionId};
use serde::{Deserialize, Serialize};

/// The directory of the files, inside that of the crash journal.
const DIR: &str = "commits";

/// How often the file is written while offsets move. One that is older than the offsets says less, and nothing wrong.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// The record of one group and topic. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct CommitRecord(Arc<Record>);

#[derive(Debug)]
struct Record {
    group: String,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The offsets that this process stored.
    stored: BTreeMap<u32, u64>,
    is_changed: bool,
    written: Instant,
    /// Whether it was said that the file cannot be written.
    is_failing: bool,
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    group: String,
    offsets: BTreeMap<u32, u64>,
}

impl CommitRecord {
    /// The record of a group, in the directory of a crash journal. Touches no file yet.
    pub(crate) fn new(journal_dir: &Path, group: &GroupAddress) -> Self {
        let group = group.to_string();
        let path = journal_dir.join(DIR).join(blake3::hash(group.as_bytes()).to_hex().as_str());
        let state =
            State { stored: BTreeMap::new(), is_changed: false, written: Instant::now(), is_failing: false };
        Self(Arc::new(Record { group, path: path.with_extension("json"), state: Mutex::new(state) }))
    }

    /// The offsets that earlier lives of the host stored. Blocks for a small file.
    pub(crate) fn read(&self) -> Vec<(PartitionId, Offset)> {
        match self.0.read() {
            Ok(written) => {
                written.offsets.into_iter().map(|(id, at)| (PartitionId(id), Offset(at))).collect()
            }
            Err(error) => {
                let (group, path) = (&self.0.group, self.0.path.display());
                tracing::warn!(group, %path, %error, "cannot read what was committed before; nobody will notice if it was put back meanwhile");
                Vec::new()
            }
        }
    }

    /// Takes note of an offset that the broker has stored.
    pub(crate) fn note(&self, partition: PartitionId, offset: Offset) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stored.insert(partition.0, offset.0);
        state.is_changed = true;
    }

    /// Writes the file when that is due, off the threads that must not wait.
    pub(crate) async fn write_if_due(&self, now: Instant) {
        let is_due = {
            let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_changed && now.saturating_duration_since(state.written) >= WRITE_EVERY
        };
        if is_due {
            self.write().await;
        }
    }

    /// Writes the file if anything has changed.
    pub(crate) async fn write(&self) {
        let record = Arc::clone(&self.0);
        if let Err(error) = tokio::task::spawn_blocking(move || record.write()).await {
            tracing::error!(group = self.0.group, %error, "the record of what is committed was not written");
        }
    }
}

impl Record {
    fn read(&self) -> io::Result<Written> {
        match fs::read(&self.path) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Written::default()),
            Err(error) => Err(error),
        }
    }

    fn write(&self) {
        let stored = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.written = Instant::now();
            if !std::mem::take(&mut state.is_changed) {
                return;
            }
            state.stored.clone()
        };
        let written = self.write_file(stored);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_failing = std::mem::replace(&mut state.is_failing, written.is_err());
        state.is_changed |= written.is_err();
        drop(state);
        let (group, path) = (&self.group, self.path.display());
        match written {
            Err(error) if !was_failing => {
                tracing::warn!(group, %path, %error, "cannot put on record what is committed; it is tried again");
            }
            Ok(()) if was_failing => tracing::info!(group, %path, "what is committed is on record again"),
            _ => {}
        }
    }

    /// Other hosts of the group may keep their partitions in the same file.
    fn write_file(&self, stored: BTreeMap<u32, u64>) -> io::Result<()> {
        let mut written = self.read().unwrap_or_default();
        written.group.clone_from(&self.group);
        written.offsets.extend(stored);
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let draft = self.path.with_extension(format!("{:x}.draft", std::process::id()));
        fs::write(&draft, serde_json::to_vec(&written)?)?;
        fs::rename(&draft, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::TopicAddress;

    use super::*;

    #[tokio::test]
    async fn the_next_life_reads_what_all_hosts_of_the_group_stored() {
        let directory = tempfile::tempdir().unwrap();
        let group = |name| GroupAddress::new(TopicAddress::new("s", "t"), name);
        let record = |name| CommitRecord::new(directory.path(), &group(name));
        let (one, other) = (record("g"), record("g"));
        assert_eq!(one.read(), []);
        one.write().await;
        assert!(!directory.path().join(DIR).exists(), "there is nothing to write");
        one.note(PartitionId(0), Offset(7));
        other.note(PartitionId(1), Offset(8));
        one.write_if_due(Instant::now()).await;
        assert_eq!(record("g").read(), [], "it is not due");
        one.write_if_due(Instant::now() + WRITE_EVERY).await;
        other.write().await;
        one.note(PartitionId(0), Offset(3));
        one.write().await;
        assert_eq!(record("g").read(), [(PartitionId(0), Offset(3)), (PartitionId(1), Offset(8))]);
        assert_eq!(record("another").read(), []);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let group = GroupAddress::new(TopicAddress::new("s", "t"), "g");
        let record = CommitRecord::new(directory.path(), &group);
        std::fs::write(directory.path().join(DIR), b"in the way").unwrap();
        record.note(PartitionId(0), Offset(7));
        record.write().await;
        std::fs::remove_file(directory.path().join(DIR)).unwrap();
        record.write().await;
        assert_eq!(record.read(), [(PartitionId(0), Offset(7))]);
    }
}
