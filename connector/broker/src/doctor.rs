//! Explains a data directory at rest: what it holds, what the next start would put right by itself, and what is
//! damaged. Reads everything and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog::{Origin, partition_dir, partition_directories, unknown_partitions};
use crate::credentials::PASSWORD_FILE;
use crate::data_dir::{DataDir, DataDirError};
use crate::log::{self, LogFinding};
use crate::store::{self, ConsumerKey, LogEnds, PartitionKey, StoreImage};
use crate::wire::in_one_line;

/// How much a finding matters, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// The next start puts it right, and nothing that was acknowledged is lost.
    Repair,
    /// Some messages cannot be read; everything else serves.
    Damage,
    /// A partition would not serve.
    Offline,
    /// The broker would not start.
    Fatal,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file or directory it is about.
    pub path: PathBuf,
    /// What it is, and what happens or can be done about it.
    pub text: String,
}

/// What a data directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Version of its format; `None` when the catalog cannot be read.
    pub format: Option<u64>,
    /// Whether the machine may have lost power under the last broker, so that logs go on at reserved offsets.
    pub power_lost: bool,
    /// Streams of the catalog.
    pub streams: usize,
    /// Topics of the catalog.
    pub topics: usize,
    /// Partitions of the catalog.
    pub partitions: usize,
    /// Messages that can be read.
    pub messages: u64,
    /// Bytes in segment files.
    pub bytes: u64,
    /// Stored offsets of consumers and groups.
    pub offsets: usize,
    /// Users, the root user included.
    pub users: usize,
    /// Everything that is not as a clean stop leaves it, the worst first.
    pub findings: Vec<Finding>,
}

/// A data directory cannot be examined.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// There is no catalog in it.
    #[error("{} is no data directory of a broker: it has no meta.redb", path.display())]
    NotADataDir {
        /// The directory.
        path: PathBuf,
    },
    /// A broker uses it, and would change it meanwhile.
    #[error("a broker uses {}; stop it first, or ask it over http", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be held or read.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// Examines the data directory at `path`, which no broker may use: one that starts meanwhile waits for two seconds
/// and then refuses. Blocks for as long as reading everything takes; the catalog is held in memory.
///
/// # Errors
/// When there is no data directory, or a broker uses it. What is wrong inside is no error but a [`Finding`].
pub fn examine(path: &Path) -> Result<Diagnosis, ExamineError> {
    if !path.join("meta.redb").is_file() {
        return Err(ExamineError::NotADataDir { path: path.to_owned() });
    }
    let Some(_held) = DataDir::look_at(path)? else {
        return Err(ExamineError::Busy { path: path.to_owned() });
    };
    let mut diagnosis = Diagnosis::empty();
    diagnosis.look_at_access(path);
    match store::examine(path) {
        Ok(image) => diagnosis.look_at_everything(path, &image),
        Err(error) => {
            let text = format!("{}; the broker would not start", in_one_line(&error));
            diagnosis.add(Severity::Fatal, path.join("meta.redb"), text);
        }
    }
    diagnosis.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(diagnosis)
}

impl Diagnosis {
    /// The severity of the worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    fn empty() -> Self {
        Self {
            format: None,
            power_lost: false,
            streams: 0,
            topics: 0,
            partitions: 0,
            messages: 0,
            bytes: 0,
            offsets: 0,
            users: 0,
            findings: Vec::new(),
        }
    }

    fn add(&mut self, severity: Severity, path: impl Into<PathBuf>, text: impl Into<String>) {
        self.findings.push(Finding { severity, path: path.into(), text: text.into() });
    }

    /// Others must not read the messages, and above all not the password.
    fn look_at_access(&mut self, path: &Path) {
        for path in [path.to_owned(), path.join(PASSWORD_FILE)] {
            let mode = fs::metadata(&path).map(|found| found.permissions().mode());
            if mode.is_ok_and(|mode| mode & 0o077 != 0) {
                self.add(Severity::Note, path, "can be read by other users of this machine; chmod go-rwx");
            }
        }
    }

    fn look_at_everything(&mut self, path: &Path, image: &StoreImage) {
        self.format = Some(image.format);
        self.streams = image.catalog.streams.len();
        self.topics = image.catalog.topics.len();
        self.offsets = image.offsets.len();
        self.users = image.users;
        self.power_lost = image.log_ends == LogEnds::Uncertain;
        self.look_at_store(path, image);
        let mut next_offsets = BTreeMap::new();
        for topic in &image.catalog.topics {
            for partition_id in 0..topic.partitions_count {
                let key = PartitionKey { stream_id: topic.stream_id, topic_id: topic.id, partition_id };
                self.partitions += 1;
                let next_offset = self.look_at_partition(path, key, image);
                next_offsets.insert(key, next_offset);
            }
        }
        self.look_at_offsets(path, image, &next_offsets);
        self.look_for_strangers(path, image, &next_offsets.into_keys().collect());
    }

    fn look_at_store(&mut self, path: &Path, image: &StoreImage) {
        let database = path.join("meta.redb");
        if image.format < image.known_format {
            let text =
                format!("has format {}; the next start migrates it to {}", image.format, image.known_format);
            self.add(Severity::Repair, &database, text);
        }
        if image.is_unfinished {
            let text = "was not closed; the next start goes back to the last change that was finished";
            self.add(Severity::Repair, &database, text);
        }
        if image.torn_journal_bytes > 0 {
            let text = format!(
                "ends in {} bytes that are no offset, one that was being written; it is written over",
                image.torn_journal_bytes
            );
            self.add(Severity::Repair, path.join("offsets.journal"), text);
        }
        if self.power_lost {
            let text =
                "the machine started again under a running broker; every log goes on at its reserved offset";
            self.add(Severity::Repair, path, text);
        }
    }

    /// Answers the offset that the next message gets at least.
    fn look_at_partition(&mut self, path: &Path, key: PartitionKey, image: &StoreImage) -> u64 {
        let dir = partition_dir(path, key);
        let floor = image.floors.get(&key).copied().unwrap_or(0);
        let found = log::examine(&dir);
        self.messages += found.messages;
        self.bytes += found.bytes;
        for finding in found.findings {
            self.add_log_finding(&dir, finding, floor);
        }
        if self.power_lost { found.next_offset.max(floor) } else { found.next_offset }
    }

    fn add_log_finding(&mut self, dir: &Path, finding: LogFinding, floor: u64) {
        match finding {
            LogFinding::Missing if floor > 0 => {
                let text = "has no segment files, and had some; put them back, or delete the topic and make it again";
                self.add(Severity::Offline, dir, text);
            }
            LogFinding::Missing => self.add(Severity::Repair, dir, "is empty; the next start begins it"),
            LogFinding::Torn { path, position, bytes } => {
                let text = format!(
                    "ends in {bytes} bytes of a record that was not completely written, from byte {position} on; the next start cuts them off"
                );
                self.add(Severity::Repair, path, text);
            }
            LogFinding::Index { path } => {
                self.add(
                    Severity::Repair,
                    path,
                    "has no index that can be used; the next start makes it again",
                );
            }
            LogFinding::Gap { first, end } => {
                let text = format!(
                    "no segment holds the offsets {first} to {}: they were skipped after a loss of power, or a segment file is missing",
                    end - 1
                );
                self.add(Severity::Note, dir, text);
            }
            LogFinding::Damage { path, position, reason } => {
                let text = format!(
                    "is damaged at byte {position}: {reason}; reads that reach this place are refused; put it back from a copy, or delete the oldest segments up to this one"
                );
                self.add(Severity::Damage, path, text);
            }
            LogFinding::Overlap { path, limit } => {
                let text = format!(
                    "reaches into the next segment, which begins at offset {limit}; one of the two is not ours"
                );
                self.add(Severity::Offline, path, text);
            }
            LogFinding::Unreadable { path, reason } => self.add(Severity::Offline, path, reason),
        }
    }

    /// An offset is stored after its message was read: one beyond the end says that messages are gone.
    fn look_at_offsets(
        &mut self,
        path: &Path,
        image: &StoreImage,
        next_offsets: &BTreeMap<PartitionKey, u64>,
    ) {
        let offline: BTreeSet<PathBuf> = self.offline_paths();
        for (key, offset) in &image.offsets {
            let partition = PartitionKey {
                stream_id: key.stream_id,
                topic_id: key.topic_id,
                partition_id: key.partition_id,
            };
            let dir = partition_dir(path, partition);
            let next_offset = next_offsets.get(&partition).copied().unwrap_or(0);
            if *offset < next_offset || offline.iter().any(|path| path.starts_with(&dir)) {
                continue;
            }
            let consumer = match key.consumer {
                ConsumerKey::Consumer(id) => format!("consumer {id}"),
                ConsumerKey::Group(id) => format!("group {id}"),
            };
            let text = format!(
                "{consumer} has stored offset {offset}, and the log ends before {next_offset}: messages at the end are missing"
            );
            self.add(Severity::Damage, dir, text);
        }
    }

    fn offline_paths(&self) -> BTreeSet<PathBuf> {
        let offline = self.findings.iter().filter(|finding| finding.severity == Severity::Offline);
        offline.map(|finding| finding.path.clone()).collect()
    }

    /// Directories of partitions that the catalog does not know.
    fn look_for_strangers(&mut self, path: &Path, image: &StoreImage, known: &BTreeSet<PartitionKey>) {
        let unknown = unknown_partitions(path, &image.catalog);
        let ahead = unknown.into_iter().filter(|found| found.origin == Origin::Ahead);
        let ahead: BTreeSet<PathBuf> = ahead.map(|found| found.dir).collect();
        let known: BTreeSet<PathBuf> = known.iter().map(|key| partition_dir(path, *key)).collect();
        for dir in partition_directories(path) {
            if ahead.contains(&dir) {
                let text = "holds messages that the catalog does not know, because it was emptied or is older: the broker \
                            would not start; put the right meta.redb back, or move the directory away";
                self.add(Severity::Fatal, dir, text);
            } else if !known.contains(&dir) {
                let text =
                    "belongs to no partition of the catalog: left over from a deletion; it can be removed";
                self.add(Severity::Note, dir, text);
            }
        }
    }
}
