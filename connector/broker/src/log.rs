//! The log of one partition: segment files that hold the batch records of the wire verbatim.
//! All calls block on file I/O; the caller brings the clock and the locking.

use std::path::{Path, PathBuf};

use bytes::Bytes;

/// How a partition's log is laid out on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSettings {
    /// A segment is sealed before it would grow beyond this many bytes; a single larger batch gets a segment of
    /// its own.
    pub(crate) segment_bytes_max: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { segment_bytes_max: 256 * 1024 * 1024 }
    }
}

/// Where a read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    /// The first message whose offset is this or higher.
    Offset(u64),
    /// The first message of the first batch appended at this time (µs since the epoch) or later.
    Timestamp(u64),
    /// The last so many messages.
    Last(u32),
}

/// What [`PartitionLog::append`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Offset of the first message of the batch.
    pub(crate) base_offset: u64,
    /// Messages in the batch, at least one.
    pub(crate) messages: u32,
}

/// A run of batch records as a poll reply carries them after its head of 16 bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slice {
    /// Whole, checksummed records; empty when nothing matched.
    pub(crate) records: Bytes,
    /// Messages in `records`.
    pub(crate) messages: u32,
    /// Offset of the last message in `records`; `None` when it is empty.
    pub(crate) last_offset: Option<u64>,
}

/// The extent of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogBounds {
    /// Offset of the oldest message kept, or `next_offset` when there is none.
    pub(crate) first_offset: u64,
    /// Offset that the next message gets.
    pub(crate) next_offset: u64,
    /// Messages kept. May be less than the distance of the two offsets, because offsets can have gaps.
    pub(crate) messages: u64,
    /// Bytes in segment files.
    pub(crate) bytes: u64,
    /// Segment files, at least one.
    pub(crate) segments: u32,
}

/// What [`PartitionLog::open`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// The torn tail that was cut off the last segment.
    pub(crate) cut: Option<Cut>,
    /// Places in sealed segments that cannot be read. Reads that reach one fail.
    pub(crate) damage: Vec<Damage>,
    /// Offsets that were skipped because the floor lay beyond the recovered end.
    pub(crate) skipped_offsets: u64,
}

/// A torn tail that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The segment that was shortened.
    pub(crate) path: PathBuf,
    /// Its new length in bytes.
    pub(crate) position: u64,
    /// Bytes removed.
    pub(crate) bytes: u64,
}

/// A place in a sealed segment that does not hold what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The segment.
    pub(crate) path: PathBuf,
    /// Byte position of the first bad record.
    pub(crate) position: u64,
}

/// A failure to open, read, or change a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Stored bytes are not what was written; they are not served.
    #[error(
        "segment {path} is damaged at byte {position}: {reason}; restore the file from a copy or delete the segment"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Byte position of the bad record.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a batch was not appended. The log is unchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// The record is not a well-formed batch.
    #[error("batch is not valid: {0}")]
    InvalidBatch(String),
    /// A message does not match its checksum.
    #[error("message checksum does not match: {0}")]
    InvalidMessage(String),
    /// The write failed, for example because the disk is full. The log is back at its former end.
    #[error("batch was not written")]
    Write(#[source] LogError),
    /// An earlier failure left the end of the log uncertain; reads go on.
    #[error("log {path} refuses appends after a failed write or sync: {reason}; restart the broker")]
    Refusing {
        /// Directory of the log.
        path: PathBuf,
        /// The failure that closed it.
        reason: String,
    },
}

/// A promise to make durable what was appended before it was taken. Holds no reference to the log, so the
/// caller waits for the disk without holding the partition's lock.
#[derive(Debug, Clone)]
pub(crate) struct SyncTicket {}

impl SyncTicket {
    /// Waits until everything appended before this ticket was taken is on the disk. Blocks the thread. Tickets
    /// that wait at the same time share a sync.
    pub(crate) fn wait(&self) -> Result<(), LogError> {
        unimplemented!()
    }
}

/// One partition's log.
#[derive(Debug)]
pub(crate) struct PartitionLog {}

impl PartitionLog {
    /// Creates an empty log in `dir`, removing whatever a deleted partition of the same name left there.
    pub(crate) fn create(_dir: &Path, _settings: LogSettings) -> Result<PartitionLog, LogError> {
        unimplemented!()
    }

    /// Opens the log in `dir`, which is created when missing. A torn tail is cut off before anything can be
    /// appended. No offset below `floor` is given to a new message.
    pub(crate) fn open(
        _dir: &Path,
        _settings: LogSettings,
        _floor: u64,
    ) -> Result<(PartitionLog, Recovery), LogError> {
        unimplemented!()
    }

    /// Verifies `batch` (one record as it came over the wire), stamps it, and writes it with one write.
    pub(crate) fn append(
        &mut self,
        _partition_id: u32,
        _batch: &[u8],
        _expected_messages: u32,
        _now_micros: u64,
    ) -> Result<Appended, AppendError> {
        unimplemented!()
    }

    /// A ticket that covers everything appended so far.
    pub(crate) fn sync(&self) -> SyncTicket {
        unimplemented!()
    }

    /// Reads at most `messages_max` messages and about `bytes_max` bytes, but at least one message when there is
    /// one.
    pub(crate) fn read(
        &self,
        _from: ReadFrom,
        _messages_max: u32,
        _bytes_max: u32,
    ) -> Result<Slice, LogError> {
        unimplemented!()
    }

    /// The current extent. Costs no I/O.
    pub(crate) fn bounds(&self) -> LogBounds {
        unimplemented!()
    }

    /// Drops every message. Offsets go on counting.
    pub(crate) fn purge(&mut self) -> Result<(), LogError> {
        unimplemented!()
    }

    /// Drops the `count` oldest sealed segments, or all sealed ones when there are fewer; answers how many.
    pub(crate) fn delete_segments(&mut self, _count: u32) -> Result<u32, LogError> {
        unimplemented!()
    }

    /// Drops sealed segments whose last batch is older than `time_micros`; answers how many.
    pub(crate) fn delete_older_than(&mut self, _time_micros: u64) -> Result<u32, LogError> {
        unimplemented!()
    }

    /// Drops the oldest sealed segments until the log fits in `bytes_max`; answers how many.
    pub(crate) fn delete_beyond(&mut self, _bytes_max: u64) -> Result<u32, LogError> {
        unimplemented!()
    }

    /// Ids of the messages in the last `messages_max` messages, oldest first, to rebuild a window of seen ids.
    pub(crate) fn recent_ids(&self, _messages_max: u32) -> Result<Vec<u128>, LogError> {
        unimplemented!()
    }

    /// Removes the log and its directory.
    pub(crate) fn delete(self) -> Result<(), LogError> {
        unimplemented!()
    }
}
