//! One segment file: a run of records with dense offsets that starts at the offset in its name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use iggy_binary_protocol::batch::BatchHeader;

use super::index::{SealedSummary, SparseIndex};
use super::{LogError, file};

const LOG_EXTENSION: &str = "log";
const INDEX_EXTENSION: &str = "index";
const MARK_EXTENSION: &str = "damaged";
const NAME_DIGITS: usize = 20;

/// A segment and what is known of its content.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Offset of its first message.
    pub(super) base_offset: u64,
    /// Offset behind its last message.
    pub(super) next_offset: u64,
    /// Its length.
    pub(super) bytes: u64,
    /// Base timestamp of its last record.
    pub(super) last_timestamp: u64,
    pub(super) index: SparseIndex,
}

impl Segment {
    /// An empty segment that is not on disk yet.
    pub(super) fn empty(dir: &Path, base_offset: u64) -> Self {
        let path = dir.join(format!("{base_offset:0NAME_DIGITS$}.{LOG_EXTENSION}"));
        let index = SparseIndex::default();
        Self { path, base_offset, next_offset: base_offset, bytes: 0, last_timestamp: 0, index }
    }

    /// Creates an empty segment file, durable in its directory, and opens it for writing.
    pub(super) fn create(dir: &Path, base_offset: u64) -> Result<(Self, File), LogError> {
        let segment = Self::empty(dir, base_offset);
        let file = segment.open_for_writing()?;
        // A file of this name can only be left over from a creation that failed before anything was appended.
        let emptied = file::shorten(&file, 0).map_err(LogError::io("empty segment", &segment.path));
        if let Err(error) = emptied.and_then(|()| file::sync_directory(dir)) {
            // Appends may go on in the segment before it and reach this offset, so the name must not stay.
            segment.remove()?;
            return Err(error);
        }
        Ok((segment, file))
    }

    /// Opens the file for reading and for writing, creating it when missing.
    pub(super) fn open_for_writing(&self) -> Result<File, LogError> {
        file::open_for_writing(&self.path).map_err(LogError::io("open segment", &self.path))
    }

    /// Opens the file for reading.
    pub(super) fn open_for_read(&self) -> Result<File, LogError> {
        File::open(&self.path).map_err(LogError::io("open segment", &self.path))
    }

    /// Messages in it.
    pub(super) fn messages(&self) -> u64 {
        self.next_offset.saturating_sub(self.base_offset)
    }

    /// Takes note of a record at its end.
    pub(super) fn note(&mut self, header: &BatchHeader) {
        self.index.note(header, self.bytes);
        self.bytes += header.batch_length;
        self.next_offset = header.base_offset + u64::from(header.message_count);
        self.last_timestamp = header.base_timestamp;
    }

    /// Thins the index out and writes its file. It can always be made again, so a failure costs time at the next
    /// start only.
    pub(super) fn seal(&mut self) {
        self.index.thin_out();
        let summary = SealedSummary {
            base_offset: self.base_offset,
            next_offset: self.next_offset,
            bytes: self.bytes,
            last_timestamp: self.last_timestamp,
            index: self.index.clone(),
        };
        let path = self.index_path();
        if let Err(error) = file::replace(&path, &summary.encode()) {
            tracing::warn!(path = %path.display(), %error, "index of a sealed segment was not written");
        }
    }

    /// Fills in what the index file says; `None` when it is missing, wrong, or of another segment.
    pub(super) fn recall_index(&self) -> Option<SealedSummary> {
        let summary = SealedSummary::decode(&std::fs::read(self.index_path()).ok()?)?;
        (summary.base_offset == self.base_offset).then_some(summary)
    }

    /// Puts a mark beside it that says what is wrong, so that the next start looks at it again. Without one the damage is
    /// forgotten until a read meets it, which is why a failure is only logged.
    pub(super) fn mark_damaged(&self, reason: &LogError) {
        let path = self.mark_path();
        if path.exists() {
            return;
        }
        if let Err(error) = file::replace(&path, format!("{reason}\n").as_bytes()) {
            tracing::warn!(path = %path.display(), %error, "mark of a damaged segment was not written");
        }
    }

    /// Whether a read found it damaged.
    pub(super) fn is_marked(&self) -> bool {
        self.mark_path().exists()
    }

    /// Removes the mark of a segment that was put right.
    pub(super) fn remove_mark(&self) -> Result<(), LogError> {
        remove(&self.mark_path())
    }

    /// Removes the segment with its index and its mark.
    pub(super) fn remove(&self) -> Result<(), LogError> {
        [&self.mark_path(), &self.index_path(), &self.path].into_iter().try_for_each(|path| remove(path))
    }

    /// An error that names a place in this segment.
    pub(super) fn damaged(&self, position: u64, reason: impl Into<String>) -> LogError {
        LogError::Damaged { path: self.path.clone(), position, reason: reason.into() }
    }

    fn index_path(&self) -> PathBuf {
        self.path.with_extension(INDEX_EXTENSION)
    }

    fn mark_path(&self) -> PathBuf {
        self.path.with_extension(MARK_EXTENSION)
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<(), LogError> {
    match file::remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Base offsets of the segment files in `dir`, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, LogError> {
    let failed = LogError::io("list directory", dir);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(&failed)? {
        found.extend(base_offset(&entry.map_err(&failed)?.path()));
    }
    found.sort_unstable();
    Ok(found)
}

fn base_offset(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    let ours = path.extension()? == LOG_EXTENSION && stem.len() == NAME_DIGITS;
    ours.then(|| stem.parse().ok()).flatten()
}
