//! The log of one partition: segment files that hold the batch records of the wire verbatim.
//! All calls block on file I/O; the caller brings the clock and the locking.

mod examine;
pub(crate) mod file;
mod index;
mod mend;
mod open;
mod read;
mod record;
mod retention;
mod scan;
mod segment;
mod sync;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use iggy_common::{MAX_PAYLOAD_SIZE, MAX_USER_HEADERS_SIZE};

use crate::wire::in_one_line;
pub(crate) use examine::{LogFinding, examine};
use read::{Reply, Room};
use record::Stamp;
use segment::Segment;
use sync::SyncProgress;
pub(crate) use sync::SyncTicket;

/// Bytes read at once when only ids are wanted.
const ID_READ_BYTES: u32 = 1024 * 1024;

/// Space for this many records like the last is preallocated, or none.
const PREALLOCATE_RECORDS_MIN: u64 = 8;

/// The most that is preallocated at once. More saves no time, and the one who waits for it waits longer.
pub(crate) const PREALLOCATE_BYTES_MAX: usize = 256 * 1024;

static ZEROS: [u8; PREALLOCATE_BYTES_MAX] = [0; PREALLOCATE_BYTES_MAX];

/// What to do about a damaged segment.
pub(crate) const WAY_OUT: &str = "reads that reach this place are refused; restore the file from a copy or delete the oldest segments up to this one";

/// How a partition's log is laid out on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSettings {
    /// A segment is sealed before it would grow beyond this many bytes; a single larger batch gets a segment of
    /// its own.
    pub(crate) segment_bytes_max: u64,
    /// So many zeros are written behind a small batch that makes the file longer, for the next ones to be written over
    /// them, at most [`PREALLOCATE_BYTES_MAX`]. Their syncs have no new length and extents to record then: 28 KiB on ext4 take
    /// 0.17 ms with their write instead of 0.36 ms.
    pub(crate) preallocate_bytes: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { segment_bytes_max: 256 * 1024 * 1024, preallocate_bytes: 0 }
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// Offsets that no segment holds, although a segment before them and one behind them are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The first of them.
    pub(crate) first: u64,
    /// The offset behind the last of them.
    pub(crate) end: u64,
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
    /// The segment that followed the last one is gone. A segment gets its index once the next one is there.
    pub(crate) is_end_missing: bool,
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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "segment {} is damaged at byte {position}; {WAY_OUT}",
    path.display()
)]
pub(crate) struct Damage {
    /// The segment.
    pub(crate) path: PathBuf,
    /// Byte position of the first bad record.
    pub(crate) position: u64,
}

/// Whether a directory holds a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    /// There is no directory, or no segment file in it.
    Missing,
}

/// A failure to open, read, or change a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Stored bytes are not what was written; they are not served.
    #[error(
        "segment {} is damaged at byte {position}: {reason}; {WAY_OUT}",
        path.display()
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
    /// A payload has more bytes than Iggy allows.
    #[error("payload of {0} bytes is too large, at most {MAX_PAYLOAD_SIZE} are allowed")]
    LargePayload(u32),
    /// The headers of a message have more bytes than Iggy allows.
    #[error("headers of {0} bytes are too large, at most {MAX_USER_HEADERS_SIZE} are allowed")]
    LargeHeaders(u32),
    /// The write failed, for example because the disk is full. The log is back at its former end.
    #[error("batch was not written")]
    Write(#[source] LogError),
    /// Somebody removed or replaced the file that takes the messages: what is written to it now would be gone with the
    /// process.
    #[error(
        "somebody removed or replaced the segment {} while the broker runs; move it back, or restart the broker to go on \
         without its messages",
        path.display()
    )]
    Gone {
        /// The segment.
        path: PathBuf,
    },
    /// An earlier failure left the end of the log uncertain; reads go on.
    #[error("log {} refuses appends after a failed write or sync, until its disk works: {reason}", path.display())]
    Refusing {
        /// Directory of the log.
        path: PathBuf,
        /// The failure that closed it.
        reason: String,
    },
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// One partition's log. It has a single owner at a time; [`SyncTicket`] is what lives beside it.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    dir: PathBuf,
    settings: LogSettings,
    sealed: VecDeque<Segment>,
    sealed_bytes: u64,
    sealed_messages: u64,
    active: Segment,
    file: Arc<File>,
    /// Length of the active file: what it holds, and zeros behind that.
    file_bytes: u64,
    /// Base timestamps never go backwards, so that a time can be searched for.
    last_timestamp: u64,
    sync: Arc<SyncProgress>,
    /// Why nothing can be appended.
    refusal: Option<Refusing>,
}

/// Why a log takes no messages, apart from a failed sync.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusing {
    /// Part of a batch stands behind the end and could not be removed.
    Uncut(String),
    /// There are no more numbers.
    UsedUp,
}

impl Gap {
    /// How many offsets it has.
    pub(crate) fn offsets(self) -> u64 {
        self.end - self.first
    }
}

impl PartitionLog {
    /// Creates an empty log in `dir`, removing whatever a deleted partition of the same name left there.
    ///
    /// # Errors
    /// When the directory cannot be emptied or written.
    pub(crate) fn create(dir: &Path, settings: LogSettings) -> Result<PartitionLog, LogError> {
        remove_directory(dir)?;
        Self::open(dir, settings, 0).map(|(log, _)| log)
    }

    /// Opens the log in `dir`, which is created when missing. A torn tail is cut off before anything can be
    /// appended, and what remains is on the disk. No offset below `floor` is given to a new message; a floor above zero also says that the machine
    /// may have lost power, so that a bad tail is what never reached the disk rather than damage.
    ///
    /// # Errors
    /// When a file operation fails, or segments contradict each other. Damage inside a segment is no error here:
    /// [`Recovery`] lists it, and reads that reach it fail.
    pub(crate) fn open(
        dir: &Path,
        settings: LogSettings,
        floor: u64,
    ) -> Result<(PartitionLog, Recovery), LogError> {
        let (segments, recovery) = open::open(dir, floor)?;
        let file = Arc::new(segments.file);
        let sync = SyncProgress::new(dir.to_owned(), Arc::clone(&file));
        let (sealed, active) = (segments.sealed, segments.active);
        let log = PartitionLog {
            dir: dir.to_owned(),
            settings,
            sealed_bytes: sealed.iter().map(|segment| segment.bytes).sum(),
            sealed_messages: sealed.iter().map(Segment::messages).sum(),
            last_timestamp: sealed.iter().chain([&active]).map(|s| s.last_timestamp).max().unwrap_or(0),
            sealed,
            file_bytes: active.bytes,
            active,
            file,
            sync,
            refusal: None,
        };
        Ok((log, recovery))
    }

    /// Verifies `batch` (one record as it came over the wire), stamps it, and writes it, as a rule with one write. Returning
    /// means that the operating system has it; wait on a [`PartitionLog::sync`] ticket for the disk.
    ///
    /// # Errors
    /// When the batch is not valid or not written; the log is then as before. See [`AppendError`].
    pub(crate) fn append(
        &mut self,
        partition_id: u32,
        batch: &[u8],
        expected_messages: u32,
        now_micros: u64,
    ) -> Result<Appended, AppendError> {
        self.check_open()?;
        if !self.is_in_place() {
            return Err(AppendError::Gone { path: self.active.path.clone() });
        }
        let batch = record::check(batch, expected_messages)?;
        let (base_offset, messages) = (self.active.next_offset, batch.message_count());
        if base_offset.checked_add(u64::from(messages)).is_none() {
            return Err(self.refuse(Refusing::UsedUp));
        }
        let fits =
            self.active.bytes.saturating_add(batch.header.batch_length) <= self.settings.segment_bytes_max;
        if !fits && self.active.bytes > 0 {
            self.roll().map_err(AppendError::Write)?;
        }
        let base_timestamp = now_micros.max(self.last_timestamp);
        let header = record::stamped(&batch, Stamp { partition_id, base_offset, base_timestamp });
        let end = self.active.bytes + header.batch_length;
        self.write([&record::encode(&header), batch.blob()], end)?;
        self.active.note(&header);
        self.last_timestamp = base_timestamp;
        self.sync.wrote(header.batch_length);
        Ok(Appended { base_offset, messages })
    }

    /// A ticket that covers everything in the log now.
    pub(crate) fn sync(&self) -> SyncTicket {
        self.sync.ticket()
    }

    /// Reads at most `messages_max` messages and about `bytes_max` bytes, but at least one message when there is
    /// one and `messages_max` is not zero. Offsets outside the log are no error: the read begins at the next
    /// message there is.
    ///
    /// # Errors
    /// When a file operation fails, or the first record to serve is damaged. Damage further on ends the reply.
    pub(crate) fn read(&self, from: ReadFrom, messages_max: u32, bytes_max: u32) -> Result<Slice, LogError> {
        let from = self.resolve(from)?;
        if messages_max == 0 || from >= self.active.next_offset {
            return Ok(Slice::default());
        }
        let mut reply = Reply::new(messages_max, bytes_max);
        let first = self.sealed.partition_point(|segment| segment.next_offset <= from);
        for segment in self.sealed.range(first..).chain([&self.active]) {
            match self.with_file(segment, |file| reply.take(segment, file, from)) {
                Ok(Room::Left) => {}
                Ok(Room::Full) => break,
                Err(LogError::Damaged { .. }) if !reply.is_empty() => break,
                Err(error) => {
                    if let LogError::Damaged { .. } = error {
                        segment.mark_damaged(&error);
                    }
                    return Err(error);
                }
            }
        }
        Ok(reply.finish())
    }

    /// The current extent. Costs no I/O.
    pub(crate) fn bounds(&self) -> LogBounds {
        LogBounds {
            first_offset: self.sealed.front().unwrap_or(&self.active).base_offset,
            next_offset: self.active.next_offset,
            messages: self.sealed_messages + self.active.messages(),
            bytes: self.sealed_bytes + self.active.bytes,
            segments: u32::try_from(self.sealed.len()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    /// The newest stamp of a batch, in microseconds since the epoch; zero when there was none. Costs no I/O.
    pub(crate) fn newest_stamp(&self) -> u64 {
        self.last_timestamp
    }

    /// Bytes at its end that are not known to be on the disk.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.sync.unsynced_bytes()
    }

    /// Ids of the last `messages_max` messages, oldest first, to rebuild a window of seen ids.
    ///
    /// # Errors
    /// As [`PartitionLog::read`].
    pub(crate) fn recent_ids(&self, messages_max: u32) -> Result<Vec<u128>, LogError> {
        let mut ids = Vec::new();
        let mut next = self.resolve(ReadFrom::Last(messages_max))?;
        while next < self.active.next_offset {
            let slice = self.read(ReadFrom::Offset(next), u32::MAX, ID_READ_BYTES)?;
            let Some(last) = slice.last_offset else { break };
            ids.extend(record::ids(&slice.records));
            next = last.saturating_add(1);
        }
        Ok(ids)
    }

    /// Removes the log and its directory.
    ///
    /// # Errors
    /// When a file operation fails; what is left is removed by [`PartitionLog::create`].
    pub(crate) fn delete(self) -> Result<(), LogError> {
        Self::remove(&self.dir)
    }

    /// Removes a log that is not open.
    ///
    /// # Errors
    /// As [`PartitionLog::delete`].
    pub(crate) fn remove(dir: &Path) -> Result<(), LogError> {
        remove_directory(dir)
    }

    /// Whether a segment file is part of the log.
    pub(crate) fn has_segment(&self, path: &Path) -> bool {
        self.sealed.iter().chain([&self.active]).any(|segment| segment.path == path)
    }

    /// Whether the file that takes the messages is still the one at its path. A file that was removed can be written as
    /// before, and nobody ever reads it again. Costs a look at two inodes, about a microsecond.
    pub(crate) fn is_in_place(&self) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = self.file.metadata().map(identity);
        let there = std::fs::metadata(&self.active.path).map(identity);
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }

    /// The file that takes the messages.
    pub(crate) fn active_path(&self) -> &Path {
        &self.active.path
    }

    /// Offsets that lie between two segments, in order. Costs no I/O.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let segments = self.sealed.iter();
        let following = self.sealed.iter().skip(1).chain([&self.active]);
        let between = |(segment, next): (&Segment, &Segment)| {
            let gap = Gap { first: segment.next_offset, end: next.base_offset };
            (gap.first < gap.end).then_some(gap)
        };
        segments.zip(following).filter_map(between).collect()
    }

    /// Where its files lie.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes in the segment files in `dir`; none when it cannot be read.
    pub(crate) fn bytes_in(dir: &Path) -> u64 {
        let bases = segment::list(dir).unwrap_or_default();
        let lengths = bases.iter().map(|base| std::fs::metadata(Segment::empty(dir, *base).path));
        lengths.map(|found| found.map_or(0, |found| found.len())).sum()
    }

    /// Whether there is a log in `dir`.
    pub(crate) fn is_in(dir: &Path) -> Presence {
        match segment::list(dir) {
            Ok(bases) if !bases.is_empty() => Presence::There,
            // Opening it says what is wrong with the directory.
            Err(LogError::Io { source, .. }) if source.kind() != io::ErrorKind::NotFound => Presence::There,
            _ => Presence::Missing,
        }
    }

    /// Seals the active segment and goes on in a new one. What is sealed is on the disk, so that only the last
    /// segment can ever have a torn tail.
    fn roll(&mut self) -> Result<(), LogError> {
        self.trim()?;
        self.sync.sync_file()?;
        let (active, file) = Segment::create(&self.dir, self.active.next_offset)?;
        let mut sealed = std::mem::replace(&mut self.active, active);
        self.file = Arc::new(file);
        self.file_bytes = 0;
        self.sync.switch(Arc::clone(&self.file));
        sealed.seal();
        self.sealed_bytes += sealed.bytes;
        self.sealed_messages += sealed.messages();
        self.sealed.push_back(sealed);
        Ok(())
    }

    /// Writes a record, which then ends at `end`.
    fn write(&mut self, record: [&[u8]; 2], end: u64) -> Result<(), AppendError> {
        let ([head, body], position) = (record, self.active.bytes);
        let zeros = self.zeros_behind(end, end - position);
        let mut written = file::write_at(&self.file, position, &mut [head, body, zeros].map(IoSlice::new));
        self.file_bytes = self.file_bytes.max(end + zeros.len() as u64);
        if written.is_err() && !zeros.is_empty() {
            // A disk that is full may have room for the record alone.
            written = file::write_at(&self.file, position, &mut record.map(IoSlice::new));
        }
        written.map_err(|source| self.undo_write(source))
    }

    /// What to write behind a record of so many bytes that ends at `end`: nothing while there is space, nor behind a large
    /// record, which takes longer to be written twice than its length takes to be recorded.
    fn zeros_behind(&self, end: u64, record_bytes: u64) -> &'static [u8] {
        let zeros = ZEROS.get(..self.settings.preallocate_bytes).unwrap_or(&ZEROS);
        if end <= self.file_bytes || record_bytes > zeros.len() as u64 / PREALLOCATE_RECORDS_MIN {
            return &[];
        }
        let left = usize::try_from(self.settings.segment_bytes_max.saturating_sub(end)).unwrap_or(usize::MAX);
        zeros.get(..left).unwrap_or(zeros)
    }

    /// Cuts the active file to what it holds.
    fn trim(&mut self) -> Result<(), LogError> {
        if self.file_bytes > self.active.bytes {
            file::shorten(&self.file, self.active.bytes).map_err(LogError::io(
                "remove what stands behind the messages of segment",
                &self.active.path,
            ))?;
            self.file_bytes = self.active.bytes;
        }
        Ok(())
    }

    /// Takes the log back to its end before a failed write.
    fn undo_write(&mut self, source: io::Error) -> AppendError {
        let failure = LogError::io("write to segment", &self.active.path)(source);
        // It may be longer than is known.
        self.file_bytes = u64::MAX;
        if let Err(error) = self.trim() {
            return self.refuse(Refusing::Uncut(in_one_line(&error)));
        }
        AppendError::Write(failure)
    }

    fn refuse(&mut self, why: Refusing) -> AppendError {
        let reason = self.refusal.insert(why).reason().to_owned();
        AppendError::Refusing { path: self.dir.clone(), reason }
    }

    /// Why nothing can be appended, if so. [`PartitionLog::mend`] may end it.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_ref().map(Refusing::reason).or(self.sync.failure())
    }

    fn check_open(&self) -> Result<(), AppendError> {
        match self.refusal() {
            Some(reason) => Err(AppendError::Refusing { path: self.dir.clone(), reason: reason.to_owned() }),
            None => Ok(()),
        }
    }

    /// The lowest offset that a read may serve.
    fn resolve(&self, from: ReadFrom) -> Result<u64, LogError> {
        match from {
            ReadFrom::Offset(offset) => Ok(offset),
            ReadFrom::Timestamp(timestamp) => self.offset_at(timestamp),
            ReadFrom::Last(messages) => Ok(self.offset_before_end(u64::from(messages))),
        }
    }

    fn offset_at(&self, timestamp: u64) -> Result<u64, LogError> {
        let first = self.sealed.partition_point(|segment| segment.last_timestamp < timestamp);
        let segment = self.sealed.get(first).unwrap_or(&self.active);
        self.with_file(segment, |file| read::offset_at(segment, file, timestamp))
    }

    /// Offsets are dense inside a segment but not between two, so this counts back segment by segment.
    fn offset_before_end(&self, mut messages: u64) -> u64 {
        for segment in [&self.active].into_iter().chain(self.sealed.iter().rev()) {
            match messages.checked_sub(segment.messages()) {
                None | Some(0) => return segment.next_offset - messages,
                Some(left) => messages = left,
            }
        }
        0
    }

    /// Runs `work` on the file of `segment`. Sealed ones are opened for the occasion, so that a long log does not
    /// use up the file handles of the process.
    fn with_file<T>(
        &self,
        segment: &Segment,
        work: impl FnOnce(&File) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        if segment.base_offset == self.active.base_offset {
            work(&self.file)
        } else {
            work(&segment.open_for_read()?)
        }
    }
}

impl Refusing {
    fn reason(&self) -> &str {
        match self {
            Self::Uncut(reason) => reason,
            Self::UsedUp => "offsets are used up",
        }
    }
}

fn remove_directory(dir: &Path) -> Result<(), LogError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LogError::io("remove directory", dir)(error)),
        Ok(()) => dir.parent().map_or(Ok(()), file::sync_directory),
    }
}

#[cfg(test)]
mod tests;
