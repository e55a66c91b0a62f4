//! Reads every record of a log that nobody has open and says what the next start would find and do. Changes nothing.

use std::path::{Path, PathBuf};

use super::scan::{self, Tail};
use super::segment::{self, Segment};
use super::{LogError, Presence};

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogExamination {
    pub(crate) segments: usize,
    /// Messages that can be read.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Offset behind the last message that can be read.
    pub(crate) next_offset: u64,
    pub(crate) findings: Vec<LogFinding>,
}

/// Something that is not as a clean stop leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogFinding {
    /// There are no segments.
    Missing,
    /// A record at the end was not completely written.
    Torn { path: PathBuf, position: u64, bytes: u64 },
    /// The index beside a segment is missing or of no use.
    Index { path: PathBuf },
    /// No segment holds these offsets.
    Gap { first: u64, end: u64 },
    /// Bytes are not what was written.
    Damage { path: PathBuf, position: u64, reason: String },
    /// A segment holds offsets of the next one.
    Overlap { path: PathBuf, limit: u64 },
    /// A file or directory cannot be read.
    Unreadable { path: PathBuf, reason: String },
}

/// Reads the log in `dir`. Takes as long as reading all of it.
pub(crate) fn examine(dir: &Path) -> LogExamination {
    let mut found = LogExamination::default();
    if super::PartitionLog::is_in(dir) == Presence::Missing {
        found.findings.push(LogFinding::Missing);
        return found;
    }
    let bases = match segment::list(dir) {
        Ok(bases) => bases,
        Err(error) => {
            found.findings.push(unreadable(dir, &error));
            return found;
        }
    };
    for (at, base) in bases.iter().enumerate() {
        let limit = bases.get(at + 1).copied();
        let segment = Segment::empty(dir, *base);
        let path = segment.path.clone();
        if let Err(error) = found.take(segment, limit) {
            found.findings.push(unreadable(&path, &error));
        }
    }
    found
}

impl LogExamination {
    /// Adds a segment. `limit` is where the next one begins; the last one has none.
    fn take(&mut self, mut segment: Segment, limit: Option<u64>) -> Result<(), LogError> {
        let file = segment.open_for_read()?;
        let read = file.metadata().map_err(LogError::io("read the length of segment", &segment.path));
        let mut file_bytes = read?.len();
        let tail = scan::scan(&mut segment, &file, file_bytes)?;
        self.segments += 1;
        self.messages += segment.messages();
        self.next_offset = self.next_offset.max(segment.next_offset);
        let (path, position) = (segment.path.clone(), segment.bytes);
        match tail {
            Tail::Clean => {}
            Tail::Zeros if limit.is_none() => file_bytes = position,
            Tail::Torn if limit.is_none() => {
                self.findings.push(LogFinding::Torn { path, position, bytes: file_bytes - position });
            }
            Tail::Zeros | Tail::Torn => {
                let reason = "a record is not complete".to_owned();
                self.findings.push(LogFinding::Damage { path, position, reason });
            }
            Tail::Damaged(reason) => self.findings.push(LogFinding::Damage { path, position, reason }),
        }
        self.bytes += file_bytes;
        if let Some(limit) = limit {
            self.compare(&segment, file_bytes, limit);
        }
        Ok(())
    }

    /// Compares a sealed segment with its index and with the segment behind it.
    fn compare(&mut self, segment: &Segment, file_bytes: u64, limit: u64) {
        let path = segment.path.clone();
        if segment.next_offset > limit {
            self.findings.push(LogFinding::Overlap { path, limit });
            return;
        }
        let is_whole = segment.bytes == file_bytes;
        let index = segment.recall_index();
        match index {
            Some(index) if is_whole && index.bytes != file_bytes => {
                let reason = format!("its index says that it has {} bytes", index.bytes);
                self.findings.push(LogFinding::Damage { path, position: file_bytes, reason });
            }
            None if is_whole => self.findings.push(LogFinding::Index { path }),
            _ if is_whole && segment.next_offset < limit => {
                self.findings.push(LogFinding::Gap { first: segment.next_offset, end: limit });
            }
            _ => {}
        }
    }
}

fn unreadable(path: &Path, error: &LogError) -> LogFinding {
    LogFinding::Unreadable { path: path.to_owned(), reason: crate::wire::in_one_line(error) }
}
